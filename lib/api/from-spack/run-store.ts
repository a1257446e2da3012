// The user's own store, for programs that are run without a Spack.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { isXdgSet, xdgFolder } from "../machine/xdg-folder.ts";
import type { SpackFlags } from "./spack-files.ts";

/**
 * Ten letters of the hash: binaries can only be relocated to prefixes that are no longer than where they were built, so
 * a short name leaves most of the length to the root.
 */
const SHORT = "config:install_tree:projections:all:'{hash:10}'";

/** The folder of the user's own store. Throws CONFIG_INVALID if neither variable is set that leads to it. */
export function ownStore(around: Surroundings): string {
  if (!isXdgSet(around, "XDG_DATA_HOME") && !around.env["HOME"])
    throw new StaveError("CONFIG_INVALID", "there is no place for a store: neither XDG_DATA_HOME nor HOME is set", {
      hint: "name one with `store`",
    });
  return resolve(around.cwd, xdgFolder(around, "XDG_DATA_HOME"), "stave/store");
}

/** The flags that make Spack's files use the user's own store, unless they name a store themselves. */
export function withOwnStore<F extends SpackFlags>(flags: F, around: Surroundings): F {
  if (flags.store !== undefined || around.env["STAVE_STORE"]) return flags;
  return { ...flags, store: ownStore(around), config: [...(flags.config ?? []), SHORT] };
}

// The store of programs that are run without a Spack.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { systemCode } from "../../errors.ts";
import { expandUser } from "../../spack/config/machine.ts";
import { underSysroot } from "../../util/sysroot.ts";
import { ownStore } from "../machine/own-store.ts";
import { currentHost } from "../machine/read-machine.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { SpackFlags } from "./spack-files.ts";

/**
 * Ten letters of the hash: binaries can only be relocated to prefixes that are no longer than where they were built, so
 * a short name leaves most of the length to the root.
 */
const SHORT = "config:install_tree:projections:all:'{hash:10}'";
const SHORT_NAME = /^[a-z2-7]{10}$/;

/**
 * The flags that make Spack's files use the user's own store, unless they or $STAVE_STORE name one. A store of
 * $STAVE_STORE that is new, or that has short names, gets short names, too.
 */
export function withOwnStore<F extends SpackFlags>(flags: F, around: Surroundings): F {
  if (flags.store !== undefined) return flags;
  const named = around.env["STAVE_STORE"];
  const config = [...(flags.config ?? []), SHORT];
  if (!named) return { ...flags, store: ownStore(around), config };
  const root = resolve(around.cwd, expandUser(named, currentHost(around)));
  return hasShortNames(underSysroot(flags.sysroot && resolve(around.cwd, flags.sysroot), root))
    ? { ...flags, config: [SHORT, ...(flags.config ?? [])] }
    : flags;
}

// An empty or missing folder will have them.
function hasShortNames(root: string): boolean {
  try {
    const names = readdirSync(root).filter((name) => !name.startsWith("."));
    return names.length === 0 || names.some((name) => SHORT_NAME.test(name));
  } catch (error) {
    return systemCode(error) === "ENOENT";
  }
}

// Where the user's own store is, which programs that are run without a Spack are installed into.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Surroundings } from "./surroundings.ts";
import { isXdgSet, xdgFolder } from "./xdg-folder.ts";

type Around = Pick<Surroundings, "env" | "home" | "cwd">;

/** The folder of the user's own store; undefined if neither variable is set that leads to it. */
export function findOwnStore(around: Around): string | undefined {
  if (!isXdgSet(around, "XDG_DATA_HOME") && !around.env["HOME"]) return undefined;
  return resolve(around.cwd, xdgFolder(around, "XDG_DATA_HOME"), "stave/store");
}

/** The folder of the user's own store. Throws CONFIG_INVALID if neither variable is set that leads to it. */
export function ownStore(around: Around): string {
  const found = findOwnStore(around);
  if (found === undefined)
    throw new StaveError("CONFIG_INVALID", "there is no place for a store: neither XDG_DATA_HOME nor HOME is set", {
      hint: "name one with `store`",
    });
  return found;
}

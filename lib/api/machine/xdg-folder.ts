// The folders of this user, as the XDG base directory specification names them.
import { isAbsolute, join } from "node:path";
import type { Surroundings } from "./surroundings.ts";

/** The folders, relative to the home folder unless a variable names them. */
const FOLDERS = {
  XDG_CACHE_HOME: ".cache",
  XDG_CONFIG_HOME: ".config",
  XDG_DATA_HOME: ".local/share",
  XDG_STATE_HOME: ".local/state",
} as const;

/** True if a variable names a folder: the specification has relative paths ignored. */
export function isXdgSet({ env }: Pick<Surroundings, "env">, name: keyof typeof FOLDERS): boolean {
  return isAbsolute(env[name] ?? "");
}

/** The folder that a variable names, else the one in the home folder. */
export function xdgFolder(around: Pick<Surroundings, "env" | "home">, name: keyof typeof FOLDERS): string {
  const named = around.env[name];
  return named !== undefined && isXdgSet(around, name) ? named : join(around.home, FOLDERS[name]);
}

// Looks at paths that were read from files: search paths, prefixes of externals, settings. Such a path may be anything, and this
// user may not be allowed to look there; that is an answer, not a failure.
import { lstatSync, statSync } from "node:fs";
import { systemCode } from "../errors.ts";
import { underSysroot } from "./sysroot.ts";

/** True if something is at a path, a broken link too; false as well if that cannot be told (Python's `os.path.lexists`). */
export function isVisible(path: string, sysroot?: string): boolean {
  try {
    return lstatSync(underSysroot(sysroot, path), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

/** True only if it is certain that nothing is at a path. */
export function isGone(path: string, sysroot?: string): boolean {
  try {
    return lstatSync(underSysroot(sysroot, path), { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return systemCode(error) === "ENOTDIR";
  }
}

/** What a path leads to; undefined for nothing, and if that cannot be told (Python's `os.path.isdir` and `isfile`). */
export function kindAt(path: string | Buffer, sysroot?: string): "file" | "folder" | "other" | undefined {
  try {
    const found = statSync(typeof path === "string" ? underSysroot(sysroot, path) : path, { throwIfNoEntry: false });
    return found && (found.isDirectory() ? "folder" : found.isFile() ? "file" : "other");
  } catch {
    return undefined;
  }
}

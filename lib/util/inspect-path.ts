// Inspects paths that were read from files: search paths, prefixes of externals, settings. Such a path may be anything,
// and this user may lack permission to see it; both are answers, not failures.
import { lstatSync, statSync } from "node:fs";
import { fileError, systemCode } from "../errors.ts";
import { underSysroot } from "./sysroot.ts";

/**
 * True if something exists at a path, even a broken link; false if it cannot be determined (Python's
 * `os.path.lexists`).
 */
export function isVisible(path: string, sysroot?: string): boolean {
  try {
    return lstatSync(underSysroot(sysroot, path), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

/** True if a path is a link, false for anything else and for nothing. Throws FILE_SYSTEM if it cannot be determined. */
export function isLink(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  } catch (cause) {
    if (systemCode(cause) === "ENOTDIR") return false;
    throw fileError(cause, "look at", path);
  }
}

/** True only if it is certain that nothing exists at a path. */
export function isGone(path: string, sysroot?: string): boolean {
  try {
    return lstatSync(underSysroot(sysroot, path), { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return systemCode(error) === "ENOTDIR";
  }
}

/**
 * What a path resolves to; undefined if nothing, or if it cannot be determined (Python's `os.path.isdir` and `isfile`).
 */
export function kindAt(path: string | Buffer, sysroot?: string): "file" | "folder" | "other" | undefined {
  try {
    const found = statSync(typeof path === "string" ? underSysroot(sysroot, path) : path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return "folder";
    return found && (found.isFile() ? "file" : "other");
  } catch {
    return undefined;
  }
}

// Makes folders with those above them. Node's own recursive mkdir never ends where a file system says that what it is asked
// to make does not exist, as automounters and /proc do.
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemCode } from "../errors.ts";

/**
 * Makes a folder and those above it that are missing, and returns those that it made, the topmost first; what is there is left
 * as it is. Throws as `mkdir` does.
 */
export function makeFolder(path: string, mode = 0o777): string[] {
  const at = resolve(path);
  const found = tried(at, mode);
  if (found !== "missing") return found === "made" ? [at] : [];
  const above = makeFolder(dirname(at), mode);
  const again = tried(at, mode);
  // Everything is above it by now: what is still said to be missing cannot be made.
  if (again === "missing") mkdirSync(at, mode);
  return again === "there" ? above : [...above, at];
}

// "missing" says that what is above it is; the root is always there.
function tried(path: string, mode: number): "made" | "there" | "missing" {
  try {
    mkdirSync(path, mode);
    return "made";
  } catch (error) {
    if (systemCode(error) === "ENOENT") return "missing";
    // Read-only file systems and folders that may not be written to refuse before they look.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return "there";
    throw error;
  }
}

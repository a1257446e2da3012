// Makes folders with those above them. Node's own recursive mkdir never ends where a file system says that what it is asked
// to make does not exist, as automounters and /proc do.
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemCode } from "../errors.ts";

/** Makes a folder and those above it that are missing; one that is there is left as it is. Throws as `mkdir` does. */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isMade(at, mode); at = dirname(at)) missing.push(at);
  for (let at = missing.pop(); at !== undefined; at = missing.pop())
    // Above it everything is there by now: what is still said to be missing cannot be made.
    if (!isMade(at, mode)) mkdirSync(at, mode);
}

// False when what is above it is missing; the root is always there.
function isMade(path: string, mode: number): boolean {
  try {
    mkdirSync(path, mode);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    // Read-only file systems and folders that may not be written to refuse before they look.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return true;
    throw error;
  }
}

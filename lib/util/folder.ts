// Creates folders and their missing parents. Node's own recursive mkdir loops forever where a file system answers
// ENOENT for a folder it should create, as automounters and /proc do.
import { lstatSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemCode } from "../errors.ts";

/** How many times to try to create a folder that other processes keep removing. */
const TRIES = 100;

/**
 * Creates a folder and its missing parents; existing ones stay as they are. Returns the created folders, topmost first.
 * Throws as `mkdir` does.
 */
export function makeFolder(path: string, mode = 0o777): string[] {
  const at = resolve(path);
  const found = tried(at, mode);
  if (found !== "missing") return found === "made" ? [at] : [];
  const above = makeFolder(dirname(at), mode);
  const again = tried(at, mode);
  // All parents exist now, so a second ENOENT is final.
  if (again === "missing") mkdirSync(at, mode);
  return again === "there" ? above : [...above, at];
}

// "missing" means that the parent is missing; the root always exists.
function tried(path: string, mode: number): "made" | "there" | "missing" {
  for (let tries = 1; ; tries++) {
    try {
      mkdirSync(path, mode);
      return "made";
    } catch (error) {
      if (systemCode(error) === "ENOENT") return "missing";
      // Read-only file systems and unwritable folders refuse before they check whether the folder exists.
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return "there";
      // Another process may have removed it after this one found it, and may have made it again.
      const isGoneOrFolder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
      if (systemCode(error) !== "EEXIST" || !isGoneOrFolder || tries >= TRIES) throw error;
    }
  }
}

// Stamps of files and folders: a later process learns from them, without reading anything, whether one has changed.
import { statSync } from "node:fs";
import { systemCode } from "../errors.ts";
import { stampOf } from "./read-file.ts";

/** Paths with the stamps of what they lead to. */
export type FileStamps = readonly (readonly [path: string, stamp: string])[];

/**
 * A second change within this time, in milliseconds, may leave the same times behind: some file systems count seconds.
 */
const SETTLED = 2000;

/**
 * The stamps of paths that may be absent; undefined if one has changed so recently that its next change may not show.
 */
export function stampFiles(paths: Iterable<string>, now: number): FileStamps | undefined {
  const stamps: [string, string][] = [];
  for (const path of new Set(paths)) {
    const { stamp, changed } = look(path);
    if (changed > now - SETTLED) return undefined;
    stamps.push([path, stamp]);
  }
  return stamps;
}

/** True if each path leads to what it led to when the stamps were made. */
export function areUnchanged(stamps: FileStamps): boolean {
  return stamps.every(([path, stamp]) => look(path).stamp === stamp);
}

// No program can set the time of the last change of an inode, unlike the time of the last change of its content.
function look(path: string): { readonly stamp: string; readonly changed: number } {
  try {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) return ABSENT;
    return { stamp: `${stampOf(found)}.${found.ctimeNs}`, changed: Number(found.ctimeMs) };
  } catch (error) {
    return systemCode(error) === "ENOTDIR" ? ABSENT : { stamp: systemCode(error) ?? "unknown", changed: 0 };
  }
}

const ABSENT = { stamp: "", changed: 0 };

// Notes of work in progress in a store: one file per spec, with the prefix being installed or removed. A spec has a
// note as long as any of its files lie beside its place, or in its place but not in the database; so a later run finds
// what a killed run left, wherever it is in the store.
//
// Another user of the store may have put a link or a FIFO in place of a note or of their folder, so both are reached
// from the folder of the database without following links.
import { closeSync, constants, openSync, unlinkSync, writeFileSync } from "node:fs";
import { fileError, isStaveError, systemCode } from "../errors.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";
import { DATABASE_FOLDER, databaseFolder, type Store } from "../spack/store/store.ts";
import { HeldTree } from "../util/held-tree.ts";
import { makeParents } from "./prefix-place.ts";

type Place = Pick<Store, "root" | "locate">;

const LONGEST = 32_768;
const NEW_OR_OLD =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const FOLDER = "under-way";
const folderOf = (store: Place): string => store.locate(`${store.root}/${DATABASE_FOLDER}/${FOLDER}`);

/**
 * Writes a note before anything of a spec is put beside its prefix; returns whether there was one. Throws
 * ARCHIVE_UNSAFE and FILE_SYSTEM.
 */
export async function writeNote(store: Place, hash: string, prefix: string): Promise<boolean> {
  const left = readNote(store, hash);
  // A killed run left it. Cut off by another kill or a full disk, it would no longer lead to what lies there.
  if (left === prefix) return true;
  try {
    using tree = new HeldTree(databaseFolder(store));
    makeParents(tree, FOLDER);
    const file = openSync(tree.at(`${FOLDER}/${hash}`), NEW_OR_OLD, 0o666);
    try {
      writeFileSync(file, prefix);
    } finally {
      closeSync(file);
    }
    return left !== undefined;
  } catch (cause) {
    throw fileError(cause, "write", `${folderOf(store)}/${hash}`);
  }
}

/** Removes a note, if there is one. Throws ARCHIVE_UNSAFE and FILE_SYSTEM. */
export function removeNote(store: Place, hash: string): void {
  inDatabase(store, "remove", `/${hash}`, (tree) => unlinkSync(tree.at(`${FOLDER}/${hash}`)));
}

/** The specs that have a note, by hash. Throws ARCHIVE_UNSAFE and FILE_SYSTEM. */
export function notedSpecs(store: Place): string[] {
  const entries = inDatabase(store, "read folder", "", (tree) => tree.entries(FOLDER)) ?? [];
  return entries
    .map(({ name }) => name)
    .filter(isDagHash)
    .toSorted();
}

/**
 * The prefix in the note of a spec: undefined without a note, empty if the note is malformed. Throws ARCHIVE_UNSAFE
 * and FILE_SYSTEM.
 */
export function readNote(store: Place, hash: string): string | undefined {
  const path = `${FOLDER}/${hash}`;
  return inDatabase(store, "read", `/${hash}`, (tree) => {
    const stats = tree.stats(path);
    if (stats === undefined) return undefined;
    return stats.isFile() && stats.size <= LONGEST ? tree.read(path, LONGEST)?.toString("utf8") : "";
  });
}

// Undefined if the note, or a folder that leads to it, does not exist.
function inDatabase<T>(store: Place, op: string, below: string, work: (tree: HeldTree) => T): T | undefined {
  try {
    using tree = new HeldTree(databaseFolder(store));
    return work(tree);
  } catch (cause) {
    if (systemCode(cause) === "ENOENT" || isStaveError(cause, "NOT_FOUND")) return undefined;
    throw fileError(cause, op, `${folderOf(store)}${below}`);
  }
}

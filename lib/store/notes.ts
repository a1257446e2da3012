// Notes of what is under way in a store: a file for each spec, with the prefix that is made or removed. A spec has one for as
// long as something of it lies beside its place, or in its place and not in the database, so a later run finds what a killed
// one left, wherever in the store that is.
import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileError, systemCode } from "../errors.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { makeParents } from "./prefix-place.ts";

type Place = Pick<Store, "root" | "locate">;

const LONGEST = 32_768;
const folderOf = (store: Place): string => store.locate(`${store.root}/${DATABASE_FOLDER}/under-way`);

/** Notes that something of a spec is about to lie beside its prefix. Throws FILE_SYSTEM. */
export async function writeNote(store: Place, hash: string, prefix: string): Promise<void> {
  // A killed run left it. Cut off by another kill or a full disk, it would no longer lead to what lies there.
  if (readNote(store, hash) === prefix) return;
  const folder = folderOf(store);
  try {
    try {
      writeFileSync(`${folder}/${hash}`, prefix);
    } catch (cause) {
      if (systemCode(cause) !== "ENOENT") throw cause;
      await makeParents(folder);
      writeFileSync(`${folder}/${hash}`, prefix);
    }
  } catch (cause) {
    throw fileError(cause, "write", `${folder}/${hash}`);
  }
}

/** Removes a note; there need not be one. Throws FILE_SYSTEM. */
export function removeNote(store: Place, hash: string): void {
  const file = `${folderOf(store)}/${hash}`;
  try {
    rmSync(file, { force: true });
  } catch (cause) {
    throw fileError(cause, "remove", file);
  }
}

/** The specs that have a note, by hash. Throws FILE_SYSTEM. */
export function notedSpecs(store: Place): string[] {
  const folder = folderOf(store);
  try {
    return readdirSync(folder).filter(isDagHash).toSorted();
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read folder", folder);
  }
}

/** The prefix that the note of a spec names: undefined without a note, empty when it was cut off. Throws FILE_SYSTEM. */
export function readNote(store: Place, hash: string): string | undefined {
  const file = `${folderOf(store)}/${hash}`;
  try {
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    return stats.isFile() && stats.size <= LONGEST ? readFileSync(file, "utf8") : "";
  } catch (cause) {
    throw fileError(cause, "read", file);
  }
}

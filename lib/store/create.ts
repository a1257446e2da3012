// Creates a new store as Spack does: the root and the folder of the database. The files in it are created with the
// first lock and the first record.
import { fileError } from "../errors.ts";
import { databaseFolder, type Store } from "../spack/store/store.ts";
import { makeFolder } from "../util/folder.ts";

/** Creates the missing folders of a store. Throws FILE_SYSTEM. */
export async function createStore(store: Pick<Store, "root" | "locate">): Promise<void> {
  const folder = databaseFolder(store);
  try {
    makeFolder(folder);
  } catch (cause) {
    const error = fileError(cause, "make folder", folder);
    throw ELSEWHERE.has(error.system ?? "") ? error.with({ hint: "name another folder with `store`" }) : error;
  }
}

/** Failures of a place where this user cannot make folders, such as a home that is read-only. */
const ELSEWHERE = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM", "EROFS"]);

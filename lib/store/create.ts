// A store that is not there yet, made as Spack makes it: the root and the folder of the database. Its files follow with the
// first lock and the first record.
import { fileError } from "../errors.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { makeFolder } from "../util/folder.ts";

/** Makes the folders of a store where they are missing. Throws FILE_SYSTEM. */
export async function createStore(store: Pick<Store, "root" | "locate">): Promise<void> {
  const folder = store.locate(`${store.root}/${DATABASE_FOLDER}`);
  try {
    makeFolder(folder);
  } catch (cause) {
    throw fileError(cause, "make folder", folder);
  }
}

// The database of a store as it is now, read again only when it has changed.
import { statSync } from "node:fs";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { stampOf } from "../util/read-file.ts";

export class LatestStore {
  #store: Store;
  #reading: Promise<Store> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The store as it is now. Throws as Store.open. */
  async get(): Promise<Store> {
    const { root } = this.#store;
    const file = this.#store.locate(`${root}/${DATABASE_FOLDER}/index.json`);
    const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined || stampOf(stats) === this.#store.stamp) return this.#store;
    // Once for all that ask at the same time: a large database takes a while to read.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  async #read(): Promise<Store> {
    this.#store = await this.#store.reread();
    return this.#store;
  }
}

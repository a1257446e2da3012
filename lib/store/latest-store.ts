// The current database of a store, read again only if it has changed.
import { statSync } from "node:fs";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import type { Recurring } from "../spack/text/recurring.ts";
import { stampOf } from "../util/read-file.ts";

/** A store that rereads its database when it changes. */
export class LatestStore {
  #store: Store;
  readonly #recurring: Recurring | undefined;
  #reading: Promise<Store> | undefined;

  /** With `recurring`, unchanged nodes are shared with earlier readings. */
  constructor(store: Store, recurring?: Recurring) {
    this.#store = store;
    this.#recurring = recurring;
  }

  /** The current store. Throws as Store.open. */
  async get(): Promise<Store> {
    // A read in progress may have begun before the change that this caller has just made or seen.
    await this.#reading;
    if (this.#isCurrent()) return this.#store;
    // Concurrent callers share one read, because a large database takes a while.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  #isCurrent(): boolean {
    const file = this.#store.locate(`${this.#store.root}/${DATABASE_FOLDER}/index.json`);
    const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
    return stats === undefined || stampOf(stats) === this.#store.stamp;
  }

  async #read(): Promise<Store> {
    this.#store = await this.#store.reread({ recurring: this.#recurring });
    return this.#store;
  }
}

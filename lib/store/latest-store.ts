// What the database of a store has now: read again only if another process has changed it.
import { statSync } from "node:fs";
import { type InstallRecord, readRecord } from "../spack/store/database.ts";
import { DATABASE_FOLDER, type LocalDatabase, type Store } from "../spack/store/store.ts";
import { inside, objectAt, own, type Place } from "../spack/text/fields.ts";
import { isObject } from "../spack/text/json.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import type { Recurring } from "../spack/text/recurring.ts";
import { stampOf } from "../util/read-file.ts";

/** What a record says of its installation. */
export type RecordFacts = Pick<InstallRecord, "path" | "installed" | "explicit" | "installationTime" | "database">;

/** Finds records by DAG hash; a Store is one. */
export interface RecordLookup {
  get(hash: string): RecordFacts | undefined;
}

/** The current state of a store. */
export class LatestStore {
  #store: Store;
  readonly #recurring: Recurring | undefined;
  #reading: Promise<Store> | undefined;
  /** The local database as this process wrote it last, if that is newer than the store. */
  #written: LocalDatabase | undefined;

  /** With `recurring`, unchanged nodes are shared with earlier readings. */
  constructor(store: Store, recurring?: Recurring) {
    this.#store = store;
    this.#recurring = recurring;
  }

  /** The current records. Throws as Store.open. */
  async get(): Promise<RecordLookup> {
    // A read in progress may have begun before the change that this caller has just made or seen.
    await this.#reading;
    const stamp = this.#stamp();
    if (this.#written !== undefined && (stamp === undefined || stamp === this.#written.stamp))
      return new WrittenRecords(this.#written, this.#store);
    if (stamp === undefined || stamp === this.#store.stamp) return this.#store;
    // Concurrent callers share one read, because a large database takes a while.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  /** The newest local database that this process knows. It must be the current one if the file still has its stamp. */
  get local(): LocalDatabase | undefined {
    return this.#written ?? this.#store.local;
  }

  /** Notes what this process has just written. */
  wrote(written: LocalDatabase): void {
    this.#written = written;
  }

  #stamp(): string | undefined {
    const file = this.#store.locate(`${this.#store.root}/${DATABASE_FOLDER}/index.json`);
    const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
    return stats && stampOf(stats);
  }

  async #read(): Promise<Store> {
    const before = this.#written;
    this.#store = await this.#store.reread({ recurring: this.#recurring });
    // What was written during the reading is newer.
    if (this.#written === before) this.#written = undefined;
    return this.#store;
  }
}

// The records of a database that this process wrote, and those of the upstreams as they were read.
class WrittenRecords implements RecordLookup {
  readonly #store: Store;
  readonly #place: Place;
  readonly #installs: JsonObject;

  constructor({ document }: LocalDatabase, store: Store) {
    const root: Place = { source: { name: `${store.root}/${DATABASE_FOLDER}/index.json` } };
    this.#store = store;
    this.#place = inside(root, "database");
    this.#installs = objectAt(objectAt(document, "database", root), "installs", this.#place);
  }

  get(hash: string): RecordFacts | undefined {
    const record = own(this.#installs, hash);
    if (isObject(record)) return { ...readRecord(record, inside(this.#place, hash)), database: 0 };
    const upstream = this.#store.get(hash);
    return upstream !== undefined && upstream.database > 0 ? upstream : undefined;
  }
}

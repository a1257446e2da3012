// The current records of a store. The database is read again only if another process has changed it.
import { statSync } from "node:fs";
import { type RecordFields, readRecordFields } from "../spack/store/database.ts";
import { databaseFolder, type StampedDocument, type Store } from "../spack/store/store.ts";
import { inside, objectAt, own, type Place } from "../spack/text/fields.ts";
import { isObject } from "../spack/text/json.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import type { Recurring } from "../spack/text/recurring.ts";
import { stampOf } from "../util/read-file.ts";

/** Finds records by DAG hash; a Store is one. */
export interface RecordLookup {
  /** Recorded paths are resolved below this folder. */
  readonly sysroot: string | undefined;
  get(hash: string): RecordFields | undefined;
}

/** Looks up the current records of a store. */
export class LatestStore {
  #store: Store;
  /** Shares unchanged nodes with earlier readings. */
  readonly recurring: Recurring | undefined;
  #reading: Promise<Store> | undefined;
  /** The local database as this process wrote it last, if that is newer than the store. */
  #written: StampedDocument | undefined;

  constructor(store: Store, recurring?: Recurring) {
    this.#store = store;
    this.recurring = recurring;
  }

  /** The current records. Throws as Store.open. */
  async get(): Promise<RecordLookup> {
    // A read in progress may have begun before the change that this caller has just made or seen.
    await this.#reading;
    const file = `${databaseFolder(this.#store)}/index.json`;
    const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
    // A store without a database has not changed: only its first write makes one.
    if (stats === undefined || stampOf(stats) === this.known?.stamp)
      return this.#written === undefined ? this.#store : new WrittenRecords(file, this.#written, this.#store);
    // Concurrent callers share one read, because a large database takes a while.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  /** The newest local database that this process knows. */
  get known(): StampedDocument | undefined {
    return this.#written ?? this.#store.local;
  }

  /** Remembers the local database that this process has just written, so that it is not read again. */
  remember(written: StampedDocument): void {
    this.#written = written;
  }

  async #read(): Promise<Store> {
    const before = this.#written;
    this.#store = await this.#store.reread({ recurring: this.recurring });
    // A database that was written during the read is newer than what was read.
    if (this.#written === before) this.#written = undefined;
    return this.#store;
  }
}

// The records of a database that this process wrote, and those of the upstreams as they were read.
class WrittenRecords implements RecordLookup {
  readonly #store: Store;
  readonly #place: Place;
  readonly #installs: JsonObject;

  constructor(file: string, { document }: StampedDocument, store: Store) {
    const root: Place = { source: { name: file } };
    this.#store = store;
    this.#place = inside(root, "database");
    this.#installs = objectAt(objectAt(document, "database", root), "installs", this.#place);
  }

  get sysroot(): string | undefined {
    return this.#store.sysroot;
  }

  get(hash: string): RecordFields | undefined {
    const record = own(this.#installs, hash);
    if (isObject(record)) return readRecordFields(record, inside(this.#place, hash), 0);
    const upstream = this.#store.get(hash);
    return upstream !== undefined && upstream.database > 0 ? upstream : undefined;
  }
}

// Changes the database of a store in Spack's order: under its lock read, change, write beside, rename; and notify
// running Spacks by a new text in `index_verifier` (Spack `database.py`, _write).
import { randomUUID } from "node:crypto";
import { lstat, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { isStaveError, StaveError } from "../errors.ts";
import { type Database, NEWEST_DATABASE, readDatabaseDocument } from "../spack/store/database.ts";
import { readInstalledSpec } from "../spack/store/prefix-metadata.ts";
import { DATABASE_FOLDER, DATABASE_LIMIT, type Store } from "../spack/store/store.ts";
import { objectAt } from "../spack/text/fields.ts";
import { copyObject, writeJson } from "../spack/text/json.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import type { Recurring } from "../spack/text/recurring.ts";
import { isGone } from "../util/inspect-path.ts";
import { readBounded } from "../util/read-file.ts";
import { replaceFile } from "../util/replace-file.ts";
import type { Clock } from "../util/time.ts";
import { type Change, Records, type UpdateReport } from "./change-records.ts";
import type { Release, StoreLocks } from "./locks.ts";

/** What an update needs besides the store. */
export interface UpdateOptions {
  readonly clock: Clock;
  readonly locks: StoreLocks;
  /** Shares nodes with earlier readings of the database. */
  readonly recurring?: Recurring | undefined;
}

// Version 7 is that of Spack 0.20 to 0.23; Spack itself refuses to write older ones.
const OLDEST_DATABASE = 7;
const REINDEX_HINT = "run `spack reindex` with the Spack that owns the store";

/**
 * Changes the database of a store in one write. `decide` gets the locked local database and returns the changes in
 * order; nothing is written if there are none or if it throws. Throws as LockedDatabase.
 */
export async function updateDatabase(
  store: Store,
  options: UpdateOptions,
  decide: (database: Database) => readonly Change[] | Promise<readonly Change[]>,
): Promise<UpdateReport> {
  await using locked = await LockedDatabase.open(store, options);
  return await locked.write(await decide(locked.database));
}

/** The local database of a store under its exclusive lock. Dispose of it to release the lock. */
export class LockedDatabase implements AsyncDisposable {
  /** The database when the lock was taken. */
  readonly database: Database;
  readonly #document: JsonObject;
  readonly #store: Store;
  readonly #options: UpdateOptions;
  readonly #release: Release;

  private constructor(read: ReadIndex, store: Store, options: UpdateOptions, release: Release) {
    this.database = read.database;
    this.#document = read.document;
    this.#store = store;
    this.#options = options;
    this.#release = release;
  }

  /**
   * Waits for the lock and reads the database. The store must exist (see createStore). Throws CONFLICT if the lock is
   * not available, CONTENT_INVALID, SPEC_INVALID or UNSUPPORTED if the database cannot be changed.
   */
  static async open(store: Store, options: UpdateOptions): Promise<LockedDatabase> {
    const release = await options.locks.database("exclusive");
    try {
      const read = await readIndex(folderOf(store), store.database.version, options.recurring);
      return new LockedDatabase(read, store, options, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Applies changes in order, in one write; may be called once. Every other record, and all unknown content, stays as
   * it is. Throws SPEC_NOT_INSTALLED if an added spec is not in its prefix, UNSUPPORTED if the database cannot
   * represent a spec, FILE_SYSTEM if it cannot be written.
   */
  async write(changes: readonly Change[]): Promise<UpdateReport> {
    const { clock, locks } = this.#options;
    const [store, document] = [this.#store, this.#document];
    const folder = folderOf(store);
    const inner = copyObject(objectAt(document, "database", { source: { name: folder } }));
    const installs = copyObject(objectAt(inner, "installs", { source: { name: folder } }));
    const placed = new Set(changes.flatMap((one) => (one.op === "add" && one.isPlaced ? [one.node.hash] : [])));
    const records = new Records(installs, this.database, {
      now: clock.now() / 1000,
      prefixOf: (node) => store.prefixOf(node),
      isThere: async (node) =>
        placed.has(node.hash) ? !isGone(store.prefixOf(node), store.sysroot) : await isThere(store, node),
      isUpstream: (hash) => isUpstream(store, hash),
    });
    for (const change of changes) await records.apply(change);
    const { added, changed, removed } = records.report;
    if (added.length + changed.length + removed.length === 0) return records.report;
    const whole = copyObject(document);
    whole["database"] = Object.assign(inner, { installs });
    if (locks.isEnabled) await removeLeftovers(folder);
    await writeIndex(folder, writeJson(whole));
    return records.report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
  }
}

const folderOf = (store: Store): string => store.locate(`${store.root}/${DATABASE_FOLDER}`);

interface ReadIndex {
  readonly document: JsonObject;
  readonly database: Database;
}

async function readIndex(folder: string, emptyVersion: number, recurring: Recurring | undefined): Promise<ReadIndex> {
  const name = `${folder}/index.json`;
  const { bytes } = await readBounded(name, DATABASE_LIMIT).catch((error: unknown) => {
    if (isStaveError(error, "NOT_FOUND")) return { bytes: emptyIndex(emptyVersion) };
    throw error;
  });
  const read = readDatabaseDocument({ name, hint: REINDEX_HINT, bytes, ...(recurring && { recurring }) });
  const { version } = read.database;
  if (version >= OLDEST_DATABASE) return read;
  const problem = `${name} has version ${version}, expected ${OLDEST_DATABASE} or ${NEWEST_DATABASE}`;
  throw new StaveError("UNSUPPORTED", `cannot change an old database: ${problem}`, {
    subject: name,
    hint: REINDEX_HINT,
  });
}

const emptyIndex = (version: number): Buffer => Buffer.from(`{"database":{"version":"${version}","installs":{}}}`);

// A prefix that Spack would not accept for this spec counts as absent.
async function isThere(store: Store, node: Parameters<Store["prefixOf"]>[0]): Promise<boolean> {
  try {
    await readInstalledSpec(store, { node, installed: false });
    return true;
  } catch (error) {
    if (isStaveError(error, "SPEC_NOT_INSTALLED", "SPEC_INVALID", "CONTENT_INVALID", "TOO_LARGE")) return false;
    throw error;
  }
}

function isUpstream(store: Store, hash: string): boolean {
  const record = store.get(hash);
  return record !== undefined && record.database > 0 && record.installed;
}

// Files of killed processes: only the holder of the lock writes such files.
async function removeLeftovers(folder: string): Promise<void> {
  try {
    for (const name of await readdir(folder))
      if (/^index(?:\.json|_verifier)\..*\.temp$/.test(name)) await rm(`${folder}/${name}`, { force: true });
  } catch {
    // It stays and takes space until someone can remove it.
  }
}

async function writeIndex(folder: string, text: string): Promise<void> {
  const name = `${folder}/index.json`;
  await replaceFile(name, { temporary: temporaryOf(name) }, (file) => file.writeFile(text));
  await writeVerifier(`${folder}/index_verifier`);
}

const temporaryOf = (name: string): string => `${name}.${hostname()}.${process.pid}.temp`;

// Replaced, not written in place as in Spack: another user of the store may have put a link in its place. The mode
// stays, because the Spacks of other users write it in place.
async function writeVerifier(name: string): Promise<void> {
  try {
    const old = await lstat(name).catch(() => undefined);
    await replaceFile(name, { temporary: temporaryOf(name), isDurable: false }, async (file) => {
      if (old?.isFile()) await file.chmod(old.mode & 0o777);
      await file.writeFile(randomUUID());
    });
  } catch {
    // The database is already replaced, so the update has succeeded. Without a verifier, for example on a full disk,
    // Spack reads the database every time.
    await rm(name, { force: true }).catch(() => {
      // Running Spacks notice the change with the next update.
    });
  }
}

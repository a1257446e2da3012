// Changes the database of a store in Spack's order: under its lock read, change, write beside, rename; and notify
// running Spacks by a new text in `index_verifier` (Spack `database.py`, _write).
import { randomUUID } from "node:crypto";
import { lstat, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { isStaveError, StaveError } from "../errors.ts";
import {
  type Database,
  type DatabaseDocument,
  databaseVersion,
  emptyDatabase,
  linkDatabases,
  NEWEST_DATABASE,
  parseDatabase,
  REINDEX_HINT,
} from "../spack/store/database.ts";
import { readInstalledSpec } from "../spack/store/prefix-metadata.ts";
import {
  DATABASE_LIMIT,
  databaseFolder,
  readVerifier,
  type StampedDocument,
  type Store,
} from "../spack/store/store.ts";
import { objectAt } from "../spack/text/fields.ts";
import { copyObject, writeJsonInPieces } from "../spack/text/json.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import { isGone } from "../util/inspect-path.ts";
import { hasStamp, readBounded, stampOf } from "../util/read-file.ts";
import { replaceFile } from "../util/replace-file.ts";
import type { Clock } from "../util/time.ts";
import { type Change, Records, type UpdateReport } from "./change-records.ts";
import type { LatestStore } from "./latest-store.ts";
import type { Release, StoreLocks } from "./locks.ts";

/** What an update needs besides the store. */
export interface UpdateOptions {
  readonly clock: Clock;
  readonly locks: StoreLocks;
  /** What this process knows of the database; used instead of the file as long as that has not changed. */
  readonly latest?: LatestStore | undefined;
}

// Version 7 is that of Spack 0.20 to 0.23; Spack itself refuses to write older ones.
const OLDEST_DATABASE = 7;
/** How many characters of a database are made at a time: such short texts are soon collected as garbage. */
const PIECE = 16 * 1024;
/** How many bytes are written at a time. */
const BLOCK = 256 * 1024;

/**
 * Changes the database of a store in one write. `decide` is called under the lock and returns the changes in order;
 * nothing is written if there are none or if it throws. Throws as LockedDatabase.
 */
export async function updateDatabase(
  store: Store,
  options: UpdateOptions,
  decide: () => readonly Change[] | Promise<readonly Change[]>,
): Promise<UpdateReport> {
  await using locked = await LockedDatabase.open(store, options);
  return await locked.write(await decide());
}

/** The local database of a store under its exclusive lock. Dispose of it to release the lock. */
export class LockedDatabase implements AsyncDisposable {
  readonly #parsed: ParsedIndex;
  #database: Database | undefined;
  readonly #store: Store;
  readonly #options: UpdateOptions;
  readonly #release: Release;

  private constructor(parsed: ParsedIndex, store: Store, options: UpdateOptions, release: Release) {
    this.#parsed = parsed;
    this.#database = parsed.database;
    this.#store = store;
    this.#options = options;
    this.#release = release;
  }

  /** The database when the lock was taken; linked on first use. */
  get database(): Database {
    this.#database ??= linkDatabases([this.#parsed]);
    return this.#database;
  }

  /**
   * Waits for the lock and reads the database, unless `latest` has its current state. The store must exist (see
   * createStore). Throws CONFLICT if the lock is not available, CONTENT_INVALID, SPEC_INVALID or UNSUPPORTED if the
   * database cannot be changed.
   */
  static async open(store: Store, options: UpdateOptions): Promise<LockedDatabase> {
    const release = await options.locks.database("exclusive");
    try {
      const parsed = await readIndex(databaseFolder(store), store.database.version, options.latest);
      return new LockedDatabase(parsed, store, options, release);
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
    const { clock, locks, latest } = this.#options;
    const [store, { document, version }] = [this.#store, this.#parsed];
    const folder = databaseFolder(store);
    const inner = copyObject(objectAt(document, "database", { source: { name: folder } }));
    const installs = copyObject(objectAt(inner, "installs", { source: { name: folder } }));
    const placed = new Set(changes.flatMap((one) => (one.op === "add" && one.isPlaced ? [one.node.hash] : [])));
    const records = new Records(installs, version, {
      now: clock.now() / 1000,
      nodeOf: (hash) => this.database.records.get(hash)?.node,
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
    const state = await writeIndex(folder, whole);
    latest?.remember({ ...state, document: whole });
    return records.report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
  }
}

interface ParsedIndex extends DatabaseDocument {
  readonly version: number;
  /** Undefined if the document was already known: its records were checked then. */
  readonly database: Database | undefined;
}

async function readIndex(folder: string, emptyVersion: number, latest: LatestStore | undefined): Promise<ParsedIndex> {
  const name = `${folder}/index.json`;
  const source = { name, hint: REINDEX_HINT, ...(latest?.recurring && { recurring: latest.recurring }) };
  const known = latest?.known;
  if (known?.verifier !== undefined && (await isUnchanged(folder, known))) {
    const { document } = known;
    return { source, document, version: changeableVersion({ source, document }), database: undefined };
  }
  const { bytes } = await readBounded(name, DATABASE_LIMIT).catch((error: unknown) => {
    if (isStaveError(error, "NOT_FOUND")) return { bytes: emptyDatabase(emptyVersion) };
    throw error;
  });
  const parsed = parseDatabase({ ...source, bytes });
  return { ...parsed, version: changeableVersion(parsed), database: linkDatabases([parsed]) };
}

async function isUnchanged(folder: string, { stamp, verifier }: StampedDocument): Promise<boolean> {
  return (await hasStamp(`${folder}/index.json`, stamp)) && (await readVerifier(folder)) === verifier;
}

function changeableVersion(parsed: DatabaseDocument): number {
  const version = databaseVersion(parsed);
  if (version >= OLDEST_DATABASE) return version;
  const { name } = parsed.source;
  const problem = `${name} has version ${version}, expected ${OLDEST_DATABASE} or ${NEWEST_DATABASE}`;
  throw new StaveError("UNSUPPORTED", `cannot change an old database: ${problem}`, {
    subject: name,
    hint: REINDEX_HINT,
  });
}

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

// Returns the stamp of the new file, which the rename does not change, and the new verifier.
async function writeIndex(folder: string, document: JsonObject): Promise<Pick<StampedDocument, "stamp" | "verifier">> {
  const name = `${folder}/index.json`;
  const stamp = await replaceFile(name, { temporary: temporaryOf(name) }, async (file) => {
    await file.writeFile(blocksOf(writeJsonInPieces(document, PIECE)));
    return stampOf(await file.stat({ bigint: true }));
  });
  return { stamp, verifier: await writeVerifier(`${folder}/index_verifier`) };
}

// Puts ASCII texts together in blocks, which all have the same memory: each must be written before the next is made.
function* blocksOf(texts: Iterable<string>): Iterable<Buffer> {
  let memory = Buffer.allocUnsafe(BLOCK);
  let filled = 0;
  for (const text of texts) {
    if (filled + text.length > memory.length) {
      if (filled > 0) yield memory.subarray(0, filled);
      filled = 0;
      if (text.length > memory.length) memory = Buffer.allocUnsafe(text.length);
    }
    filled += memory.write(text, filled, "latin1");
  }
  yield memory.subarray(0, filled);
}

const temporaryOf = (name: string): string => `${name}.${hostname()}.${process.pid}.temp`;

// Replaced, not written in place as in Spack: another user of the store may have put a link in its place. The mode
// stays, because the Spacks of other users write it in place.
async function writeVerifier(name: string): Promise<string | undefined> {
  const verifier = randomUUID();
  try {
    const old = await lstat(name).catch(() => undefined);
    await replaceFile(name, { temporary: temporaryOf(name), isDurable: false }, async (file) => {
      if (old?.isFile()) await file.chmod(old.mode & 0o777);
      await file.writeFile(verifier);
    });
    return verifier;
  } catch {
    // The database is already replaced, so the update has succeeded. Without a verifier, for example on a full disk,
    // Spack reads the database every time.
    await rm(name, { force: true }).catch(() => {
      // Running Spacks notice the change with the next update.
    });
    return undefined;
  }
}

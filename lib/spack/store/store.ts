// A Spack store: its root, its install database with upstreams, and the location of its prefixes (Spack `store.py`).
import { StaveError } from "../../errors.ts";
import { type FileContent, readBounded } from "../../util/read-file.ts";
import { underSysroot } from "../../util/sysroot.ts";
import type { Clock } from "../../util/time.ts";
import type { SpecGraph, SpecNode } from "../spec/node.ts";
import { shortName } from "../spec/node-reader.ts";
import { own } from "../text/fields.ts";
import type { JsonObject } from "../text/json-value.ts";
import type { Recurring } from "../text/recurring.ts";
import {
  type Database,
  type DatabaseDocument,
  type DatabaseSource,
  emptyDatabase,
  type InstallRecord,
  linkDatabases,
  NEWEST_DATABASE,
  parseDatabase,
  REINDEX_HINT,
} from "./database.ts";
import { DEFAULT_LAYOUT, type Layout, projectedPath, type Satisfies } from "./projection.ts";

/** The size limit of a database, in bytes: 20 000 installs take 70 MB, and Node cannot hold text above 512 MB. */
export const DATABASE_LIMIT: number = 500_000_000;

/** The folder of the database, relative to the root of a store. */
export const DATABASE_FOLDER = ".spack-db";

/** The place of that folder on this machine. */
export function databaseFolder(store: Pick<Store, "root" | "locate">): string {
  return store.locate(`${store.root}/${DATABASE_FOLDER}`);
}

/** Options for opening a store. */
export interface StoreOptions {
  readonly clock: Clock;
  /** Recorded paths are resolved below this folder: a mounted image, a test folder. */
  readonly sysroot?: string | undefined;
  /** Shares nodes with earlier readings of the database. @internal */
  readonly recurring?: Recurring | undefined;
  /** The roots of upstream stores (`upstreams:`), in order. */
  readonly upstreams?: readonly string[];
  /** The layout of prefixes; by default Spack's. */
  readonly layout?: Layout;
  /** Evaluates queries in projections. */
  readonly satisfies?: Satisfies;
  /** Adds facts from configuration to the database's graph, such as providers of virtual packages. */
  readonly completeGraph?: (graph: SpecGraph) => SpecGraph;
  /** Treat a store without a database as empty instead of throwing NOT_FOUND. */
  readonly mayBeEmpty?: boolean;
  /** The version of the database that such a store will get; default the newest. */
  readonly emptyVersion?: number | undefined;
}

/** The document of a database, and the stamp of its file when it was read or written. */
export interface StampedDocument {
  /** Identifies the state of the file (see FileContent). */
  readonly stamp: string;
  /**
   * The text of `index_verifier`, which is another after every write: where times have whole seconds, two states of a
   * file may have the same stamp. Undefined if it was missing or was being written.
   */
  readonly verifier: string | undefined;
  readonly document: JsonObject;
}

/** An opened store: a snapshot of its database, and its paths. */
export class Store {
  /** The root as recorded: absolute, including any padding. */
  readonly root: string;
  readonly sysroot: string | undefined;
  readonly layout: Layout;
  readonly #options: StoreOptions;
  readonly database: Database;
  /** The document of the local database; undefined if there was none. @internal */
  readonly local: StampedDocument | undefined;
  #byName: Map<string, InstallRecord[]> | undefined;
  readonly #prefixes = new WeakMap<object, string>();

  private constructor(root: string, options: StoreOptions, database: Database, local?: StampedDocument) {
    this.root = root;
    this.sysroot = options.sysroot;
    this.layout = options.layout ?? DEFAULT_LAYOUT;
    this.#options = options;
    const { completeGraph } = options;
    this.database = completeGraph ? { ...database, graph: completeGraph(database.graph) } : database;
    this.local = local;
  }

  /**
   * Reads the database of the store at `root` and its upstreams. Throws NOT_FOUND if it is missing, and
   * CONTENT_INVALID, SPEC_INVALID or TOO_LARGE, naming the file, if one cannot be read.
   */
  static async open(root: string, options: StoreOptions): Promise<Store> {
    const { recurring } = options;
    const documents: DatabaseDocument[] = [];
    let local: StampedDocument | undefined;
    for (const [at, place] of [root, ...(options.upstreams ?? [])].entries()) {
      const mayBeAbsent = at === 0 && options.mayBeEmpty === true;
      const read = await readIndex(place, options, mayBeAbsent);
      // The local database stays first even if it does not exist yet.
      const source = read ?? { name: place, bytes: emptyDatabase(options.emptyVersion ?? NEWEST_DATABASE) };
      const parsed = parseDatabase({ ...source, ...(recurring && { recurring }) });
      documents.push(parsed);
      if (at === 0 && read !== undefined)
        local = { stamp: read.stamp, verifier: read.verifier, document: parsed.document };
    }
    return new Store(root, options, linkDatabases(documents), local);
  }

  /** Opens the current state of the same store; `changed` replaces some of its options. Throws as `open`. */
  reread(changed: Partial<StoreOptions> = {}): Promise<Store> {
    return Store.open(this.root, { ...this.#options, ...changed });
  }

  /** Identifies the state of the local database that was read; undefined if there was none. */
  get stamp(): string | undefined {
    return this.local?.stamp;
  }

  /** The record with a DAG hash. */
  get(hash: string): InstallRecord | undefined {
    return this.database.records.get(hash);
  }

  /** All records, or those of one package name. */
  records(name?: string): Iterable<InstallRecord> {
    if (name === undefined) return this.database.records.values();
    this.#byName ??= Map.groupBy(this.database.records.values(), (record) => record.node.name);
    return this.#byName.get(name) ?? [];
  }

  /** The records whose hash starts with a prefix, like `/abc` in a query. */
  withHashPrefix(prefix: string): InstallRecord[] {
    const exact = this.get(prefix);
    if (exact) return [exact];
    return Iterator.from(this.records())
      .filter((record) => record.node.hash.startsWith(prefix))
      .toArray();
  }

  /**
   * The recorded or future prefix of a spec: that of its record, of an external, or from the layout. Throws
   * SPEC_NOT_INSTALLED for an external without a path.
   */
  prefixOf(node: SpecNode): string {
    const recorded = this.get(node.hash)?.path ?? node.external?.path;
    if (recorded !== undefined && recorded !== null) return recorded;
    if (node.external !== undefined)
      throw new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is an external without a path`, {
        subject: node.hash,
      });
    // An installation asks for the prefix of a spec once for each of its dependents, whose nodes may differ.
    const isShared = Object.isFrozen(node.raw) && own(node.raw, "hash") === node.hash;
    const key = isShared ? node.raw : node;
    const known = this.#prefixes.get(key);
    if (known !== undefined) return known;
    const prefix = `${this.root}/${projectedPath(node, this.layout, this.#options.satisfies)}`;
    this.#prefixes.set(key, prefix);
    return prefix;
  }

  /** The location of a recorded path on this machine. */
  locate(path: string): string {
    return underSysroot(this.sysroot, path);
  }
}

const TRIES = 5;
const PAUSE = 50;

// Spack renames a complete file over index.json, then writes a new text into index_verifier. So an opened file is
// complete; verifier and stamp only show whether a newer one has arrived.
async function readIndex(
  root: string,
  options: StoreOptions,
  mayBeAbsent: boolean,
): Promise<(DatabaseSource & Pick<StampedDocument, "stamp" | "verifier">) | undefined> {
  const folder = underSysroot(options.sysroot, `${root}/${DATABASE_FOLDER}`);
  const name = `${folder}/index.json`;
  for (let left = TRIES; ; left--) {
    const before = await readVerifier(folder);
    const content = await readOnce(name, left > 1);
    if (content === "absent" && mayBeAbsent) return undefined;
    if (content === "absent")
      throw new StaveError("NOT_FOUND", `${root} is not a Spack store: ${name} is missing`, {
        subject: root,
        hint: "name the store with `store`",
      });
    const settled = before !== undefined && (await readVerifier(folder)) === before;
    if (content !== "changing" && (settled || left <= 1))
      return {
        ...{ name, hint: REINDEX_HINT, bytes: content.bytes, stamp: content.stamp },
        verifier: settled && before !== "" ? before : undefined,
      };
    await options.clock.sleep(PAUSE);
  }
}

async function readOnce(path: string, again: boolean): Promise<FileContent | "absent" | "changing"> {
  try {
    return await readBounded(path, DATABASE_LIMIT);
  } catch (error) {
    if (error instanceof StaveError && error.code === "NOT_FOUND") return "absent";
    if (error instanceof StaveError && error.code === "CONFLICT" && again) return "changing";
    throw error;
  }
}

/**
 * The text of `index_verifier` in the folder of a database, of which only changes matter: undefined while it is being
 * written, empty if there is none, as in very old stores.
 */
export async function readVerifier(folder: string): Promise<string | undefined> {
  try {
    return (await readBounded(`${folder}/index_verifier`, 4096)).bytes.toString("latin1");
  } catch (error) {
    return error instanceof StaveError && error.code === "CONFLICT" ? undefined : "";
  }
}

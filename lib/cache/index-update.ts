// Keeps a cache index a pure function of the tags, with any number of writers and no lock. An index is replaced only if
// it is still the one that was read, and then it is correct. If a registry cannot guarantee that, the tags are listed
// again after the write until nothing has changed. The last writer has listed after all others, so lost updates repair
// themselves.
import { isStaveError, StaveError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions } from "../target/target.ts";
import { forEachLimit } from "../util/limit.ts";
import { noProgress, type ProgressSink } from "../util/progress.ts";
import { Stop } from "../util/stop.ts";
import { type CacheListing, type IndexedCache, lacks, type ReadCache } from "./cache.ts";
import type { CacheIndex, IndexProblem } from "./index-read.ts";
import { type IndexText, indexText, isSameIndex } from "./index-write.ts";
import { KnownNodes } from "./known-nodes.ts";
import { newNodesOf } from "./new-nodes.ts";
import type { NodeRecord } from "./record.ts";
import { isUnfit } from "./unusable.ts";

/** How to compare an index with its cache. */
export interface CheckIndexOptions extends OperationOptions {
  /** Ignore the current index and read every spec again. */
  readonly full?: boolean | undefined;
  readonly onProgress?: ProgressSink | undefined;
  /** Tags of specs that count as gone: they are about to be removed, or are not part of a view. */
  readonly without?: Pick<ReadonlySet<string>, "has"> | undefined;
}

/** How to update an index. */
export interface UpdateIndexOptions extends CheckIndexOptions {
  /** Specs that were just pushed, by tag; they need not be fetched. */
  readonly known?: ReadonlyMap<string, Pick<SpecDocument, "root" | "graph">> | undefined;
}

/** A tag that is not indexed, and why. */
export interface SkippedTag {
  readonly tag: string;
  readonly reason: string;
}

/** What an update did, or a check would do. */
export interface IndexReport {
  readonly cache: string;
  /** The index matches the cache: nothing needed, or needs, to be written. */
  readonly isCurrent: boolean;
  readonly isWritten: boolean;
  /** The number of specs with a binary, and of all records including dependencies. */
  readonly specs: number;
  readonly records: number;
  /** Tags of specs that the index lacked, and of those whose image is gone. */
  readonly added: readonly string[];
  readonly dropped: readonly string[];
  readonly kept: number;
  /** Tags that look like those of specs but are not; everything else is indexed. */
  readonly skipped: readonly SkippedTag[];
  /** Tags of other content, such as images of environments and signatures. */
  readonly others: readonly string[];
  /** Records of the old index that could not be kept. */
  readonly problems: readonly IndexProblem[];
  /** Why the old index could not be read at all. */
  readonly unreadable: string | undefined;
  /** How often the cache was listed. */
  readonly rounds: number;
  /** Database version, bytes and digest of the index; undefined if there is none. */
  readonly version: number | undefined;
  readonly size: number | undefined;
  readonly digest: Digest | undefined;
}

/** Progress is reported after this many specs, which takes a few seconds. */
const NOTED = 2000;
/** Give up after this many rounds: the cache will keep changing. */
const MAX_ROUNDS = 100;
/** Bytes of one node; real ones have a few thousand. A few large ones could make an index that is too large to read. */
const NODE_LIMIT = 1024 * 1024;
/** The oldest database version that is kept without rewriting. */
const OLDEST_WRITTEN = 7;

/** Compares the index with the cache without writing. Throws what listing and reading throw. */
export async function checkIndex(cache: ReadCache, options: CheckIndexOptions = {}): Promise<IndexReport> {
  const update = new IndexUpdate(cache, options);
  await update.absorb(await update.readIndexAndList());
  update.throwFailure();
  return update.report();
}

/**
 * Updates the index: reads tagged specs that it lacks, drops records whose tags are gone, writes it if anything
 * changed, and lists again until nothing is new, unless the write was certain to be the only one. A spec that cannot be
 * read is skipped and reported. If the cache stops answering, writes what was read until then, and throws. Throws
 * UNSUPPORTED for a cache that can only be read.
 */
export async function updateIndex(cache: IndexedCache, options: UpdateIndexOptions = {}): Promise<IndexReport> {
  const { signal } = options;
  if (!cache.can.write) throw lacks(cache, "write");
  const update = new IndexUpdate(cache, options);
  let listing = await update.readIndexAndList();
  while (await update.absorb(listing)) {
    if (update.rounds > MAX_ROUNDS) throw restless(cache.name);
    const outcome = await update.write(cache);
    if (outcome === "settled") break;
    listing = outcome === "refused" ? await update.readIndexAndList() : await cache.list({ signal });
  }
  update.throwFailure();
  return update.report();
}

function restless(name: string): StaveError {
  return new StaveError("CONFLICT", `${name} kept changing while its index was written ${MAX_ROUNDS} times`, {
    subject: name,
    hint: "run `stave index` when fewer clients are pushing",
  });
}

const isVerified = (record: NodeRecord): boolean => record.isVerified;

function checkSize({ name, hash, text: { byteLength } }: NodeRecord): void {
  if (byteLength <= NODE_LIMIT) return;
  const problem = `the node ${printable(name)}/${hash} has ${byteLength} bytes, expected at most ${NODE_LIMIT}`;
  throw new StaveError("TOO_LARGE", problem, { subject: hash });
}

class IndexUpdate {
  rounds = 0;
  readonly #cache: ReadCache;
  readonly #options: UpdateIndexOptions;
  readonly #progress: ProgressSink;
  #old: CacheIndex | undefined;
  #unreadable: string | undefined;
  // Every known node by hash; and the specs with a binary by tag.
  #nodes = new KnownNodes();
  readonly #held = new Map<string, string>();
  readonly #before = new Set<string>();
  readonly #skipped = new Map<string, string>();
  #foreign: readonly string[] = [];
  #others: readonly string[] = [];
  #listed: CacheListing["specs"] = new Map();
  #text: IndexText | undefined;
  #isStale = false;
  // The digest of an index whose write was refused, because the one to replace had changed.
  #refused: Digest | undefined;
  #failure: unknown;

  constructor(cache: ReadCache, options: UpdateIndexOptions) {
    this.#cache = cache;
    this.#options = options;
    this.#progress = options.onProgress ?? noProgress;
  }

  /**
   * Keeps what it can of the current index, and lists the cache while the index is downloaded. The listing starts only
   * once it is certain which index is read, so that a record without a tag is a removed spec, and not a new one.
   */
  async readIndexAndList(): Promise<CacheListing> {
    const { signal } = this.#options;
    const stop = new Stop(signal);
    let listing: Promise<CacheListing> | undefined;
    const onIdentified = (): void => {
      listing = this.#cache.list({ signal: stop.signal });
      // Its failure is thrown below, after that of the index; until then it must not count as unhandled.
      listing.catch(() => {});
    };
    try {
      await this.#readIndex(onIdentified);
    } catch (error) {
      stop.end(error);
      // No request outlives this call.
      await listing?.catch(() => {});
      throw error;
    }
    return await (listing ?? this.#cache.list({ signal }));
  }

  async #readIndex(onIdentified: () => void): Promise<void> {
    const { full = false, signal } = this.#options;
    this.#unreadable = undefined;
    this.#old = await this.#cache.readIndex({ signal, onIdentified }).catch((error: unknown) => {
      if (!isUnfit(error) && !(full && isStaveError(error, "UNSUPPORTED"))) throw error;
      this.#unreadable = error.message;
      return undefined;
    });
    if (this.#old === undefined) return;
    const { records, problems, incomplete, version } = this.#old;
    // Usually all records are kept, and need no list of their own.
    const isKept = !full && this.rounds === 0 && incomplete.size === 0 && records.values().every(isVerified);
    if (isKept) this.#nodes = new KnownNodes(records);
    for (const record of records.values()) {
      const tag = specTag(record);
      if (record.inBuildcache && this.rounds === 0) this.#before.add(tag);
      if (full || incomplete.has(record.hash)) continue;
      if (!isKept) this.#nodes.add(record, record.inBuildcache ? "spec in the index" : "dependency in the index");
      if (record.inBuildcache) this.#held.set(tag, record.hash);
    }
    this.#isStale = problems.length > 0 || version < OLDEST_WRITTEN;
  }

  /** Applies a listing and reads new specs. Returns true if the index must be written. */
  async absorb({ specs: listed, foreign, others }: CacheListing): Promise<boolean> {
    this.rounds++;
    const { without } = this.#options;
    const specs = without === undefined ? listed : new Map([...listed].filter(([tag]) => !without.has(tag)));
    this.#failure = undefined;
    this.#listed = specs;
    this.#foreign = foreign;
    this.#others = others;
    let hasChanged = this.#refused !== undefined;
    hasChanged ||= this.rounds === 1 && (this.#isStale || (this.#old === undefined && specs.size > 0));
    for (const tag of this.#held.keys())
      if (!specs.has(tag)) {
        this.#held.delete(tag);
        hasChanged = true;
      }
    const fresh = [...specs.keys()].filter((tag) => !this.#held.has(tag) && !this.#skipped.has(tag));
    const unknown = fresh.filter((tag) => this.#options.known?.has(tag) !== true).length;
    if (unknown > 0) this.#progress({ type: "note", text: `reading ${unknown} new specs` });
    const before = this.#held.size;
    let done = 0;
    const add = async (tag: string): Promise<void> => {
      await this.#add(tag);
      if (++done % NOTED === 0) this.#progress({ type: "note", text: `${done} of ${fresh.length} have been read` });
    };
    try {
      await forEachLimit(fresh, DOCUMENTS_AT_ONCE, add, this.#options.signal);
    } catch (error) {
      if (isStaveError(error, "ABORTED") || this.#options.signal?.aborted) throw error;
      this.#failure = error;
    }
    return hasChanged || this.#held.size > before || (this.rounds === 1 && this.#options.full === true);
  }

  async #add(tag: string): Promise<void> {
    const { known, signal } = this.#options;
    try {
      const given = known?.get(tag);
      const { root, records } = given
        ? newNodesOf(given, this.#nodes)
        : await this.#cache.fetchNewNodes(tag, this.#nodes, { signal });
      for (const record of records) checkSize(record);
      for (const record of records)
        this.#nodes.add(record, record.hash === root.hash ? "image of the spec" : "dependency");
      this.#held.set(tag, root.hash);
    } catch (error) {
      if (!isUnfit(error)) throw error;
      this.#skipped.set(tag, error.message);
    }
  }

  /**
   * Writes the index if it changed. Returns "settled" if nothing is left to do, "unsure" if the cache must be listed
   * again, "refused" if another client has written an index that must be read first.
   */
  async write(cache: IndexedCache): Promise<"settled" | "unsure" | "refused"> {
    const text = this.#makeText();
    if (isSameIndex(text, this.#text ?? this.#old)) {
      // The refused index is there: the response to the first attempt was lost.
      if (this.#refused === text.digest) this.#text = text;
      return "settled";
    }
    this.#progress({ type: "note", text: `writing the index of ${text.specs} specs` });
    try {
      const isCertain = await cache.writeIndex(text, { replaced: this.#old, signal: this.#options.signal });
      this.#text = text;
      return isCertain || this.#failure !== undefined ? "settled" : "unsure";
    } catch (error) {
      if (!isStaveError(error, "CONFLICT")) throw error;
      this.#refused = text.digest;
      return "refused";
    }
  }

  #makeText(): IndexText {
    return indexText((hash) => this.#nodes.get(hash), this.#held.values());
  }

  /** Throws the error that kept specs from being read, if any. */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  report(): IndexReport {
    const added = [...this.#held.keys()].filter((tag) => !this.#before.has(tag)).sort();
    const dropped = [...this.#before].filter((tag) => !this.#held.has(tag)).sort();
    const skipped = [
      ...this.#foreign.map((tag) => ({ tag, reason: "its name is not NAME-VERSION-HASH.spack" })),
      ...[...this.#skipped].map(([tag, reason]) => ({ tag, reason })).filter(({ tag }) => this.#listed.has(tag)),
    ].sort((a, b) => (a.tag < b.tag ? -1 : 1));
    const present = this.#text ?? this.#old;
    const isCurrent =
      added.length === 0 && dropped.length === 0 && !this.#isStale && this.#unreadable === undefined && this.#isSame();
    return {
      cache: this.#cache.name,
      isCurrent,
      isWritten: this.#text !== undefined,
      specs: this.#held.size,
      records: present?.records.size ?? 0,
      added,
      dropped,
      kept: this.#held.size - added.length,
      skipped,
      others: [...this.#others].sort(),
      problems: this.#old?.problems ?? [],
      unreadable: this.#unreadable,
      rounds: this.rounds,
      version: present?.version,
      size: present?.size,
      digest: present?.digest,
    };
  }

  // With `full`, the content of each record is compared too.
  #isSame(): boolean {
    const old = this.#old;
    if (this.#options.full !== true || old === undefined) return true;
    const { records } = this.#makeText();
    if (records.size !== old.records.size) return false;
    return records.values().every((record) => {
      const other = old.records.get(record.hash);
      return (
        other !== undefined &&
        other.inBuildcache === record.inBuildcache &&
        other.format === record.format &&
        other.isVerified === record.isVerified
      );
    });
  }
}

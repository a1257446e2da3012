// Keeps a cache index the pure function of the tags that it is, with any number of writers and no lock: an index is only
// replaced when it is still the one that was read, and then it is right; where a registry cannot promise that, list again
// after writing and go on until nothing has changed. Whoever writes last has listed after all others: lost updates heal.
import { isStaveError, StaveError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import type { SpecGraph, SpecNode } from "../spack/spec/node.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import type { OperationOptions } from "../target/target.ts";
import { forEachLimit } from "../util/limit.ts";
import { noProgress, type ProgressSink } from "../util/progress.ts";
import type { CacheListing, IndexedCache, ReadCache } from "./cache.ts";
import type { CacheIndex, IndexProblem } from "./index-read.ts";
import { type IndexText, indexText } from "./index-write.ts";
import { type NodeRecord, recordOfNode } from "./record.ts";
import { isUnfit } from "./unfit.ts";

/** How an index is compared with its cache. */
export interface CheckIndexOptions extends OperationOptions {
  /** Believe nothing of the present index: read every spec again. */
  readonly full?: boolean | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

/** How an index is brought up to date. */
export interface UpdateIndexOptions extends CheckIndexOptions {
  /** Specs that were just pushed, by tag: they need not be fetched. */
  readonly known?: ReadonlyMap<string, Pick<SpecDocument, "root" | "graph">> | undefined;
  /** Tags of specs that are about to be removed: they count as gone. */
  readonly without?: ReadonlySet<string> | undefined;
}

/** A tag that is in no index, and why. */
export interface SkippedTag {
  readonly tag: string;
  readonly reason: string;
}

/** What an update did, or a check would have done. */
export interface IndexReport {
  readonly cache: string;
  /** The index says what the cache has: nothing had, or has, to be written. */
  readonly isCurrent: boolean;
  readonly isWritten: boolean;
  /** How many specs have a binary, and how many are there with their dependencies. */
  readonly specs: number;
  readonly records: number;
  /** Tags of specs that the index lacked, and of those whose image is gone. */
  readonly added: readonly string[];
  readonly dropped: readonly string[];
  readonly kept: number;
  /** Tags that say they are of a spec and are not; the rest is indexed all the same. */
  readonly skipped: readonly SkippedTag[];
  /** Tags of something else, such as images of environments and signatures. */
  readonly others: readonly string[];
  /** Records of the old index that were not fit to be kept. */
  readonly problems: readonly IndexProblem[];
  /** Why the old index could not be read at all. */
  readonly unreadable: string | undefined;
  /** How often the cache was listed. */
  readonly rounds: number;
  /** The index's text: database version, bytes, digest; undefined when there is none. */
  readonly version: number | undefined;
  readonly size: number | undefined;
  readonly digest: Digest | undefined;
}

/** Specs that are read at once. */
const CONCURRENCY = 16;
/** After so many specs it is told how far it is: every few seconds. */
const NOTED = 2000;
/** A cache that has changed so often while its index was written will go on to. */
const MAX_ROUNDS = 100;
/** The oldest database version that is written. */
const OLDEST_WRITTEN = 7;

/** Compares the index with the cache, and writes nothing. Throws what listing and reading throw. */
export async function checkIndex(cache: ReadCache, options: CheckIndexOptions = {}): Promise<IndexReport> {
  const update = new IndexUpdate(cache, options);
  await update.readIndex();
  await update.absorb(await cache.list({ signal: options.signal }));
  update.throwFailure();
  return update.report();
}

/**
 * Brings the index up to date: reads what the tags have and it lacks, drops what they no longer have, writes it when that
 * changes anything, and, unless nobody else can have written it meanwhile, lists again until nothing is new. A spec that cannot be read is skipped and told; when the cache
 * does not answer, what was read until then is written before that is thrown.
 */
export async function updateIndex(cache: IndexedCache, options: UpdateIndexOptions = {}): Promise<IndexReport> {
  const { signal } = options;
  const update = new IndexUpdate(cache, options);
  // The index is read before the tags: what it has and they have not is gone, and not merely new.
  await update.readIndex();
  while (await update.absorb(await cache.list({ signal }))) {
    if (update.rounds > MAX_ROUNDS) throw restless(cache.name);
    const outcome = await update.write(cache);
    if (outcome === "settled") break;
    if (outcome === "refused") await update.readIndex();
  }
  update.throwFailure();
  return update.report();
}

function restless(name: string): StaveError {
  return new StaveError("CONFLICT", `${name} changed each of the ${MAX_ROUNDS} times that its index was written`, {
    subject: name,
    hint: "run `stave index` when fewer are pushing",
  });
}

class IndexUpdate {
  rounds = 0;
  readonly #cache: ReadCache;
  readonly #options: UpdateIndexOptions;
  readonly #progress: ProgressSink;
  #old: CacheIndex | undefined;
  #unreadable: string | undefined;
  // Every node that is known and was verified, by hash; the specs that have a binary, by tag.
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #held = new Map<string, string>();
  readonly #before = new Set<string>();
  readonly #skipped = new Map<string, string>();
  #foreign: readonly string[] = [];
  #others: readonly string[] = [];
  #listed: CacheListing["specs"] = new Map();
  #text: IndexText | undefined;
  #isStale = false;
  // The digest of an index that was not accepted, because the one to be replaced had been replaced by then.
  #refused: Digest | undefined;
  #failure: unknown;

  constructor(cache: ReadCache, options: UpdateIndexOptions) {
    this.#cache = cache;
    this.#options = options;
    this.#progress = options.onProgress ?? noProgress;
  }

  /** Takes from the present index what can be kept. */
  async readIndex(): Promise<void> {
    const { full = false, signal } = this.#options;
    this.#unreadable = undefined;
    this.#old = await this.#cache.readIndex({ signal }).catch((error: unknown) => {
      if (!isUnfit(error) && !(full && isStaveError(error, "UNSUPPORTED"))) throw error;
      this.#unreadable = error.message;
      return undefined;
    });
    if (this.#old === undefined) return;
    const { records, problems, incomplete, version } = this.#old;
    for (const record of records.values()) {
      const tag = specTag(record);
      if (record.inBuildcache && this.rounds === 0) this.#before.add(tag);
      if (full || incomplete.has(record.hash)) continue;
      this.#nodes.set(record.hash, record);
      if (record.inBuildcache) this.#held.set(tag, record.hash);
    }
    this.#isStale = problems.length > 0 || version < OLDEST_WRITTEN;
  }

  /** Takes over what a listing says, reading what is new. Tells whether the index now has to be written. */
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
      await forEachLimit(fresh, CONCURRENCY, add, this.#options.signal);
    } catch (error) {
      if (isStaveError(error, "ABORTED") || this.#options.signal?.aborted) throw error;
      this.#failure = error;
    }
    return hasChanged || this.#held.size > before || (this.rounds === 1 && this.#options.full === true);
  }

  async #add(tag: string): Promise<void> {
    const { known, signal } = this.#options;
    try {
      const isKnown = (hash: string) => this.#nodes.has(hash);
      const { root, graph } = known?.get(tag) ?? (await this.#cache.fetchSpec(tag, { isKnown, signal })).document;
      this.#learn(root, graph);
      this.#held.set(tag, root.hash);
    } catch (error) {
      if (!isUnfit(error)) throw error;
      this.#skipped.set(tag, error.message);
    }
  }

  // The graph may be that of a whole store; what is known is known with all that it depends on.
  #learn(root: SpecNode, graph: SpecGraph): void {
    const stack = [root];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (this.#nodes.has(node.hash)) continue;
      this.#nodes.set(node.hash, recordOfNode(node));
      for (const { child } of node.edges) stack.push(child);
      const built = node.buildSpec === undefined ? undefined : graph.get(node.buildSpec.hash);
      if (built) stack.push(built);
    }
  }

  /**
   * Writes the index if it is another than the present one: "settled" when nothing is left to do, "unsure" when the cache
   * has to be listed again, "refused" when somebody else has written, whose index has to be read first.
   */
  async write(cache: IndexedCache): Promise<"settled" | "unsure" | "refused"> {
    const text = this.#makeText();
    if ((this.#text ?? this.#old)?.digest === text.digest) {
      // What was refused is there: the first answer was lost on its way.
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

  /** Throws what kept specs from being read, when something did. */
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

  // After every spec was read again, what each record says is compared too.
  #isSame(): boolean {
    const old = this.#old;
    if (this.#options.full !== true || old === undefined) return true;
    const { records } = this.#makeText();
    if (records.size !== old.records.size) return false;
    return records.values().every((record) => {
      const other = old.records.get(record.hash);
      return other !== undefined && other.inBuildcache === record.inBuildcache && other.format === record.format;
    });
  }
}

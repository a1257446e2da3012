// Which specs of a cache a prune keeps: those that are named, those that are young, and all that these depend on.
import type { CacheIndex } from "../../cache/index-read.ts";
import type { OciCache } from "../../cache/oci-cache.ts";
import { closure } from "../../cache/record.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import { isStaveError } from "../../errors.ts";
import { LayoutTarget } from "../../target/layout/layout.ts";
import type { OperationOptions } from "../../target/target.ts";
import { forEachLimit } from "../../util/limit.ts";

/** What is kept of the specs; all of them when nothing says which. */
export interface KeepRules {
  /** DAG hashes, of which what they depend on is kept, too. */
  readonly hashes?: ReadonlySet<string> | undefined;
  /** Images younger than this are kept, in milliseconds, with what they depend on; those whose age nobody knows are kept. */
  readonly within?: number | undefined;
}

export interface KeepOptions extends OperationOptions {
  readonly keep: KeepRules;
  /**
   * What is younger than this, in milliseconds, is left alone, because others may be pushing. Not every registry tells ages;
   * what the index of a registry does not list yet counts as young, unless this is 0.
   */
  readonly grace: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const CONCURRENCY = 8;

/** Knows which specs are kept, and learns of more while images are looked at. */
export class Keeper {
  /** Tags that are kept only because nobody knows how old they are, and because they are young. */
  readonly ageless: string[] = [];
  readonly young: string[] = [];
  readonly #cache: OciCache;
  readonly #options: KeepOptions;
  readonly #index: CacheIndex | undefined;
  readonly #kept: Set<string>;
  readonly #keepsAll: boolean;

  private constructor(cache: OciCache, options: KeepOptions, index: CacheIndex | undefined) {
    this.#cache = cache;
    this.#options = options;
    this.#index = index;
    this.#kept = new Set(options.keep.hashes);
    this.#keepsAll = options.keep.hashes === undefined && options.keep.within === undefined;
  }

  /** Decides by the rules, the index and, where they are cheap or needed, the ages of all specs. Throws as the cache does. */
  static async open(cache: OciCache, specs: readonly TaggedSpec[], options: KeepOptions): Promise<Keeper> {
    const { keep, signal } = options;
    const keepsAll = keep.hashes === undefined && keep.within === undefined;
    const keeper = new Keeper(cache, options, keepsAll ? undefined : await cache.readIndex({ signal }));
    if (keepsAll) return keeper;
    for (const spec of specs) if (keeper.keeps(spec)) await keeper.#keep(spec);
    await keeper.#keepYoung(specs);
    return keeper;
  }

  keeps({ hash }: TaggedSpec): boolean {
    return this.#keepsAll || this.#kept.has(hash);
  }

  /** Keeps a spec, and all that it depends on, when it is young: it was found out how long it has been there. */
  async foundAge(spec: TaggedSpec, age: number): Promise<void> {
    if (age >= this.#options.grace || this.keeps(spec)) return;
    this.young.push(spec.tag);
    await this.#keep(spec);
  }

  async #keepYoung(specs: readonly TaggedSpec[]): Promise<void> {
    const { keep, grace, signal } = this.#options;
    const { target } = this.#cache;
    // Of a registry, asking for ages costs a request for each spec: that is done only when the rules need them.
    const isTimed = target instanceof LayoutTarget;
    if (!isTimed && grace > 0)
      for (const spec of specs)
        if (this.#index?.records.get(spec.hash)?.inBuildcache !== true) await this.foundAge(spec, 0);
    if (keep.within === undefined && !isTimed) return;
    await forEachLimit(
      specs,
      CONCURRENCY,
      async (spec) => {
        if (this.keeps(spec)) return;
        const age = await this.#ageOf(spec.tag);
        if (age !== undefined && age >= (keep.within ?? 0)) return await this.foundAge(spec, age);
        if (age === undefined && keep.within === undefined) return;
        if (age === undefined) this.ageless.push(spec.tag);
        await this.#keep(spec);
      },
      signal,
    );
  }

  async #keep(spec: TaggedSpec): Promise<void> {
    this.#kept.add(spec.hash);
    for (const hash of await this.#dependenciesOf(spec)) this.#kept.add(hash);
  }

  // What the index does not know is read from the image; an image that cannot be read holds nothing but itself.
  async #dependenciesOf({ tag, hash }: TaggedSpec): Promise<Iterable<string>> {
    const index = this.#index;
    if (index?.records.has(hash) && !index.incomplete.has(hash))
      return closure([hash], (other) => index.records.get(other)).keys();
    try {
      const { graph } = (await this.#cache.fetchSpec(tag, { signal: this.#options.signal })).document;
      return Array.from(graph.nodes(), (node) => node.hash);
    } catch (error) {
      if (isStaveError(error, ...UNFIT)) return [hash];
      throw error;
    }
  }

  // A directory's file tells when an image was pushed, and so do some registries; else it counts when Spack packed it.
  async #ageOf(tag: string): Promise<number | undefined> {
    const { now, signal } = this.#options;
    const { target } = this.#cache;
    try {
      if (target instanceof LayoutTarget) {
        const descriptor = await target.headManifest(tag, { signal });
        const changed = descriptor && (await target.blobs.changed(descriptor.digest));
        return changed === undefined ? undefined : now - changed;
      }
      const { age } = await target.fetchManifest(tag, { signal });
      if (age !== undefined) return age;
      const { archivedAt } = await this.#cache.fetchSpec(tag, { signal });
      return archivedAt === undefined ? undefined : now - archivedAt;
    } catch (error) {
      if (isStaveError(error, ...UNFIT)) return undefined;
      throw error;
    }
  }
}

const UNFIT = ["NOT_FOUND", "MEDIA_TYPE", "CONTENT_INVALID", "SPEC_INVALID", "TOO_LARGE"] as const;

// Decides which specs of a cache a prune keeps: named specs, young specs, and the dependencies of both.

import type { CacheIndex } from "../../cache/index-read.ts";
import { closure } from "../../cache/record.ts";
import type { PrunableCache, SpecStorage } from "../../cache/spec-storage.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import { isStaveError } from "../../errors.ts";
import type { OperationOptions } from "../../target/target.ts";
import { forEachLimit } from "../../util/limit.ts";

/** The rules for which specs to keep; without any rule all are kept. */
export interface KeepRules {
  /** DAG hashes of specs to keep, with their dependencies. */
  readonly hashes?: ReadonlySet<string> | undefined;
  /** Keep images younger than this, in milliseconds, with their dependencies, and images of unknown age. */
  readonly within?: number | undefined;
}

/** The options for choosing which specs to keep. */
export interface KeepOptions extends OperationOptions {
  readonly keep: KeepRules;
  /**
   * Specs younger than this, in milliseconds, are kept, because others may be pushing. Not every registry reports ages;
   * a spec that a registry's index does not list yet counts as young, unless this is 0.
   */
  readonly grace: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const CONCURRENCY = 8;

/** The specs that are kept; more are added as images are read. */
export class Keeper {
  /** Tags that are kept only because their age is unknown, and only because they are young. */
  readonly ageless: string[] = [];
  readonly young: string[] = [];
  readonly #cache: PrunableCache;
  readonly #storage: SpecStorage;
  readonly #options: KeepOptions;
  readonly #index: CacheIndex | undefined;
  readonly #kept: Set<string>;
  readonly #keepsAll: boolean;

  private constructor(cache: PrunableCache, storage: SpecStorage, options: KeepOptions, index: CacheIndex | undefined) {
    this.#cache = cache;
    this.#storage = storage;
    this.#options = options;
    this.#index = index;
    this.#kept = new Set(options.keep.hashes);
    this.#keepsAll = options.keep.hashes === undefined && options.keep.within === undefined;
  }

  /** Decides by the rules, the index and, if cheap or needed, the ages of all specs. Throws what the cache throws. */
  static async open(cache: PrunableCache, specs: readonly TaggedSpec[], options: KeepOptions): Promise<Keeper> {
    const { keep, signal } = options;
    const keepsAll = keep.hashes === undefined && keep.within === undefined;
    const keeper = new Keeper(
      cache,
      await cache.openStorage(),
      options,
      keepsAll ? undefined : await cache.readIndex({ signal }),
    );
    if (keepsAll) return keeper;
    for (const spec of specs) if (keeper.keeps(spec)) await keeper.#keep(spec);
    await keeper.#keepYoung(specs);
    return keeper;
  }

  /** True if a spec is kept. */
  keeps({ hash }: TaggedSpec): boolean {
    return this.#keepsAll || this.#kept.has(hash);
  }

  /** Keeps a spec and its dependencies if it is young, once its age is known. */
  async foundAge(spec: TaggedSpec, age: number): Promise<void> {
    if (age >= this.#options.grace || this.keeps(spec)) return;
    this.young.push(spec.tag);
    await this.#keep(spec);
  }

  async #keepYoung(specs: readonly TaggedSpec[]): Promise<void> {
    const { keep, grace, signal } = this.#options;
    // Where each age costs a request, ask only if the rules need ages.
    const { isTimed } = this.#storage;
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

  // Specs that are not in the index are read from the image; an unreadable image keeps only itself.
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

  async #ageOf(tag: string): Promise<number | undefined> {
    const { now, signal } = this.#options;
    try {
      const time = await this.#storage.timeOf(tag, { now, signal });
      return time === undefined ? undefined : now - time;
    } catch (error) {
      if (isStaveError(error, ...UNFIT)) return undefined;
      throw error;
    }
  }
}

const UNFIT = ["NOT_FOUND", "MEDIA_TYPE", "CONTENT_INVALID", "SPEC_INVALID", "TOO_LARGE"] as const;

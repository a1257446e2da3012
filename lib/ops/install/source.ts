// Several build caches as one: the first that has a spec provides it; if that fails, the others are tried.
import type {
  Abilities,
  CachedArchive,
  CachedSpec,
  CacheListing,
  FetchSpecOptions,
  FindSpecOptions,
  ReadCache,
} from "../../cache/cache.ts";
import type { CacheIndex } from "../../cache/index-read.ts";
import { parseSpecTag } from "../../cache/spec-tag.ts";
import { type ErrorCode, StaveError } from "../../errors.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { hasTrueHash } from "../../spack/spec/dag-hash.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { SpecDocument } from "../../spack/spec/spec-file.ts";
import { shortName, specTag } from "../../spack/spec/spec-name.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions } from "../../target/target.ts";
import { Limit, mapLimit } from "../../util/limit.ts";
import { askInOrder } from "../cache/ask-in-order.ts";
import { type FoundSpec, findCached, specNamedBy } from "../cache/find-cached.ts";
import { nearMisses } from "../cache/near-misses.ts";
import { shortEnv } from "./root-length.ts";

/** The archive of a spec, and the cache that has it. */
export interface CacheAnswer {
  readonly cache: ReadCache;
  readonly image: CachedArchive | CachedSpec;
}

/** A spec, and a graph with it and its dependencies. */
export type SpecInGraph = Pick<SpecDocument, "root" | "graph">;

/** Maximum number of specs that one query may match: the config of each is read and kept. */
const MANY = 500;

/** How many configs to read at once; few, because each may make others unnecessary. */
const CONFIGS_AT_ONCE = 12;

// A spec that was found, and what was read of its image.
interface FoundImage {
  readonly image: CachedArchive | CachedSpec;
  readonly spec: SpecInGraph;
}

/** The caches of an installation, in order of preference. */
export class InstallSource {
  readonly #caches: readonly ReadCache[];
  /** Read lists and indexes once for all queries. */
  readonly #lookups: ReadonlyMap<ReadCache, Lookup>;
  /** Images that were read before their installation, each for one use. */
  readonly #read = new Map<string, CacheAnswer>();
  /**
   * The specs of the documents that queries have read, by DAG hash; for each cache, because a policy may apply to one
   * and not to another.
   */
  readonly #known = new Map<ReadCache, Map<string, SpecInGraph>>();
  /** Orders the configs that are read: the largest graphs first. */
  readonly #reading = new Limit(CONFIGS_AT_ONCE);
  /** The variables of images, each text once. */
  readonly #variables = new Map<string, string>();

  constructor(caches: readonly ReadCache[]) {
    this.#caches = caches;
    this.#lookups = new Map(caches.map((cache) => [cache, new Lookup(cache)]));
  }

  /** Their names, for messages. */
  get name(): string {
    return this.#caches.map(({ name }) => name).join(", ");
  }

  /**
   * True if an error of `use` concerns this machine or all caches; false if another cache may still provide other
   * specs.
   */
  isEveryCache({ code, errors }: StaveError): boolean {
    const failures = errors?.length ?? 1;
    return LOCAL_ERRORS.has(code) || failures === this.#caches.length;
  }

  /** The specs that satisfy a query, from the first cache that has any. Throws as `use`. */
  async find(query: SpecQuery, text: string, options: OperationOptions): Promise<SpecInGraph[]> {
    const { answer, failures } = await askInOrder(await this.#orderFor(query, options), async (cache) => {
      const found = await findCached(this.#lookups.get(cache) ?? cache, query, options);
      if (found.length > MANY)
        throw new StaveError(
          "USAGE",
          `${text} matches ${found.length} specs in ${cache.name}, expected at most ${MANY}`,
          {
            subject: text,
            hint: "name a version, a variant or a hash",
          },
        );
      const read = async ({ tag, node }: FoundSpec): Promise<SpecInGraph> => {
        const { image, spec } = await this.#readOnce(cache, tag, { ...options, node });
        // Of several, not all are installed.
        if (found.length === 1) this.#read.set(spec.root.hash, { cache, image });
        return spec;
      };
      const documents = await mapLimit(found, DOCUMENTS_AT_ONCE, read, options.signal);
      return documents.length > 0 ? documents : undefined;
    });
    if (answer !== undefined) return answer;
    // A missing spec is not a failure here, so NOT_FOUND from every cache means that none of them exists.
    const gone = failures.filter(({ code }) => code === "NOT_FOUND");
    if (gone[0] !== undefined && gone.length === this.#caches.length) throw gone[0];
    const near = failures.length > 0 ? undefined : await nearMisses([...this.#lookups.values()], query, options);
    return this.#absent(text, failures, near);
  }

  // A cache that has exactly the spec that a query names comes first, so that no index of another is read.
  async #orderFor(query: SpecQuery, options: OperationOptions): Promise<readonly ReadCache[]> {
    const named = specNamedBy(query);
    if (named === undefined || this.#caches.length === 1) return this.#caches;
    const has = async (cache: ReadCache): Promise<ReadCache | undefined> =>
      (await cache.has(specTag(named), { ...options, named })) ? cache : undefined;
    const { answer } = await askInOrder(this.#caches, has);
    return answer === undefined ? this.#caches : [answer, ...this.#caches.filter((cache) => cache !== answer)];
  }

  /**
   * Reads the image of a spec ahead of its installation, without the layers of its dependencies. Throws as `use` does.
   */
  async readAhead(node: SpecNode, options: OperationOptions): Promise<CachedSpec> {
    return await this.#ask(node, async (cache) => {
      const read = this.#read.get(node.hash);
      const known = read?.cache === cache ? read.image : undefined;
      if (known?.document !== undefined) return known;
      const image = await this.#fetchSpec(cache, specTag(node), { ...options, node, archive: known });
      this.#read.set(node.hash, { cache, image });
      return image;
    });
  }

  /**
   * Calls `use` with the archive of a spec from each cache in turn until it succeeds. Throws SPEC_ABSENT if no cache
   * has it, and the first failure if a cache could not be asked or gave unusable content.
   */
  async use<T>(
    node: SpecNode,
    options: OperationOptions & { readonly isKnown?: (hash: string) => boolean },
    use: (found: CacheAnswer) => Promise<T>,
  ): Promise<T> {
    return await this.#ask(node, async (cache) => {
      const read = this.#read.get(node.hash);
      const image = read?.cache === cache ? read.image : await cache.locateArchive(specTag(node), { ...options, node });
      this.#read.delete(node.hash);
      return await use({ cache, image });
    });
  }

  async #ask<T>(node: SpecNode, ask: (cache: ReadCache) => Promise<T>): Promise<T> {
    const { answer, failures } = await askInOrder(
      this.#caches,
      async (cache) => ({ used: await ask(cache) }),
      // Another cache does not help against errors of this machine.
      ({ code }) => LOCAL_ERRORS.has(code),
    );
    if (answer !== undefined) return answer.used;
    return this.#absent(
      shortName(node),
      failures.map((error) => error.with({ side: error.side ?? "source" })),
    );
  }

  // Most specs of a list are dependencies of others in it. So those with the most dependencies are read first; most
  // others are known then, and only their archives are located.
  async #readOnce(cache: ReadCache, tag: string, options: FetchSpecOptions): Promise<FoundImage> {
    const { signal } = options;
    const archive = await cache.locateArchive(tag, options);
    if (archive.document !== undefined) return { image: archive, spec: archive.document };
    const read = async (): Promise<FoundImage> => {
      const spec = this.#known.get(cache)?.get(parseSpecTag(tag)?.hash ?? "");
      // A copy: the cache forgets what else it read of the image with the original.
      if (spec !== undefined && specTag(spec.root) === tag) return { image: { ...archive }, spec };
      const image = await this.#fetchSpec(cache, tag, { ...options, archive });
      this.#remember(cache, image.document);
      return { image, spec: image.document };
    };
    return await this.#reading.run(read, { signal, priority: -archive.dependencyLayerCount });
  }

  // Only of a document in which every hash tells the content of its node: another may describe dependencies at will.
  #remember(cache: ReadCache, { graph }: SpecDocument): void {
    const nodes = [...graph.nodes()];
    if (!nodes.every(hasTrueHash)) return;
    const known = this.#known.get(cache) ?? new Map<string, SpecInGraph>();
    this.#known.set(cache, known);
    for (const root of nodes) if (!known.has(root.hash)) known.set(root.hash, { root, graph });
  }

  // Keeps only what an installation needs of an image: thousands may wait in memory. A mirror finds an archive by the
  // very object that `fetchSpec` returned, so that object is kept.
  async #fetchSpec(cache: ReadCache, name: string, options: FetchSpecOptions): Promise<CachedSpec> {
    const image = await cache.fetchSpec(name, options);
    if (!cache.can.images) return image;
    const { tag, archive, diffId, layoutVersion, archivedAt, document } = image;
    const env = shortEnv(image, this.#variables);
    return { tag, archive, diffId, layoutVersion, archivedAt, document, env, layers: [archive] };
  }

  #absent(what: string, all: readonly StaveError[], near?: string): never {
    const failures = all.filter(({ code }) => code !== "NOT_FOUND");
    const [first, ...more] = failures;
    if (first !== undefined) throw more.length === 0 ? first : first.with({ errors: failures });
    throw new StaveError("SPEC_ABSENT", `${what} is not in ${this.name}`, {
      subject: what,
      hint: near ?? "`stave list -a` shows what is there",
    });
  }
}

// Reads the list and the index of a cache once.
class Lookup implements Pick<ReadCache, "name" | "can" | "has" | "list" | "readIndex"> {
  readonly name: string;
  readonly can: Abilities;
  readonly #cache: ReadCache;
  #list: Promise<CacheListing> | undefined;
  #index: Promise<CacheIndex | undefined> | undefined;

  constructor(cache: ReadCache) {
    this.name = cache.name;
    this.can = cache.can;
    this.#cache = cache;
  }

  has(tag: string, options: FindSpecOptions): Promise<boolean> {
    return this.#cache.has(tag, options);
  }

  list(options: OperationOptions): Promise<CacheListing> {
    this.#list ??= this.#cache.list(options);
    return this.#list;
  }

  readIndex(options: OperationOptions): Promise<CacheIndex | undefined> {
    this.#index ??= this.#cache.readIndex(options);
    return this.#index;
  }
}

const LOCAL_ERRORS: ReadonlySet<ErrorCode> = new Set([
  "ABORTED",
  "FILE_SYSTEM",
  "RELOCATION_FAILED",
  "CONFLICT",
  "INTERNAL",
]);

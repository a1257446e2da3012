// The catalogues of a server's repositories: each document is made when a browser asks for it, from the index as it is
// then.
import { ReadOciCache } from "../cache/oci-cache.ts";
import { INDEX_TAG } from "../cache/spec-tag.ts";
import { type ErrorCode, isStaveError, type StaveError } from "../errors.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { ReadTarget } from "../target/target.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { Limit, SingleFlight } from "../util/limit.ts";
import { Catalogue } from "./catalogue.ts";
import { imageFactsReader } from "./image-facts-reader.ts";
import { type CataloguePage, KeptPages, type PageText } from "./kept-pages.ts";
import { type AssetFiles, assetFiles } from "./page-assets.ts";
import { listPage, PAGE_POLICY, startPage, tableCount, tablePage } from "./plain-pages.ts";

/** The repositories of a server. */
export interface CatalogueRepositories {
  /** The only repository, if there can be no other. */
  readonly single: string | undefined;
  /** The names of all. */
  catalog(): Promise<readonly string[]>;
  /** Throws if there is none of this name. */
  get(name: string, create: false): Promise<ReadTarget>;
}

/** How to serve catalogues. */
export interface ServedCatalogueOptions {
  /** Keeps large indexes in files. */
  readonly memory?: DiskCache | undefined;
  /** Maximum number of bytes of the indexes that are kept; one that is larger is kept alone. Default: 512 MiB. */
  readonly mostBytes?: number | undefined;
}

/** The catalogue of one repository, made from one state of its index. */
interface Current {
  readonly version: string;
  readonly catalogue: Catalogue;
  /** The size of the index. */
  readonly size: number;
}

/** Why the index of one repository cannot be used. */
interface Broken {
  readonly version: string;
  readonly error: StaveError;
  /** When to read it again, on the clock of `performance.now`. */
  readonly until: number;
}

/** Catalogues that are kept: each has the records of an index. */
const KEPT = 4;
/** Maximum number of bytes of their indexes. */
const MOST_KEPT_BYTES = 512 * 1024 * 1024;
/** Repositories whose broken index is remembered. */
const MOST_BROKEN = 1000;
/** What is wrong with content as such, so that reading it again would find the same. */
const LASTING: readonly ErrorCode[] = ["CONTENT_INVALID", "MEDIA_TYPE", "SPEC_INVALID", "TOO_LARGE", "UNSUPPORTED"];
/** Blobs that are damaged or gone; someone may restore them. */
const PASSING: readonly ErrorCode[] = ["DIGEST_MISMATCH", "SIZE_MISMATCH", "NOT_FOUND"];
/** Milliseconds until such a blob is read again. */
const PAUSE = 60_000;
/** What follows the name of a repository. */
const FILE = /^(?:|index\.html|catalogue\.json|(?:assets|plain|data\/[0-9a-z]{1,16}\/[a-z]+)\/[\w.-]+)$/;
/** The most parts that it has. */
const DEEPEST = 4;
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" } as const;

/** The catalogues of a server. */
export class ServedCatalogue {
  /** The content security policy of all pages. */
  readonly policy: string = PAGE_POLICY;
  readonly #repositories: CatalogueRepositories;
  readonly #memory: DiskCache | undefined;
  readonly #mostBytes: number;
  readonly #current = new Map<string, Current>();
  readonly #broken = new Map<string, Broken>();
  readonly #asking = new SingleFlight<Current>();
  // Reading an index takes memory of its size.
  readonly #reading = new Limit(1);
  readonly #pages = new KeptPages();
  #assets: Promise<AssetFiles> | undefined;

  constructor(
    repositories: CatalogueRepositories,
    { memory, mostBytes = MOST_KEPT_BYTES }: ServedCatalogueOptions = {},
  ) {
    this.#repositories = repositories;
    this.#memory = memory;
    this.#mostBytes = mostBytes;
  }

  /**
   * The document at a path: `NAME/FILE`, or `FILE` if there is one repository. Undefined if there is none, a text for
   * the path to go to instead.
   */
  async page(path: string): Promise<CataloguePage | string | undefined> {
    const { single } = this.#repositories;
    if (single !== undefined) return FILE.test(path) ? await this.#file(single, path) : undefined;
    if (path === "") return await this.#list();
    // For the list itself.
    const asset = await this.#asset(path);
    if (asset !== undefined) return asset;
    const parts = path.split("/");
    // A repository may be named like a folder of another one's catalogue: the longest name that exists is meant.
    for (let end = parts.length - 1; end > 0 && end >= parts.length - DEEPEST; end--) {
      const [name, file] = [parts.slice(0, end).join("/"), parts.slice(end).join("/")];
      if (FILE.test(file) && (await this.#target(name)) !== undefined) return await this.#file(name, file);
    }
    return (await this.#target(path)) === undefined ? undefined : `${path}/`;
  }

  async #list(): Promise<CataloguePage | undefined> {
    const { paths } = await this.#files();
    return await this.#pages.shared("", async () => html(listPage(await this.#repositories.catalog(), paths)));
  }

  async #asset(path: string): Promise<CataloguePage | undefined> {
    const text = (await this.#files()).files.get(path);
    if (text === undefined) return undefined;
    return await this.#pages.get(keyOf("asset", path), async () => ({ type: typeOf(path), text, isFixed: true }));
  }

  async #file(name: string, path: string): Promise<CataloguePage | undefined> {
    const asset = await this.#asset(path);
    if (asset !== undefined) return asset;
    const { paths } = await this.#files();
    if (path === "" || path === "index.html")
      return await this.#pages.get(keyOf("start", name), async () => html(startPage(name, paths)));
    const { catalogue, version } = await this.#catalogue(name);
    const key = keyOf("file", name, version, path);
    const [, wanted, document = ""] = /^data\/([0-9a-z]+)\/(.+)$/.exec(path) ?? [];
    if (wanted !== undefined) {
      if (wanted !== version || !catalogue.has(document)) return undefined;
      const make = async () => json((await catalogue.file(document)) ?? "");
      // Details say what is attached to images, which changes without the index.
      return document.startsWith("details/") ? await this.#pages.shared(key, make) : await this.#pages.get(key, make);
    }
    if (path === "catalogue.json")
      return await this.#pages.get(key, async () => json(JSON.stringify(catalogue.start(`data/${version}`))));
    const number = Number(/^plain\/([1-9][0-9]{0,6})\.html$/.exec(path)?.[1] ?? 0);
    const { packages } = catalogue;
    if (number === 0 || number > tableCount(packages.length)) return undefined;
    return await this.#pages.get(key, async () => html(tablePage(name, packages, number, paths)));
  }

  /** The catalogue of a repository as it is now. */
  async #catalogue(name: string): Promise<Current> {
    return await this.#asking.run(name, async () => {
      const target = await this.#repositories.get(name, false);
      const found = await target.headManifest(INDEX_TAG);
      const version = found === undefined ? "none" : hexOf(found.digest).slice(0, 16);
      const broken = this.#broken.get(name);
      if (broken?.version === version && performance.now() < broken.until) throw broken.error;
      const known = this.#current.get(name);
      const current = known?.version === version ? known : await this.#read(name, version, target);
      this.#keep(name, current);
      return current;
    });
  }

  async #read(name: string, version: string, target: ReadTarget): Promise<Current> {
    this.#broken.delete(name);
    try {
      return await this.#readNow(name, version, target);
    } catch (error) {
      if (isStaveError(error, ...LASTING, ...PASSING)) {
        const until = isStaveError(error, ...LASTING) ? Number.POSITIVE_INFINITY : performance.now() + PAUSE;
        this.#broken.set(name, { version, error, until });
        for (const oldest of this.#broken.keys())
          if (this.#broken.size > MOST_BROKEN) this.#broken.delete(oldest);
          else break;
      }
      throw error;
    }
  }

  async #readNow(name: string, version: string, target: ReadTarget): Promise<Current> {
    return await this.#reading.run(async () => {
      // Its memory is needed for the new one.
      this.#current.delete(name);
      const cache = new ReadOciCache(target, { memory: this.#memory });
      const index = (await cache.readIndex()) ?? NO_INDEX;
      const readImages = imageFactsReader(cache, index);
      const catalogue = new Catalogue(index, { address: { kind: "served", repository: name }, readImages });
      return { version, catalogue, size: index.size };
    });
  }

  /** Keeps the catalogues that were used last. */
  #keep(name: string, current: Current): void {
    this.#current.delete(name);
    this.#current.set(name, current);
    let size = [...this.#current.values()].reduce((sum, one) => sum + one.size, 0);
    for (const [oldest, old] of this.#current) {
      if ((this.#current.size <= KEPT && size <= this.#mostBytes) || oldest === name) break;
      this.#current.delete(oldest);
      size -= old.size;
    }
  }

  // Only a name that cannot be a repository, or is none, counts as absent.
  async #target(name: string): Promise<ReadTarget | undefined> {
    try {
      return await this.#repositories.get(name, false);
    } catch (error) {
      if (isStaveError(error)) throw error;
      return undefined;
    }
  }

  #files(): Promise<AssetFiles> {
    this.#assets ??= assetFiles();
    return this.#assets;
  }
}

const NO_INDEX = {
  ...{ version: 8, digest: digestOf(Buffer.alloc(0)), size: 0 },
  ...{ records: new Map(), problems: [], incomplete: new Set<string>() },
};

const html = (text: string): PageText => ({ type: "text/html", text, isFixed: false });
const json = (text: string): PageText => ({ type: "application/json", text, isFixed: false });
/** A key of a kept document: no part has a space. */
const keyOf = (...parts: readonly string[]): string => parts.join(" ");

function typeOf(path: string): PageText["type"] {
  const extension = path.slice(path.lastIndexOf(".") + 1);
  return extension === "js" || extension === "css" || extension === "svg" ? TYPES[extension] : "application/json";
}

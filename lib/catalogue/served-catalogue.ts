// The catalogues of a server's repositories: each document is made when a browser asks for it, from the index as it is
// then.
import { ReadOciCache } from "../cache/oci-cache.ts";
import { INDEX_TAG } from "../cache/spec-tag.ts";
import { isStaveError } from "../errors.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { ReadTarget } from "../target/target.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { SingleFlight } from "../util/limit.ts";
import { Catalogue } from "./catalogue.ts";
import { imageFactsReader } from "./image-facts-reader.ts";
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
}

/** A document for a browser. */
export interface CataloguePage {
  readonly type: "text/html" | "text/css" | "text/javascript" | "application/json" | "image/svg+xml";
  readonly text: string;
  /** The path says what the content is. */
  readonly isFixed: boolean;
}

/** The catalogue of one repository, made from one state of its index. */
interface Current {
  readonly version: string;
  readonly catalogue: Catalogue;
}

/** Catalogues that are kept: each has the records of an index. */
const KEPT = 4;
/** What follows the name of a repository. */
const FILE = /^(?:|index\.html|catalogue\.json|(?:assets|plain|data\/[0-9a-z]{1,16}\/[a-z]+)\/[\w.-]+)$/;
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" } as const;

/** The catalogues of a server. */
export class ServedCatalogue {
  /** The content security policy of all pages. */
  readonly policy: string = PAGE_POLICY;
  readonly #repositories: CatalogueRepositories;
  readonly #memory: DiskCache | undefined;
  readonly #current = new Map<string, Current>();
  readonly #reading = new SingleFlight<Current>();
  #assets: Promise<AssetFiles> | undefined;

  constructor(repositories: CatalogueRepositories, { memory }: ServedCatalogueOptions = {}) {
    this.#repositories = repositories;
    this.#memory = memory;
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
    const asset = (await this.#files()).files.get(path);
    if (asset !== undefined) return { type: typeOf(path), text: asset, isFixed: true };
    const parts = path.split("/");
    // A repository may be named like a folder of another one's catalogue: the longest name that exists is meant.
    for (let end = parts.length - 1; end > 0; end--) {
      const [name, file] = [parts.slice(0, end).join("/"), parts.slice(end).join("/")];
      if (FILE.test(file) && (await this.#target(name)) !== undefined) return await this.#file(name, file);
    }
    return (await this.#target(path)) === undefined ? undefined : `${path}/`;
  }

  async #list(): Promise<CataloguePage> {
    const { paths } = await this.#files();
    return html(listPage(await this.#repositories.catalog(), paths));
  }

  async #file(name: string, path: string): Promise<CataloguePage | undefined> {
    const { paths, files } = await this.#files();
    const asset = files.get(path);
    if (asset !== undefined) return { type: typeOf(path), text: asset, isFixed: true };
    if (path === "" || path === "index.html") return html(startPage(name, paths));
    const { catalogue, version } = await this.#catalogue(name);
    const [, wanted, document = ""] = /^data\/([0-9a-z]+)\/(.+)$/.exec(path) ?? [];
    if (wanted !== undefined) {
      const text = wanted === version ? await catalogue.file(document) : undefined;
      return text === undefined ? undefined : { type: "application/json", text, isFixed: false };
    }
    if (path === "catalogue.json")
      return { type: "application/json", text: JSON.stringify(catalogue.start(`data/${version}`)), isFixed: false };
    const number = Number(/^plain\/([1-9][0-9]{0,6})\.html$/.exec(path)?.[1] ?? 0);
    const { packages } = catalogue;
    if (number === 0 || number > tableCount(packages.length)) return undefined;
    return html(tablePage(name, packages, number, paths));
  }

  /** The catalogue of a repository as it is now. */
  async #catalogue(name: string): Promise<Current> {
    return await this.#reading.run(name, async () => {
      const target = await this.#repositories.get(name, false);
      const found = await target.headManifest(INDEX_TAG);
      const version = found === undefined ? "none" : hexOf(found.digest).slice(0, 16);
      const known = this.#current.get(name);
      if (known?.version === version) return known;
      const cache = new ReadOciCache(target, { memory: this.#memory });
      const index = (await cache.readIndex()) ?? NO_INDEX;
      const readImages = imageFactsReader(cache, index);
      const made = {
        version,
        catalogue: new Catalogue(index, { address: { kind: "served", repository: name }, readImages }),
      };
      this.#current.delete(name);
      const [oldest] = this.#current.keys();
      if (this.#current.size >= KEPT && oldest !== undefined) this.#current.delete(oldest);
      this.#current.set(name, made);
      return made;
    });
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

const html = (text: string): CataloguePage => ({ type: "text/html", text, isFixed: false });

function typeOf(path: string): CataloguePage["type"] {
  const extension = path.slice(path.lastIndexOf(".") + 1);
  return extension === "js" || extension === "css" || extension === "svg" ? TYPES[extension] : "application/json";
}

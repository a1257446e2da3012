// Loads the documents of the catalogue, and keeps those that were loaded last.
import {
  CATALOGUE_FORMAT,
  type CatalogueStart,
  type HashShard,
  type PackageDocument,
  type PackageRow,
  type SpecDetails,
} from "../lib/catalogue/catalogue-data.ts";
import type { SpecKey } from "./routes.ts";

/** Documents that are kept. */
const KEPT = 200;
/** Specs that a search by hash shows. */
const MOST_FOUND = 50;

/** The documents of a catalogue. */
export class CatalogueLoader {
  #start: CatalogueStart;
  #rows: ReadonlyMap<string, PackageRow>;
  readonly #documents = new Map<string, Promise<unknown>>();

  private constructor(start: CatalogueStart) {
    this.#start = start;
    this.#rows = rowsOf(start);
  }

  /** Loads the start document. Throws an error that readers understand. */
  static async open(): Promise<CatalogueLoader> {
    return new CatalogueLoader(await fetchStart());
  }

  get start(): CatalogueStart {
    return this.#start;
  }

  /** The row of a package; undefined if the catalogue has none of this name. */
  row(name: string): PackageRow | undefined {
    return this.#rows.get(name);
  }

  /** The specs of a package. */
  async package(name: string): Promise<PackageDocument | undefined> {
    return await this.#read<PackageDocument>(() => {
      const file = this.#fileOf(name);
      return file && `packages/${file}.json`;
    });
  }

  /** One spec. */
  async spec({ name, hash }: SpecKey): Promise<SpecDetails | undefined> {
    const found = await this.package(name);
    const at = found?.lines.findIndex(([other]) => other === hash) ?? -1;
    if (found === undefined || at < 0) return undefined;
    const pieces = await this.#read<readonly SpecDetails[]>(() => {
      const file = this.#fileOf(name);
      return file && `details/${file}-${Math.floor(at / found.piece)}.json`;
    });
    return pieces?.find((one) => one.hash === hash);
  }

  /** Specs whose hash starts with some letters. */
  async withHash(letters: string): Promise<readonly SpecKey[]> {
    const { shard, packages } = this.#start;
    if (letters.length < shard) return [];
    const found = await this.#read<HashShard>(() => `hashes/${letters.slice(0, shard)}.json`);
    const keys = (found ?? []).filter(([hash]) => hash.startsWith(letters)).slice(0, MOST_FOUND);
    return keys.flatMap(([hash, at]) => {
      const name = packages[at]?.[0];
      return name === undefined ? [] : [{ name, hash }];
    });
  }

  #fileOf(name: string): string | undefined {
    const row = this.#rows.get(name);
    return row?.[3] ?? row?.[0];
  }

  /** Reads a document. If it is gone, the catalogue may have been written again: then once more. */
  async #read<T>(pathNow: () => string | undefined): Promise<T | undefined> {
    const path = pathNow();
    if (path === undefined) return undefined;
    const found = await this.#load(`${this.#start.data}/${path}`);
    if (found !== undefined) return found as T;
    const start = await fetchStart();
    if (start.data === this.#start.data) return undefined;
    this.#start = start;
    this.#rows = rowsOf(start);
    this.#documents.clear();
    const again = pathNow();
    return again === undefined ? undefined : ((await this.#load(`${start.data}/${again}`)) as T | undefined);
  }

  #load(path: string): Promise<unknown> {
    const known = this.#documents.get(path);
    if (known !== undefined) return known;
    const loading = fetchJson(path);
    if (this.#documents.size >= KEPT) this.#documents.delete(this.#documents.keys().next().value ?? "");
    this.#documents.set(path, loading);
    // The next attempt may succeed.
    loading.then(
      (value) => value === undefined && this.#documents.delete(path),
      () => this.#documents.delete(path),
    );
    return loading;
  }
}

const rowsOf = ({ packages }: CatalogueStart): Map<string, PackageRow> => new Map(packages.map((row) => [row[0], row]));

async function fetchStart(): Promise<CatalogueStart> {
  const start = (await fetchJson("catalogue.json")) as CatalogueStart | undefined;
  if (start === undefined) throw new Error("the catalogue is not there");
  if (start.format !== CATALOGUE_FORMAT) throw new Error("the catalogue was written again: load the page once more");
  return start;
}

/** A document; undefined if there is none. */
async function fetchJson(path: string): Promise<unknown> {
  const response = await fetch(path, { cache: "no-cache" });
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`the server answered with status ${response.status}`);
  return await response.json();
}

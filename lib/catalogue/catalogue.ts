// The documents of a catalogue of a build cache, made one at a time from its index: to write them to a folder, or to
// answer the requests of a browser.
import type { CacheIndex } from "../cache/index-read.ts";
import { type IndexRecord, lonelyNode } from "../cache/record.ts";
import { isStaveError } from "../errors.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { placeInOrder } from "../spack/query/version-range.ts";
import type { VariantValue } from "../spack/spec/node.ts";
import { compilerOf, flagsText, variantText } from "../spack/spec/spec-format.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import { compareVersions } from "../spack/spec/version.ts";
import {
  CATALOGUE_FORMAT,
  type CacheAddress,
  type CatalogueStart,
  type DependencyRow,
  EXTERNAL,
  type HashShard,
  type ImageFacts,
  IN_CACHE,
  INCOMPLETE,
  type PackageDocument,
  type PackageRow,
  type SpecDetails,
  type SpecLine,
} from "./catalogue-data.ts";
import { ReverseEdges } from "./reverse-edges.ts";

/** The number of specs in one file of details. */
const PIECE = 50;
/** Maximum number of dependents of a spec that a page lists. */
const MOST_DEPENDENTS = 40;
/** Maximum number of variants and of dependencies of a spec that a page lists. */
const MOST_PARTS = 1000;
/** Maximum number of characters of a text of the index that a page shows. */
const LONGEST_TEXT = 2000;
/** Above this number of specs, two letters of a hash name the file that has its package. */
const MANY = 20_000;

/** Reads what the images of specs consist of, by hash. */
export type ReadImages = (records: readonly IndexRecord[]) => Promise<ReadonlyMap<string, ImageOrProblem>>;

/** The image of a spec, or why it cannot be read. */
export type ImageOrProblem = { readonly image: ImageFacts } | { readonly problem: string };

/** What a catalogue describes. */
export interface CatalogueOptions {
  readonly address: CacheAddress;
  /** Default: the images are not read. */
  readonly readImages?: ReadImages | undefined;
}

/** A package and its specs, newest version first. */
interface Package {
  readonly name: string;
  readonly file: string;
  readonly records: readonly IndexRecord[];
}

/** What a document is made from. */
type Source =
  | { readonly package: Package }
  | { readonly records: readonly IndexRecord[] }
  | { readonly rows: HashShard };

/** A document below the folder of data. */
export interface CatalogueFile {
  /** Relative, with slashes; safe on any file system. */
  readonly path: string;
  readonly text: string;
}

/** The documents of a catalogue. */
export class Catalogue {
  readonly #index: CacheIndex;
  readonly #options: CatalogueOptions;
  readonly #packages: readonly Package[];
  readonly #byFile: ReadonlyMap<string, Package>;
  readonly #parents: ReverseEdges;
  readonly #shard: number;
  #shards: ReadonlyMap<string, HashShard> | undefined;
  /** Packages by name. */
  readonly packages: readonly PackageRow[];
  /** The number of specs that the cache has. */
  readonly specs: number;

  constructor(index: CacheIndex, options: CatalogueOptions) {
    this.#index = index;
    this.#options = options;
    const byName = new Map<string, IndexRecord[]>();
    for (const record of index.records.values()) {
      const known = byName.get(record.name);
      if (known === undefined) byName.set(record.name, [record]);
      else known.push(record);
    }
    this.#packages = [...byName]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, records]) => ({ name, file: fileOf(name), records: newestFirst(records) }));
    this.#byFile = new Map(this.#packages.map((one) => [one.file, one]));
    this.#parents = new ReverseEdges(index.records);
    this.#shard = index.records.size > MANY ? 2 : 1;
    const cached = this.#packages.map(({ records }) => records.filter(({ inBuildcache }) => inBuildcache));
    this.specs = cached.reduce((sum, { length }) => sum + length, 0);
    this.packages = this.#packages.map(({ name, file, records }, at) => {
      const newest = shown((cached[at]?.[0] ?? records[0])?.version ?? "");
      const specs = cached[at]?.length ?? 0;
      return file === name ? [name, specs, newest] : [name, specs, newest, file];
    });
  }

  /** The document of the first view; `data` is the folder of all others, relative to it. */
  start(data: string): CatalogueStart {
    const { specs } = this;
    return {
      format: CATALOGUE_FORMAT,
      address: this.#options.address,
      data,
      specs,
      others: this.#index.records.size - specs,
      damaged: this.#index.problems.length,
      hasImages: this.#options.readImages !== undefined,
      shard: this.#shard,
      packages: this.packages,
    };
  }

  /** All documents below the folder of data, one after the other. */
  async *files(): AsyncIterable<CatalogueFile> {
    for (const { file, records } of this.#packages) {
      const paths = [`packages/${file}.json`];
      for (let piece = 0; piece * PIECE < records.length; piece++) paths.push(`details/${file}-${piece}.json`);
      for (const path of paths) yield { path, text: (await this.file(path)) ?? "" };
    }
    for (const [letters, rows] of this.#byLetters())
      yield { path: `hashes/${letters}.json`, text: JSON.stringify(rows) };
  }

  /** True if there is a document with a path below the folder of data. Costs almost nothing. */
  has(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  /** The document with a path below the folder of data; undefined if there is none. */
  async file(path: string): Promise<string | undefined> {
    const found = this.#find(path);
    if (found === undefined) return undefined;
    if ("package" in found) return JSON.stringify(this.#package(found.package));
    return JSON.stringify("rows" in found ? found.rows : await this.#details(found.records));
  }

  /** What a document is made from. */
  #find(path: string): Source | undefined {
    const [, folder, name = ""] = /^(packages|details|hashes)\/([A-Za-z0-9_-]{1,100})\.json$/.exec(path) ?? [];
    if (folder === "packages") {
      const found = this.#byFile.get(name);
      return found && { package: found };
    }
    if (folder === "details") {
      const [, file = "", piece] = /^(.+)-(0|[1-9][0-9]{0,6})$/.exec(name) ?? [];
      const from = Number(piece ?? 0) * PIECE;
      const records = this.#byFile.get(file)?.records.slice(from, from + PIECE) ?? [];
      return records.length === 0 ? undefined : { records };
    }
    if (folder !== "hashes" || name.length !== this.#shard) return undefined;
    const rows = this.#byLetters().get(name);
    return rows && { rows };
  }

  #byLetters(): ReadonlyMap<string, HashShard> {
    if (this.#shards !== undefined) return this.#shards;
    const shards = new Map<string, (readonly [string, number])[]>();
    for (const [at, { records }] of this.#packages.entries())
      for (const { hash } of records) {
        const letters = hash.slice(0, this.#shard);
        const rows = shards.get(letters);
        if (rows === undefined) shards.set(letters, [[hash, at]]);
        else rows.push([hash, at]);
      }
    this.#shards = new Map([...shards].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    return this.#shards;
  }

  #package({ name, records }: Package): PackageDocument {
    return { name, piece: PIECE, lines: records.map((record) => this.#line(record)) };
  }

  #line(record: IndexRecord): SpecLine {
    const { hash, version } = record;
    const node = this.#node(record);
    if ("problem" in node) return [hash, shown(version), "", "", "", this.#marks(record)];
    const parameters = `${variantText(node) ?? ""} ${flagsText(node) ?? ""}`.trim();
    const architecture = `${node.platform}-${node.os}-${node.target}`;
    const marks = this.#marks(record) | (node.external === undefined ? 0 : EXTERNAL);
    return [hash, shown(version), shown(architecture), compilerText(node), shown(parameters), marks];
  }

  async #details(records: readonly IndexRecord[]): Promise<SpecDetails[]> {
    const cached = records.filter(({ inBuildcache }) => inBuildcache);
    const images = await this.#options.readImages?.(cached);
    return records.map((record) => ({ ...this.#detail(record), ...images?.get(record.hash) }));
  }

  #detail(record: IndexRecord): SpecDetails {
    const { hash, version, name, builtAs } = record;
    const { count, first } = this.#parents.dependents(hash, MOST_DEPENDENTS);
    const common = {
      ...{ hash, version: shown(version), tag: specTag({ name, version, hash }), marks: this.#marks(record) },
      dependents: first.map((parent) => [parent.name, parent.hash, shown(parent.version)] as const),
      dependentCount: count,
      ...(builtAs !== undefined && { builtAs: [this.#index.records.get(builtAs)?.name ?? "", builtAs] as const }),
    };
    const node = this.#node(record);
    if ("problem" in node) {
      const nothing = { platform: "", os: "", target: "", compiler: "", variants: [], flags: [], dependencies: [] };
      return { ...common, namespace: undefined, ...nothing, problem: node.problem };
    }
    const { namespace, platform, os, target, variants, flags, references, external } = node;
    return {
      ...common,
      namespace: namespace && shown(namespace),
      ...{ platform: shown(platform), os: shown(os), target: shown(target), compiler: compilerText(node) },
      marks: common.marks | (external === undefined ? 0 : EXTERNAL),
      variants: parts([...variants]).map(([variant, value]) => [shown(variant), shown(variantValue(value))] as const),
      flags: [...flags].flatMap(([kind, set]) => (set.length === 0 ? [] : [[kind, shown(set.join(" "))] as const])),
      dependencies: parts(references).map(({ key, name: named, types, virtuals }): DependencyRow => {
        const child = this.#index.records.get(key);
        return [
          shown(child?.name ?? named),
          shown(key),
          shown(child?.version ?? ""),
          types,
          parts(virtuals).map(shown),
        ];
      }),
      ...(external?.path && { path: shown(external.path) }),
    };
  }

  #marks({ hash, inBuildcache }: IndexRecord): number {
    return (inBuildcache ? IN_CACHE : 0) | (this.#index.incomplete.has(hash) ? INCOMPLETE : 0);
  }

  // One record that cannot be read must not take the page of its package away.
  #node(record: IndexRecord): ReturnType<typeof lonelyNode> | { readonly problem: string } {
    try {
      return lonelyNode(record, (hash) => this.#index.records.get(hash), "the index");
    } catch (error) {
      if (!isStaveError(error, "SPEC_INVALID")) throw error;
      return { problem: shown(error.message) };
    }
  }
}

/** A text of the index: without invisible characters, which could mislead, and of bounded length. */
function shown(text: string): string {
  return printable(text, { most: LONGEST_TEXT });
}

function parts<T>(list: readonly T[]): readonly T[] {
  return list.slice(0, MOST_PARTS);
}

function variantValue(value: VariantValue): string {
  if (typeof value === "boolean") return value ? "true" : "false";
  return typeof value === "string" ? value : value.join(", ");
}

function compilerText(node: Parameters<typeof compilerOf>[0]): string {
  const compiler = compilerOf(node);
  return compiler === undefined ? "" : shown(`${compiler.name}@${compiler.version}`);
}

// What any file system takes as it is, and what is no device of Windows; `_` starts the names of all others.
const SAFE = /^(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])$)[a-z0-9][a-z0-9-]{0,79}$/;

/** The name, without extension, of the files of a package. */
function fileOf(name: string): string {
  return SAFE.test(name) ? name : `_${hexOf(digestOf(Buffer.from(name))).slice(0, 20)}`;
}

function newestFirst(records: readonly IndexRecord[]): readonly IndexRecord[] {
  const rows = records.map((record) => ({ record, version: placeInOrder(record.version) }));
  const order = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
  return rows
    .sort(
      (a, b) =>
        compareVersions(b.version, a.version) ||
        order(a.record.version, b.record.version) ||
        order(a.record.hash, b.record.hash),
    )
    .map(({ record }) => record);
}

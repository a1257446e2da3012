// The documents of a catalogue, as the generator writes them and the browser reads them. Lists of texts stand for what
// could be objects with keys: a package may have any name, `__proto__` too.

/** The version of the documents; the browser part and the documents are always written together. */
export const CATALOGUE_FORMAT = 1;

/** Where readers of the catalogue find the cache. */
export type CacheAddress =
  /** A registry or a layout, as CACHE arguments spell it: its specs are images. */
  | { readonly kind: "images"; readonly text: string }
  /** A mirror: a folder, a web server or a bucket. */
  | { readonly kind: "mirror"; readonly text: string }
  /** A repository of the server that also serves the page. */
  | { readonly kind: "served"; readonly repository: string };

/** A package: its name, how many specs of it the cache has, its newest version, and its files if not named after it. */
export type PackageRow = readonly [name: string, specs: number, newest: string, file?: string];

/** `catalogue.json`: what the first view needs. */
export interface CatalogueStart {
  readonly format: number;
  readonly address: CacheAddress;
  /** The folder of all other documents, relative to this one. */
  readonly data: string;
  /** The number of specs in the cache, and of specs that are only known as dependencies. */
  readonly specs: number;
  readonly others: number;
  /** The number of records of the index that cannot be used. */
  readonly damaged: number;
  /** The details of specs say what their images are made of. */
  readonly hasImages: boolean;
  /** How many letters of a hash name the file that has its package. */
  readonly shard: number;
  /** By name. */
  readonly packages: readonly PackageRow[];
}

/** The cache has the binary of the spec. */
export const IN_CACHE = 1;
/** A direct or indirect dependency is not in the index. */
export const INCOMPLETE = 2;
/** Not built by Spack. */
export const EXTERNAL = 4;

/** A spec in the list of its package, newest version first. Variants and flags are as Spack writes them. */
export type SpecLine = readonly [
  hash: string,
  version: string,
  architecture: string,
  compiler: string,
  parameters: string,
  marks: number,
];

/** `packages/FILE.json`. The details of its specs are in pieces, in the order of the lines. */
export interface PackageDocument {
  readonly name: string;
  /** The number of specs of a piece. */
  readonly piece: number;
  readonly lines: readonly SpecLine[];
}

/** A dependency; without a version if the index does not have it. */
export type DependencyRow = readonly [
  name: string,
  hash: string,
  version: string,
  /** The bits of link, run, build and test: 1, 2, 4, 8. */
  types: number,
  virtuals: readonly string[],
];

/** A spec that depends on another one. */
export type DependentRow = readonly [name: string, hash: string, version: string];

/** The image of a spec, or the archive in a mirror. */
export interface ImageFacts {
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
  /** How many of each kind are attached; the signatures were not checked. Undefined if the cache was not asked. */
  readonly attached?: Attached | undefined;
}

/** What is attached to an image. */
export interface Attached {
  readonly signatures: number;
  readonly sboms: number;
  readonly provenance: number;
  readonly others: number;
}

/** A spec in `details/FILE-PIECE.json`. */
export interface SpecDetails {
  readonly hash: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly platform: string;
  readonly os: string;
  readonly target: string;
  readonly compiler: string;
  readonly tag: string;
  readonly marks: number;
  readonly variants: readonly (readonly [name: string, value: string])[];
  /** Compiler flags by kind. */
  readonly flags: readonly (readonly [kind: string, flags: string])[];
  readonly dependencies: readonly DependencyRow[];
  /** The first ones, and the number of all. */
  readonly dependents: readonly DependentRow[];
  readonly dependentCount: number;
  /** The place of an external, if it is known. */
  readonly path?: string | undefined;
  /** The spec from which a spliced one was built. */
  readonly builtAs?: readonly [name: string, hash: string] | undefined;
  /** What the image consists of, or why that is not known. */
  readonly image?: ImageFacts | undefined;
  readonly problem?: string | undefined;
}

/** `hashes/LETTERS.json`: hashes, each with the number of its package in `packages`. */
export type HashShard = readonly (readonly [hash: string, at: number])[];

// Which package a file of an image belongs to.
import type { ByteString } from "../util/byte-string.ts";
import type { TreeFile } from "./image-tree.ts";

/** A spec that the history of an image names. */
export interface NamedSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
}

/** A layer of an image, as its history describes it. */
export interface ImagePart {
  /** The layer belongs to the base image. */
  readonly isBase: boolean;
  /** The specs in the layer; empty if unknown. */
  readonly specs: readonly NamedSpec[];
}

/** `zlib@1.3/abcdefg`. */
export function specLabel({ name, version, hash }: NamedSpec): string {
  return `${name}@${version}/${hash.slice(0, 7)}`;
}

/** The packages of an image. */
export class Packages {
  readonly #parts: readonly ImagePart[];
  readonly #byFolder = new Map<ByteString, NamedSpec | undefined>();

  constructor(parts: readonly ImagePart[]) {
    this.#parts = parts;
  }

  /** True for a file of the base image. */
  isInBase({ layer }: TreeFile): boolean {
    return this.#parts[layer]?.isBase ?? false;
  }

  /** The package of a file, for people. */
  nameOf(file: TreeFile): string {
    const spec = this.specOf(file);
    if (spec) return specLabel(spec);
    if (this.isInBase(file)) return "the base image";
    return prefixIn(file.path) ?? `layer ${file.layer + 1}`;
  }

  /** The spec of a file, if the history names it. */
  specOf({ path, layer }: TreeFile): NamedSpec | undefined {
    const specs = this.#parts[layer]?.specs ?? [];
    const [only] = specs;
    if (specs.length === 1) return only;
    if (specs.length === 0) return undefined;
    const folder = path.slice(0, path.lastIndexOf("/"));
    const key = `${layer} ${folder}`;
    if (this.#byFolder.has(key)) return this.#byFolder.get(key);
    const spec = specs.find(({ hash }) => folder.includes(hash));
    this.#byFolder.set(key, spec);
    return spec;
  }
}

// Spack names a prefix by the hash of its spec unless it is configured otherwise.
function prefixIn(path: ByteString): string | undefined {
  return /^(?:.*?\/)?([^/]+-[a-z2-7]{32})(?:\/|$)/.exec(path)?.[1];
}

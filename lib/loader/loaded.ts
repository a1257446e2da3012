// What loading a program gives, whichever loader does it.
import type { ByteString } from "../util/byte-string.ts";
import type { ElfFacts } from "./elf-facts.ts";
import type { TreeFile } from "./image-tree.ts";

/** A program or library that is loaded. */
export interface LoadedObject {
  readonly file: TreeFile;
  readonly facts: ElfFacts;
  /** The folder that `$ORIGIN` stands for. */
  readonly origin: ByteString;
  /** The object that it was loaded for; undefined for the first. */
  readonly loader: LoadedObject | undefined;
  /** Every name by which it was requested. */
  readonly names: Set<ByteString>;
}

/** A library that is needed and not found. */
export interface MissingLibrary {
  readonly name: ByteString;
  readonly by: LoadedObject;
}

/** A version that is required, but not defined by the library that is loaded. */
export interface MissingVersion {
  readonly version: ByteString;
  readonly by: LoadedObject;
  readonly from: LoadedObject;
}

/** The result of loading. */
export interface Loading {
  /** In the order of loading; the program is the first. */
  readonly objects: readonly LoadedObject[];
  readonly missing: readonly MissingLibrary[];
  readonly versions: readonly MissingVersion[];
}

/** A dynamic loader with the tree in which it searches. */
export interface DynamicLoader {
  readonly kind: "glibc" | "musl";
  /** Loads a program, or a library as `dlopen` would without a program. */
  load(file: TreeFile, facts: ElfFacts): Loading;
}

/** True if an object can be loaded beside another: the same machine, size and byte order. */
export function isCompatible(a: ElfFacts, b: ElfFacts): boolean {
  return a.machine === b.machine && a.bits === b.bits && a.isLittle === b.isLittle;
}

/** The folder of a path. */
export function folderOf(path: ByteString): ByteString {
  return path.slice(0, Math.max(0, path.lastIndexOf("/"))) || "/";
}

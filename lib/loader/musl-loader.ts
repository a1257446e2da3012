// The dynamic loader of musl, which is also its C library (musl `ldso/dynlink.c`). It has no cache, and checks no
// versions.
import type { ByteString } from "../util/byte-string.ts";
import type { ElfFacts } from "./elf-facts.ts";
import type { ImageTree, TreeFile } from "./image-tree.ts";
import {
  type DynamicLoader,
  folderOf,
  isCompatible,
  type LoadedObject,
  type Loading,
  type MissingLibrary,
} from "./loaded.ts";

const DEFAULT_FOLDERS = ["/lib", "/usr/local/lib", "/usr/lib"];
/** The libraries that are part of libc. */
const ITSELF = /^lib(?:c|pthread|rt|m|dl|util|xnet)\./;

/** True if an interpreter is that of musl. */
export function isMuslName(interpreter: ByteString): boolean {
  return /\/ld-musl-[\w-]+\.so\.1$/.test(interpreter);
}

/** The loader of musl. */
export class MuslLoader implements DynamicLoader {
  readonly kind = "musl";
  readonly #tree: ImageTree;
  readonly #libraryPath: readonly ByteString[];
  readonly #folders: readonly ByteString[];

  /** `interpreter` is the path by which programs name it. */
  constructor(tree: ImageTree, interpreter: ByteString, { libraryPath }: { libraryPath?: string | undefined } = {}) {
    this.#tree = tree;
    this.#libraryPath = foldersIn(libraryPath ?? "");
    const architecture = /ld-musl-([\w-]+)\.so\.1$/.exec(interpreter)?.[1] ?? "";
    const said = tree.text(`/etc/ld-musl-${architecture}.path`);
    this.#folders = said === undefined ? DEFAULT_FOLDERS : foldersIn(said);
  }

  load(file: TreeFile, facts: ElfFacts): Loading {
    const first: LoadedObject = { file, facts, origin: folderOf(file.path), loader: undefined, names: new Set() };
    const objects = [first];
    const missing: MissingLibrary[] = [];
    for (const object of objects)
      for (const name of object.facts.needed ?? []) {
        if (ITSELF.test(name) || objects.some(({ names }) => names.has(name))) continue;
        const found = this.#search(name, object);
        const same = objects.find((other) => other.file.path === found?.path);
        if (same) same.names.add(name);
        else if (found?.entry.elf === undefined) missing.push({ name, by: object });
        else {
          const origin = folderOf(found.path);
          objects.push({ file: found, facts: found.entry.elf, origin, loader: object, names: new Set([name]) });
        }
      }
    return { objects, missing, versions: [] };
  }

  #search(name: ByteString, by: LoadedObject): TreeFile | undefined {
    if (name.includes("/")) return this.#file(name, by.facts);
    for (const folder of this.#places(by)) {
      const found = this.#file(`${folder}/${name}`, by.facts);
      if (found) return found;
    }
    return undefined;
  }

  // RPATH and RUNPATH mean the same, and both are inherited.
  *#places(by: LoadedObject): Iterable<ByteString> {
    yield* this.#libraryPath;
    for (let at: LoadedObject | undefined = by; at !== undefined; at = at.loader) {
      const path = at.facts.runpath ?? at.facts.rpath ?? "";
      yield* foldersIn(path.replaceAll(/\$(?:ORIGIN|\{ORIGIN\})/g, at.origin));
    }
    yield* this.#folders;
  }

  #file(path: ByteString, facts: ElfFacts): TreeFile | undefined {
    const file = path.startsWith("/") ? this.#tree.find(path) : undefined;
    return file?.entry.elf && isCompatible(file.entry.elf, facts) ? file : undefined;
  }
}

function foldersIn(text: string): string[] {
  return text.split(/[:\n]/).filter((part) => part.startsWith("/"));
}

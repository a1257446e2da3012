// The dynamic loader of glibc: in which order it searches, what it takes for loaded, and which versions it requires
// (glibc `elf/dl-load.c`, `elf/dl-deps.c`, `elf/dl-version.c`).
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
  type MissingVersion,
} from "./loaded.ts";

/** What the loader depends on besides the tree. */
export interface LoaderSettings {
  /** The value of LD_LIBRARY_PATH. */
  readonly libraryPath?: string | undefined;
  /** The level of x86-64 (2 to 4) that every processor has; default: 1, which has no folders of its own. */
  readonly level?: number | undefined;
}

/** The folders of a loader in which none can be read: those of glibc's own build. */
const UPSTREAM_FOLDERS = ["/lib64", "/usr/lib64"];
const PLATFORMS: ReadonlyMap<number, string> = new Map([
  [3, "i686"],
  [21, "powerpc64"],
  [22, "s390x"],
  [62, "x86_64"],
  [183, "aarch64"],
  [243, "riscv64"],
]);

/** The loader of glibc that lies at a path of the tree. */
export class GlibcLoader implements DynamicLoader {
  readonly kind = "glibc";
  readonly #tree: ImageTree;
  readonly #itself: TreeFile;
  readonly #interpreter: ByteString;
  readonly #settings: LoaderSettings;
  readonly #folders: readonly ByteString[];
  readonly #lib: string;
  readonly #cached = new Map<ByteString, ByteString[]>();
  readonly #searches = new Map<string, TreeFile | undefined>();
  readonly #paths = new Map<string, readonly ByteString[]>();

  /** `interpreter` is the path by which programs name it. */
  constructor(tree: ImageTree, itself: TreeFile, interpreter: ByteString, settings: LoaderSettings = {}) {
    this.#tree = tree;
    this.#itself = itself;
    this.#interpreter = interpreter;
    this.#settings = settings;
    const folders = itself.entry.elf?.folders ?? [];
    this.#folders = folders.length > 0 ? folders : UPSTREAM_FOLDERS;
    this.#lib = (this.#folders[0] ?? "/lib").replace(/^\/(?:usr\/)?/, "");
    for (const { name, path } of tree.cache ?? []) {
      const level = levelIn(path);
      if (level > (settings.level ?? 1)) continue;
      const paths = this.#cached.get(name);
      // The loader prefers the highest level, whatever the order.
      if (paths === undefined) this.#cached.set(name, [path]);
      else paths.splice(level > 1 ? 0 : paths.length, 0, path);
    }
  }

  load(file: TreeFile, facts: ElfFacts): Loading {
    const first: LoadedObject = {
      file,
      facts,
      origin: folderOf(file.path),
      loader: undefined,
      names: new Set([file.path]),
    };
    const objects = [first];
    const missing: MissingLibrary[] = [];
    // The loader itself is loaded from the start. Its versions count, but it needs nothing.
    const own = this.#itself.entry.elf;
    const itself: LoadedObject | undefined = own && {
      file: this.#itself,
      facts: own,
      origin: folderOf(this.#itself.path),
      loader: undefined,
      names: new Set([this.#interpreter, this.#itself.path]),
    };
    const loaded = itself ? [first, itself] : [first];
    const requested = new Map<LoadedObject, Map<ByteString, LoadedObject>>();
    for (const object of objects) {
      const found = new Map<ByteString, LoadedObject>();
      requested.set(object, found);
      for (const name of object.facts.needed ?? []) {
        const library = this.#library(name, object, first, loaded);
        if (library === undefined) missing.push({ name, by: object });
        else {
          found.set(name, library);
          if (!loaded.includes(library)) {
            loaded.push(library);
            objects.push(library);
          }
        }
      }
    }
    return {
      objects,
      missing,
      versions: objects.flatMap((object) => [...missingVersions(object, requested.get(object))]),
    };
  }

  // The object that a NEEDED name stands for: one that is loaded, or a new one.
  #library(
    name: ByteString,
    by: LoadedObject,
    main: LoadedObject,
    loaded: readonly LoadedObject[],
  ): LoadedObject | undefined {
    const there = loaded.find(({ names, facts }) => names.has(name) || facts.soname === name);
    if (there) {
      there.names.add(name);
      return there;
    }
    const found = name.includes("/") ? this.#atPath(name, by) : this.#search(name, by, main);
    if (found === undefined) return undefined;
    const same = loaded.find(({ file }) => file.path === found.file.path);
    if (same) {
      same.names.add(name);
      return same;
    }
    const facts = found.file.entry.elf;
    if (facts === undefined) return undefined;
    return { file: found.file, facts, origin: folderOf(found.at), loader: by, names: new Set([name, found.at]) };
  }

  #atPath(name: ByteString, by: LoadedObject): Found | undefined {
    const path = this.#expand(name, by);
    const file = path.startsWith("/") ? this.#tree.find(path) : undefined;
    return file?.entry.elf && isCompatible(file.entry.elf, by.facts) ? { file, at: path } : undefined;
  }

  #search(name: ByteString, by: LoadedObject, main: LoadedObject): Found | undefined {
    const { facts } = by;
    const inFolders = (folders: readonly ByteString[]): Found | undefined => {
      for (const folder of folders) {
        const found = this.#inFolder(folder, name, facts);
        if (found) return found;
      }
      return undefined;
    };
    const inherited = facts.runpath === undefined ? this.#chain(by, main) : [];
    for (const object of inherited) {
      const found = inFolders(this.#path(object.facts.rpath, object));
      if (found) return found;
    }
    return (
      inFolders(this.#path(this.#settings.libraryPath, by)) ??
      inFolders(this.#path(facts.runpath, by)) ??
      (facts.skipsDefaults ? undefined : (this.#inCache(name, facts) ?? inFolders(this.#folders)))
    );
  }

  // The objects whose RPATH counts: from the object through those that it was loaded for up to the program.
  *#chain(by: LoadedObject, main: LoadedObject): Iterable<LoadedObject> {
    let isMainDone = false;
    for (let at: LoadedObject | undefined = by; at !== undefined; at = at.loader) {
      isMainDone ||= at === main;
      if (at.facts.runpath === undefined && at.facts.rpath !== undefined) yield at;
    }
    if (!isMainDone && main.facts.runpath === undefined && main.facts.rpath !== undefined) yield main;
  }

  #inCache(name: ByteString, facts: ElfFacts): Found | undefined {
    for (const path of this.#cached.get(name) ?? []) {
      const file = this.#tree.find(path);
      if (file?.entry.elf && isCompatible(file.entry.elf, facts)) return { file, at: path };
    }
    return undefined;
  }

  #inFolder(folder: ByteString, name: ByteString, facts: ElfFacts): Found | undefined {
    const key = `${folder}/${name} ${facts.machine} ${facts.bits} ${facts.isLittle}`;
    const at = `${folder === "/" ? "" : folder}/${name}`;
    if (this.#searches.has(key)) {
      const known = this.#searches.get(key);
      return known && { file: known, at };
    }
    let file: TreeFile | undefined;
    if (this.#tree.hasFolder(folder)) {
      const levels = facts.machine === 62 ? (this.#settings.level ?? 1) : 1;
      for (let level = levels; level >= 1 && file === undefined; level--) {
        const inside = level === 1 ? folder : `${folder}/glibc-hwcaps/x86-64-v${level}`;
        const found = this.#tree.find(`${inside}/${name}`);
        if (found?.entry.elf && isCompatible(found.entry.elf, facts)) file = found;
      }
    }
    this.#searches.set(key, file);
    return file && { file, at };
  }

  // The folders of a search path. Relative ones depend on the working folder, and are passed over.
  #path(text: ByteString | undefined, object: LoadedObject): readonly ByteString[] {
    if (text === undefined || text === "") return [];
    const key = `${object.origin}\0${text}`;
    let folders = this.#paths.get(key);
    if (folders === undefined) {
      folders = text
        .split(/[:;]/)
        .map((part) => this.#expand(part, object).replace(/(?<=.)\/+$/, ""))
        .filter((part) => part.startsWith("/"));
      this.#paths.set(key, folders);
    }
    return folders;
  }

  #expand(text: ByteString, { origin, facts }: LoadedObject): ByteString {
    if (!text.includes("$")) return text;
    const values: Record<string, string> = {
      ORIGIN: origin,
      LIB: this.#lib,
      PLATFORM: PLATFORMS.get(facts.machine) ?? "",
    };
    return text.replace(/\$(?:(ORIGIN|LIB|PLATFORM)(?!\w)|\{(ORIGIN|LIB|PLATFORM)\})/g, (_, plain, braced) => {
      return values[plain ?? braced] ?? "";
    });
  }
}

interface Found {
  readonly file: TreeFile;
  /** The path at which it was found, before links are followed. */
  readonly at: ByteString;
}

function levelIn(path: ByteString): number {
  const level = /\/glibc-hwcaps\/x86-64-v([2-4])\//.exec(path)?.[1];
  if (level !== undefined) return Number(level);
  // Of another architecture: not every processor of it has the level.
  return path.includes("/glibc-hwcaps/") ? Number.POSITIVE_INFINITY : 1;
}

function* missingVersions(
  by: LoadedObject,
  requested: ReadonlyMap<ByteString, LoadedObject> | undefined,
): Iterable<MissingVersion> {
  for (const { file, versions } of by.facts.requires ?? []) {
    const from = requested?.get(file);
    // A library without any versions gets only a warning from the loader.
    const defined = from?.facts.defines;
    if (from === undefined || defined === undefined) continue;
    for (const version of versions) if (!defined.includes(version)) yield { version, by, from };
  }
}

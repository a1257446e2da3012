// The file tree of an image: its layers on top of each other, with symlinks followed inside the image.
import type { ByteString } from "../util/byte-string.ts";
import type { FileEntry, LayerEntry, LayerFacts } from "./layer-facts.ts";
import type { CachedLibrary } from "./library-cache.ts";
import type { SystemPackage } from "./system-packages.ts";

/** A file of the image. */
export interface TreeFile {
  /** Its path without links, with a slash in front. */
  readonly path: ByteString;
  readonly entry: FileEntry;
  /** The position of its layer, from the bottom up. */
  readonly layer: number;
}

interface Placed {
  readonly entry: LayerEntry;
  readonly layer: number;
}

/** As in Linux. */
const MOST_LINKS = 40;

/** A tree of layers, from the bottom up. */
export class ImageTree {
  readonly #places = new Map<ByteString, Placed>();
  readonly #folders = new Map<ByteString, ByteString | undefined>();
  readonly #texts = new Map<ByteString, string>();
  /** The loader's cache; undefined if the image has none. */
  readonly cache: readonly CachedLibrary[] | undefined;
  /** How many ELF files could not be read. */
  readonly unread: number;
  /** The packages of the system, as far as its package manager lists them in text. */
  readonly packages: readonly SystemPackage[];

  constructor(layers: readonly LayerFacts[]) {
    for (const [at, layer] of layers.entries()) this.#add(layer, at);
    const has = this.#places.get("etc/ld.so.cache");
    this.cache = has && layers[has.layer]?.cache;
    this.packages = layers.findLast(({ packages }) => packages.length > 0)?.packages ?? [];
    this.unread = layers.reduce((sum, { unread }) => sum + unread, 0);
  }

  /** Every file, in no particular order. A file with several names comes once for each. */
  *files(): Iterable<TreeFile> {
    for (const [path, { entry, layer }] of this.#places) {
      if (entry.kind === "file") yield { path: `/${path}`, entry, layer };
      else if (entry.kind === "same") {
        const same = this.#file(path);
        if (same) yield { path: `/${path}`, entry: same.entry, layer };
      }
    }
  }

  /** The symlinks, with their paths. */
  *links(): Iterable<ByteString> {
    for (const [path, { entry }] of this.#places) if (entry.kind === "link") yield `/${path}`;
  }

  /** The file that an absolute path leads to; undefined if there is none. */
  find(path: ByteString): TreeFile | undefined {
    const slash = path.lastIndexOf("/");
    const folder = this.#folder(path.slice(0, Math.max(0, slash)));
    if (folder === undefined) return undefined;
    const found = this.#follow(join(folder, path.slice(slash + 1)));
    return found === undefined ? undefined : this.#file(found);
  }

  /** True if an absolute path leads to a folder. */
  hasFolder(path: ByteString): boolean {
    return this.#folder(path) !== undefined;
  }

  /** What is at a path without a slash in front, not following a link there; undefined if there is nothing. */
  kindOf(path: ByteString): LayerEntry["kind"] | undefined {
    return this.#places.get(path)?.entry.kind;
  }

  /** The text of one of the small files that matter, by absolute path. */
  text(path: ByteString): string | undefined {
    const found = this.find(path);
    return found && this.#texts.get(found.path.slice(1));
  }

  #add(layer: LayerFacts, at: number): void {
    const { entries, removed, opaque, texts } = layer;
    // What a layer hides is hidden from the layers below it, not from itself.
    if (removed.length + opaque.length > 0) this.#hide(new Set(removed), new Set(opaque));
    const replaced = new Set<ByteString>();
    for (const [written, entry] of entries) {
      const path = this.#addParents(written, at);
      const before = this.#places.get(path);
      const isFolder = entry.kind === "folder";
      if (before?.entry.kind === "folder" && !isFolder) replaced.add(path);
      if (isFolder && before?.entry.kind === "folder") continue;
      this.#places.set(path, { entry, layer: at });
    }
    if (replaced.size > 0) this.#hide(new Set(), replaced);
    for (const [path, said] of texts) this.#texts.set(path, said);
  }

  // Adds the folders that a layer does not name. Returns the path, below the folder that a link of a lower layer names.
  #addParents(path: ByteString, layer: number): ByteString {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return path;
    const parent = path.slice(0, slash);
    const there = this.#places.get(parent)?.entry.kind;
    if (there === "folder") return path;
    if (there === "link") return join(this.#walk(`/${parent}`) ?? parent, path.slice(slash + 1));
    const place = this.#addParents(parent, layer);
    if (this.#places.get(place)?.entry.kind !== "folder") this.#places.set(place, { entry: { kind: "folder" }, layer });
    return join(place, path.slice(slash + 1));
  }

  // Removes the paths with all below them, and what is below the emptied folders.
  #hide(removed: ReadonlySet<ByteString>, emptied: ReadonlySet<ByteString>): void {
    for (const path of [...this.#places.keys()]) {
      let isHidden = removed.has(path);
      for (let slash = path.lastIndexOf("/"); slash > 0 && !isHidden; slash = path.lastIndexOf("/", slash - 1)) {
        const parent = path.slice(0, slash);
        isHidden = removed.has(parent) || emptied.has(parent);
      }
      if (isHidden || emptied.has("")) this.#places.delete(path);
    }
  }

  // The file at a canonical path.
  #file(path: ByteString): TreeFile | undefined {
    let at = path;
    // A hard link names a file that is not a link, but nothing is certain in a layer from outside.
    for (let steps = 0; steps < MOST_LINKS; steps++) {
      const found = this.#places.get(at);
      if (found?.entry.kind === "file") return { path: `/${at}`, entry: found.entry, layer: found.layer };
      if (found?.entry.kind !== "same") return undefined;
      at = found.entry.target;
    }
    return undefined;
  }

  // The canonical path of a folder, given as an absolute path or the empty string.
  #folder(path: ByteString): ByteString | undefined {
    const known = this.#folders.get(path);
    if (known !== undefined || this.#folders.has(path)) return known;
    const found = this.#walk(path);
    const kind = found === undefined || found === "" ? "folder" : this.#places.get(found)?.entry.kind;
    const folder = kind === "folder" ? found : undefined;
    this.#folders.set(path, folder);
    return folder;
  }

  // Follows the last part of a path whose folder is canonical.
  #follow(path: ByteString): ByteString | undefined {
    return this.#places.get(path)?.entry.kind === "link" ? this.#walk(`/${path}`) : path;
  }

  // The canonical path that an absolute path leads to, whether or not there is something.
  #walk(path: ByteString): ByteString | undefined {
    const left = path.split("/").reverse();
    const done: ByteString[] = [];
    let links = 0;
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      const here = [...done, part].join("/");
      const place = this.#places.get(here);
      if (place?.entry.kind !== "link") {
        // Nothing lies below a file or a gap.
        if (place === undefined || (place.entry.kind !== "folder" && left.some((one) => one !== ""))) return undefined;
        done.push(part);
        continue;
      }
      if (++links > MOST_LINKS) return undefined;
      if (place.entry.target.startsWith("/")) done.length = 0;
      left.push(...place.entry.target.split("/").reverse());
    }
    return done.join("/");
  }
}

function join(folder: ByteString, name: ByteString): ByteString {
  return folder === "" ? name : `${folder}/${name}`;
}

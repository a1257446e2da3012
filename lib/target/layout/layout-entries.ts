// The entries of an image layout's index: lookups that stay fast with many tags, and changes that are collected before
// they are applied.
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Index } from "../../oci/manifest.ts";

/** The annotation that holds a tag (OCI image-spec, "Image Layout", index.json). */
const TAG_ANNOTATION = "org.opencontainers.image.ref.name";

/** The tag of an entry, undefined if it has none. */
export function tagOf(entry: Descriptor): string | undefined {
  const name = entry.annotations?.[TAG_ANNOTATION];
  return name === undefined || name === "" ? undefined : name;
}

/** The same entry with another tag, or with none. */
export function withTag(entry: Descriptor, tag: string | undefined): Descriptor {
  const { [TAG_ANNOTATION]: _old, ...rest } = entry.annotations ?? {};
  const annotations = tag === undefined ? rest : { ...rest, [TAG_ANNOTATION]: tag };
  const { annotations: _dropped, ...bare } = entry;
  return Object.keys(annotations).length === 0 ? bare : { ...bare, annotations };
}

/**
 * The entries under one key: those with the same tag, or the untagged ones of a digest. An empty list frees the key.
 */
export type Assignment = readonly [key: string, entries: readonly Descriptor[]];

function keyOf(entry: Descriptor): string {
  const tag = tagOf(entry);
  return tag === undefined ? entry.digest : `${TAG_KEY}${tag}`;
}

const TAG_KEY = "tag ";

/** True if all entries of an assignment belong under its key. */
export function isSound([key, entries]: Assignment): boolean {
  return entries.every((entry) => keyOf(entry) === key);
}

/** The entries of a layout: by tag, or by digest if untagged, in the order of the file. */
export class LayoutEntries {
  /** The document without its entries. */
  readonly head: Omit<Index, "manifests">;
  readonly #groups = new Map<string, readonly Descriptor[]>();
  /** The keys of each digest; most have one. */
  readonly #keys = new Map<Digest, string | Set<string>>();
  #sorted: string[] | undefined;
  #count = 0;
  #revision = 0;

  constructor({ manifests, ...head }: Index) {
    this.head = head;
    const groups = new Map<string, Descriptor[]>();
    for (const entry of manifests) {
      const group = groups.get(keyOf(entry));
      if (group) group.push(entry);
      else groups.set(keyOf(entry), [entry]);
    }
    for (const assignment of groups) this.assign(assignment);
  }

  /** The number of entries. */
  get count(): number {
    return this.#count;
  }

  /** Changes with each change of the entries. */
  get revision(): number {
    return this.#revision;
  }

  /** The entries under a key. */
  group(key: string): readonly Descriptor[] {
    return this.#groups.get(key) ?? [];
  }

  /** Some tools leave several entries with one tag; the last one counts. */
  byTag(tag: string): Descriptor | undefined {
    return this.group(TAG_KEY + tag).at(-1);
  }

  /** An entry of a digest, tagged or not. */
  byDigest(digest: Digest): Descriptor | undefined {
    for (const key of this.keysOf(digest)) return this.group(key).findLast((entry) => entry.digest === digest);
    return undefined;
  }

  /** The keys of a digest. */
  keysOf(digest: Digest): Iterable<string> {
    const keys = this.#keys.get(digest);
    return typeof keys === "string" ? [keys] : (keys ?? []);
  }

  /** All entries, in the order of the file. */
  manifests(): Descriptor[] {
    return [...this.#groups.values()].flat();
  }

  /** All tags, in the order of the file. */
  tags(): string[] {
    return [...this.#groups.keys()].filter((key) => key.startsWith(TAG_KEY)).map((key) => key.slice(TAG_KEY.length));
  }

  /** All tags in lexical order (OCI distribution 1.1, "Listing Tags"). The array changes with the entries. */
  sortedTags(): readonly string[] {
    this.#sorted ??= this.tags().sort();
    return this.#sorted;
  }

  /** A copy of the entries with changes applied. */
  with(assignments: readonly Assignment[]): LayoutEntries {
    const copy = new LayoutEntries({ ...this.head, manifests: this.manifests() } as Index);
    for (const assignment of assignments) copy.assign(assignment);
    return copy;
  }

  /** Applies a change. The same changes in the same order always give the same entries. */
  assign([key, entries]: Assignment): void {
    const before = this.group(key);
    for (const { digest } of before) this.#removeKey(digest, key);
    for (const { digest } of entries) this.#addKey(digest, key);
    this.#count += entries.length - before.length;
    this.#revision++;
    if (entries.length > 0) this.#groups.set(key, entries);
    else this.#groups.delete(key);
    if (before.length > 0 !== entries.length > 0 && key.startsWith(TAG_KEY)) this.#sort(key.slice(TAG_KEY.length));
  }

  #addKey(digest: Digest, key: string): void {
    const keys = this.#keys.get(digest);
    if (keys === undefined) this.#keys.set(digest, key);
    else if (typeof keys !== "string") keys.add(key);
    else if (keys !== key) this.#keys.set(digest, new Set([keys, key]));
  }

  #removeKey(digest: Digest, key: string): void {
    const keys = this.#keys.get(digest);
    if (keys === key) this.#keys.delete(digest);
    else if (typeof keys !== "string" && keys?.delete(key) && keys.size === 0) this.#keys.delete(digest);
  }

  // Inserts or removes a tag in the sorted list.
  #sort(tag: string): void {
    const sorted = this.#sorted;
    if (sorted === undefined) return;
    const at = firstFrom(sorted, tag);
    if (sorted[at] === tag) sorted.splice(at, 1);
    else sorted.splice(at, 0, tag);
  }
}

function firstFrom(sorted: readonly string[], tag: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < tag) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Collects changes without modifying the entries. */
export class LayoutEditor {
  readonly #entries: LayoutEntries;
  readonly #changed = new Map<string, readonly Descriptor[]>();
  /** The keys of #changed that name a digest. */
  readonly #keys = new Map<Digest, Set<string>>();
  #growth = 0;

  constructor(entries: LayoutEntries) {
    this.#entries = entries;
  }

  /** The changes so far. */
  assignments(): Assignment[] {
    return [...this.#changed];
  }

  /** The number of entries after the changes. */
  get count(): number {
    return this.#entries.count + this.#growth;
  }

  #group(key: string): readonly Descriptor[] {
    return this.#changed.get(key) ?? this.#entries.group(key);
  }

  #set(key: string, entries: readonly Descriptor[]): void {
    this.#growth += entries.length - this.#group(key).length;
    this.#changed.set(key, entries);
    for (const { digest } of entries) {
      const keys = this.#keys.get(digest);
      if (keys) keys.add(key);
      else this.#keys.set(digest, new Set([key]));
    }
  }

  /** The keys of a digest after the changes. */
  *#keysOf(digest: Digest): Iterable<string> {
    const names = (key: string) => this.#group(key).some((entry) => entry.digest === digest);
    for (const key of this.#entries.keysOf(digest)) if (!this.#changed.has(key) || names(key)) yield key;
    for (const key of this.#keys.get(digest) ?? []) if (names(key)) yield key;
  }

  /** The entry of a tag after the changes. */
  byTag(tag: string): Descriptor | undefined {
    return this.#group(TAG_KEY + tag).at(-1);
  }

  /** True if a digest is listed after the changes. */
  hasDigest(digest: Digest): boolean {
    for (const _key of this.#keysOf(digest)) return true;
    return false;
  }

  /** Puts an entry under a tag, replacing all entries that had it. */
  tag(tag: string, entry: Descriptor): void {
    this.#set(TAG_KEY + tag, [withTag(entry, tag)]);
  }

  /** Adds an untagged entry. */
  add(entry: Descriptor): void {
    this.#set(keyOf(entry), [...this.#group(keyOf(entry)), entry]);
  }

  /** Removes the untagged entries of a digest, unless one has annotations. */
  removeUntagged(digest: Digest): void {
    const group = this.#group(digest);
    if (group.length > 0 && group.every((entry) => entry.annotations === undefined)) this.#set(digest, []);
  }

  /** Removes a tag; false if it did not exist. */
  removeTag(tag: string): boolean {
    const isThere = this.byTag(tag) !== undefined;
    if (isThere) this.#set(TAG_KEY + tag, []);
    return isThere;
  }

  /** Removes every entry of a digest, tagged or not. */
  removeDigest(digest: Digest): boolean {
    const keys = [...this.#keysOf(digest)];
    for (const key of keys)
      this.#set(
        key,
        this.#group(key).filter((entry) => entry.digest !== digest),
      );
    return keys.length > 0;
  }
}

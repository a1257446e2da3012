// `index.json` of an image layout directory: read with a memory of what did not change, and changed under a lock of
// the system, which a killed process lets go of, by writing beside and renaming. Changes that wait are done together.
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fileError, isStaveError, StaveError, systemCode } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { emptyIndex, type Index, indexSchema, parseJson } from "../oci/manifest.ts";
import { LockFile } from "../util/file-lock.ts";
import { makeFolder } from "../util/folder.ts";
import type { Clock } from "../util/time.ts";
import { createTemporary } from "./layout-blobs.ts";

/** Where a tag is kept (OCI image-spec, "Image Layout", index.json). */
const TAG_ANNOTATION = "org.opencontainers.image.ref.name";
const INDEX_LIMIT = 512 * 1024 * 1024;
/** Of an index of that size. */
const VALUE_LIMIT = 20_000_000;
/** How long to wait for another process's change, in milliseconds. */
const LOCK_TIMEOUT = 60_000;

const layoutSchema = z.looseObject({ imageLayoutVersion: z.string() });

/** One state of index.json, with look-ups. Not changed any more. */
export class LayoutEntries {
  readonly index: Index;
  #byTag: Map<string, Descriptor> | undefined;
  #byDigest: Map<Digest, Descriptor> | undefined;
  #sorted: readonly string[] | undefined;

  constructor(index: Index) {
    this.index = index;
  }

  byTag(tag: string): Descriptor | undefined {
    return this.tagged().get(tag);
  }

  byDigest(digest: Digest): Descriptor | undefined {
    this.#byDigest ??= new Map(this.index.manifests.map((entry) => [entry.digest, entry]));
    return this.#byDigest.get(digest);
  }

  /** Entries by tag; of two with the same tag, which some tools leave behind, the last one counts. */
  tagged(): ReadonlyMap<string, Descriptor> {
    if (this.#byTag) return this.#byTag;
    this.#byTag = new Map();
    for (const entry of this.index.manifests) {
      const tag = tagOf(entry);
      if (tag !== undefined) this.#byTag.set(tag, entry);
    }
    return this.#byTag;
  }

  /** All tags in lexical order (OCI distribution 1.1, "Listing Tags"). */
  sortedTags(): readonly string[] {
    this.#sorted ??= [...this.tagged().keys()].sort();
    return this.#sorted;
  }
}

/** The tag of an entry, undefined when it has none. */
export function tagOf(entry: Descriptor): string | undefined {
  const name = entry.annotations?.[TAG_ANNOTATION];
  return name === undefined || name === "" ? undefined : name;
}

/** The same entry under another tag, or under none. */
export function withTag(entry: Descriptor, tag: string | undefined): Descriptor {
  const { [TAG_ANNOTATION]: _old, ...rest } = entry.annotations ?? {};
  const annotations = tag === undefined ? rest : { ...rest, [TAG_ANNOTATION]: tag };
  const { annotations: _dropped, ...bare } = entry;
  return Object.keys(annotations).length === 0 ? bare : { ...bare, annotations };
}

/** The entries while they are changed: by tag, or by digest for those without one, in the order of the file. */
export class LayoutEditor {
  readonly #groups = new Map<string, Descriptor[]>();
  readonly #digests = new Map<Digest, number>();
  hasChanged = false;

  constructor(entries: readonly Descriptor[]) {
    for (const entry of entries) this.#add(keyOf(entry), entry);
  }

  #add(key: string, entry: Descriptor): void {
    const group = this.#groups.get(key);
    if (group) group.push(entry);
    else this.#groups.set(key, [entry]);
    this.#digests.set(entry.digest, (this.#digests.get(entry.digest) ?? 0) + 1);
  }

  #drop(key: string): Descriptor[] {
    const group = this.#groups.get(key) ?? [];
    this.#groups.delete(key);
    for (const { digest } of group) this.#digests.set(digest, (this.#digests.get(digest) ?? 1) - 1);
    if (group.length > 0) this.hasChanged = true;
    return group;
  }

  byTag(tag: string): Descriptor | undefined {
    return this.#groups.get(`tag ${tag}`)?.at(-1);
  }

  hasDigest(digest: Digest): boolean {
    return (this.#digests.get(digest) ?? 0) > 0;
  }

  /** Puts an entry under a tag, in the place of all that had it. */
  tag(tag: string, entry: Descriptor): void {
    this.#drop(`tag ${tag}`);
    this.#add(`tag ${tag}`, withTag(entry, tag));
    this.hasChanged = true;
  }

  /** Lists an entry without a tag. */
  add(entry: Descriptor): void {
    this.#add(keyOf(entry), entry);
    this.hasChanged = true;
  }

  /** Takes out an entry without a tag, unless somebody has said more about it. */
  removeUntagged(digest: Digest): void {
    if (this.#groups.get(digest)?.every((entry) => entry.annotations === undefined)) this.#drop(digest);
  }

  removeTag(tag: string): boolean {
    return this.#drop(`tag ${tag}`).length > 0;
  }

  /** Takes out every entry of a digest, under whatever tags. */
  removeDigest(digest: Digest): boolean {
    if (!this.hasDigest(digest)) return false;
    for (const [key, group] of [...this.#groups]) {
      const kept = group.filter((entry) => entry.digest !== digest);
      if (kept.length === group.length) continue;
      if (kept.length > 0) this.#groups.set(key, kept);
      else this.#groups.delete(key);
    }
    this.#digests.delete(digest);
    this.hasChanged = true;
    return true;
  }

  entries(): Descriptor[] {
    return [...this.#groups.values()].flat();
  }
}

function keyOf(entry: Descriptor): string {
  const tag = tagOf(entry);
  return tag === undefined ? entry.digest : `tag ${tag}`;
}

/** Changes the entries; may throw to refuse, before it has changed anything. */
export type Change = (editor: LayoutEditor) => void;

interface Waiting {
  change: Change;
  resolve: () => void;
  reject: (error: unknown) => void;
}

// Changes of one file wait in one queue, whichever objects of this process they come from.
const queues = new Map<string, { waiting: Waiting[]; isRunning: boolean }>();

/** The index.json of one directory. */
export class LayoutIndex {
  readonly directory: string;
  readonly #path: string;
  readonly #clock: Clock;
  #known: { key: string; entries: LayoutEntries } | undefined;

  constructor(directory: string, clock: Clock) {
    this.directory = directory;
    this.#path = join(directory, "index.json");
    this.#clock = clock;
  }

  /** Checks that the directory is a layout. Throws NOT_FOUND, FILE_SYSTEM, CONTENT_INVALID. */
  async check(): Promise<void> {
    const path = join(this.directory, "oci-layout");
    try {
      const { imageLayoutVersion } = parseJson(await readFile(path), layoutSchema, path);
      if (!imageLayoutVersion.startsWith("1."))
        throw new StaveError(
          "CONTENT_INVALID",
          `${path} has layout version ${JSON.stringify(imageLayoutVersion.slice(0, 40))}, expected 1.0.0`,
          { subject: path },
        );
    } catch (cause) {
      const code = systemCode(cause);
      if (code === "ENOTDIR")
        throw new StaveError("FILE_SYSTEM", `${this.directory} is a file, expected an image layout directory`, {
          subject: this.directory,
          hint: "name a folder",
        });
      if (code !== "ENOENT") throw fileError(cause, "read", path);
      const isThere = await stat(this.directory).then(
        () => true,
        () => false,
      );
      throw new StaveError(
        "NOT_FOUND",
        isThere
          ? `${this.directory} is not an image layout directory: it has no oci-layout file`
          : `there is no directory ${this.directory}`,
        { subject: this.directory, hint: "check the path" },
      );
    }
  }

  /**
   * Makes the directory a layout if it is none: it must be empty, or not there, but for entries that `mayStay` allows.
   * Throws USAGE for a foreign folder.
   */
  async create(mayStay: (name: string) => Promise<boolean> = async () => false): Promise<void> {
    try {
      await this.check();
      return;
    } catch (error) {
      if (!isStaveError(error, "NOT_FOUND")) throw error;
    }
    try {
      makeFolder(this.directory);
      for (const name of await readdir(this.directory)) {
        if (OURS.has(name) || (await mayStay(name))) continue;
        throw new StaveError(
          "USAGE",
          `${this.directory} is not empty and not an image layout directory (it has ${JSON.stringify(name)})`,
          {
            subject: this.directory,
            hint: "choose an empty or new folder",
          },
        );
      }
      makeFolder(join(this.directory, "blobs", "sha256"));
      // Several processes may be at this point at once; the marker comes last, when everything else is there.
      await this.#locked(async () => {
        const isThere = await stat(this.#path).then(
          () => true,
          () => false,
        );
        if (!isThere) await this.#replace("index.json", JSON.stringify(emptyIndex()));
        await this.#replace("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
      });
    } catch (cause) {
      throw fileError(cause, "write", this.directory);
    }
  }

  /** The present state. Throws CONTENT_INVALID when the file is damaged. */
  async read(): Promise<LayoutEntries> {
    try {
      const stats = await stat(this.#path, { bigint: true });
      // Every change is a new file, so that an equal inode, time and size means an equal content.
      const key = `${stats.dev}:${stats.ino}:${stats.mtimeNs}:${stats.size}`;
      if (this.#known?.key === key) return this.#known.entries;
      if (stats.size > INDEX_LIMIT)
        throw new StaveError(
          "TOO_LARGE",
          `${this.#path} has ${stats.size} bytes, more than the limit of ${INDEX_LIMIT}`,
          { subject: this.#path },
        );
      const entries = new LayoutEntries(parseJson(await readFile(this.#path), indexSchema, this.#path, VALUE_LIMIT));
      this.#known = { key, entries };
      return entries;
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return new LayoutEntries(emptyIndex());
      throw fileError(cause, "read", this.#path);
    }
  }

  /** Changes the entries; resolves when the change is on the disk. Many that wait at once share one write. */
  change(change: Change): Promise<void> {
    const queue = queues.get(this.#path) ?? { waiting: [], isRunning: false };
    queues.set(this.#path, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ change, resolve, reject });
      if (!queue.isRunning) void this.#run(queue);
    });
  }

  async #run(queue: { waiting: Waiting[]; isRunning: boolean }): Promise<void> {
    queue.isRunning = true;
    while (queue.waiting.length > 0) {
      let batch: Waiting[] = [];
      try {
        const accepted: Waiting[] = [];
        await this.#locked(async () => {
          batch = queue.waiting.splice(0);
          const before = await this.read();
          const editor = new LayoutEditor(before.index.manifests);
          for (const waiting of batch)
            try {
              waiting.change(editor);
              accepted.push(waiting);
            } catch (error) {
              waiting.reject(error);
            }
          if (editor.hasChanged)
            await this.#replace("index.json", JSON.stringify({ ...before.index, manifests: editor.entries() }));
        });
        for (const { resolve } of accepted) resolve();
      } catch (error) {
        if (batch.length === 0) batch = queue.waiting.splice(0);
        for (const { reject } of batch) reject(error);
      }
    }
    queue.isRunning = false;
  }

  /** Replaces a file as a whole: a reader sees the old text or the new one, never a part. */
  async #replace(name: string, text: string): Promise<void> {
    const target = join(this.directory, name);
    const { handle, path } = await createTemporary(this.directory, this.#clock);
    try {
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(path, target);
    } catch (cause) {
      await rm(path, { force: true }).catch(() => {});
      throw fileError(cause, "write", target);
    }
  }

  /** Runs work while no other process may change the file. */
  async #locked(work: () => Promise<void>): Promise<void> {
    const path = join(this.directory, LOCK_NAME);
    await using lock = await LockFile.open(path, { create: true });
    const started = this.#clock.now();
    for (let wait = 2; !lock.tryLock("exclusive"); wait = Math.min(50, wait * 2)) {
      if (this.#clock.now() - started > LOCK_TIMEOUT)
        throw new StaveError(
          "CONFLICT",
          `another process has been changing ${this.directory} for ${LOCK_TIMEOUT / 1000} s`,
          { subject: path, hint: "wait for it, or end it" },
        );
      await this.#clock.sleep(wait * (0.5 + this.#clock.random()));
    }
    await work();
  }
}

const LOCK_NAME = ".stave-lock";
/** What a run that was interrupted while it made the layout may have left, or one that makes it just now. */
const OURS = new Set([LOCK_NAME, ".tmp", "blobs", "index.json", "oci-layout"]);

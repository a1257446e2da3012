// An OCI image layout directory as a Target: the default cache, and the storage of `serve`.

import { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../../oci/digest.ts";
import { describe, type ManifestDocument, parseManifest, successors } from "../../oci/manifest.ts";
import { imageName } from "../../oci/reference.ts";
import { referrersTag } from "../../oci/referrer.ts";
import { closeAll } from "../../util/close-all.ts";
import { releaserOf } from "../../util/free-chunks.ts";
import { digestMismatch, readAll, type Source, sizeMismatch, verifiedStream } from "../../util/stream.ts";
import type { Clock } from "../../util/time.ts";
import { Turns } from "../../util/turns.ts";
import {
  type FetchedManifest,
  type FetchManifestOptions,
  MANIFEST_LIMIT,
  type OperationOptions,
  type PushBlobOptions,
  type PushedManifest,
  type PushManifestOptions,
  type PushOutcome,
  type PushStreamOptions,
  type ReferrerManifest,
  type ReferrersOptions,
  type TagCondition,
  type Target,
} from "../target.ts";
import { type BlobWriter, LayoutBlobs, SMALL_BLOB } from "./layout-blobs.ts";
import { checkLayout, createLayout, mayBecomeLayout } from "./layout-folder.ts";
import { type Change, LayoutIndex } from "./layout-index.ts";
import { LayoutReferrers, SUBJECT_ANNOTATION } from "./layout-referrers.ts";

/** How to open a layout. */
export interface LayoutOptions {
  clock: Clock;
  /** Creates the layout if it does not exist: now, or with the first write; before that, it reads as empty. */
  create?: boolean | "with the first write";
  /** Default: nothing may be in a folder that becomes a layout. */
  mayStay?: (name: string) => Promise<boolean>;
  /** The name in messages; default `oci-layout:DIRECTORY`. */
  name?: string;
}

/** An image layout directory. Any number of processes may use one at the same time. */
export class LayoutTarget implements Target {
  readonly name: string;
  /** A file may disappear at any time, and checking one is cheap. */
  readonly keepsClosure = false;
  /** @internal */
  readonly blobs: LayoutBlobs;
  /** @internal */
  readonly index: LayoutIndex;
  readonly #referrers: LayoutReferrers;
  // Small blobs and the state of the index are read without waiting.
  readonly #turns = new Turns();
  /** Creates the layout, if that is left to the first write. */
  #create: (() => Promise<void>) | undefined;
  #creation: Promise<void> | undefined;

  private constructor(directory: string, clock: Clock, name: string) {
    this.name = name;
    this.blobs = new LayoutBlobs(directory, clock);
    this.index = new LayoutIndex(directory, clock);
    this.#referrers = new LayoutReferrers(this.blobs, (digest) => this.fetchManifest(digest));
  }

  /**
   * Opens a layout directory; with `create`, an empty or missing directory becomes one. Throws NOT_FOUND, FILE_SYSTEM,
   * CONTENT_INVALID, or USAGE for a folder with other content.
   */
  static async open(directory: string, options: LayoutOptions): Promise<LayoutTarget> {
    const { clock, create, mayStay, name = `oci-layout:${directory}` } = options;
    const target = new LayoutTarget(directory, clock, name);
    if (create === "with the first write") {
      if (await mayBecomeLayout(directory, mayStay)) target.#create = () => createLayout(directory, clock, mayStay);
    } else if (create) await createLayout(directory, clock, mayStay);
    else await checkLayout(directory);
    return target;
  }

  // Every write waits for this.
  async #exist(): Promise<void> {
    this.#creation ??= this.#create?.();
    await this.#creation;
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    await this.#turns.next();
    return this.blobs.size(descriptor.digest) === descriptor.size;
  }

  async fetchBlob(descriptor: Descriptor, options: OperationOptions = {}): Promise<Readable> {
    const { digest, size } = descriptor;
    const subject = `blob ${digest} in ${this.name}`;
    options.signal?.throwIfAborted();
    await this.#turns.next(options.signal);
    const there = this.blobs.size(digest);
    if (there !== undefined && there !== size) throw sizeMismatch(subject, size, String(there));
    const file = size > SMALL_BLOB ? this.blobs.open(digest) : Readable.from([this.blobs.readNow(digest, SMALL_BLOB)]);
    return verifiedStream(file, { digest, size }, subject);
  }

  async fetchBlobStart({ digest, size }: Descriptor, length: number, options: OperationOptions = {}): Promise<Buffer> {
    options.signal?.throwIfAborted();
    const end = Math.min(size, length);
    return end === 0 ? Buffer.alloc(0) : await readAll(this.blobs.open(digest, 0, end), end, `blob ${digest}`);
  }

  async pushBlob(descriptor: Descriptor, source: Source, options: PushBlobOptions = {}): Promise<PushOutcome> {
    const { digest, size } = descriptor;
    if (await this.hasBlob(descriptor)) {
      await this.blobs.touch(digest);
      return "present";
    }
    const stream = await source.open(0);
    let writer: BlobWriter | undefined;
    try {
      await this.#exist();
      writer = await this.blobs.create(source.isVerified ? undefined : algorithmOf(digest), releaserOf(stream));
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        options.signal?.throwIfAborted();
        await writer.write(chunk);
        if (writer.size > size) throw sizeMismatch(`blob ${digest}`, size, `more than ${size}`);
        options.onBytes?.(chunk.byteLength);
      }
      if (writer.size !== size) throw sizeMismatch(`blob ${digest}`, size, String(writer.size));
      const actual = source.isVerified ? digest : await writer.digest();
      if (actual !== digest) throw digestMismatch(`blob for ${this.name}`, digest, actual);
      await writer.commit(digest);
      return "pushed";
    } catch (error) {
      await writer?.abort();
      throw error;
    } finally {
      stream.destroy();
    }
  }

  async pushStream(stream: Readable, mediaType: string, options: PushStreamOptions = {}): Promise<Descriptor> {
    let writer: BlobWriter | undefined;
    try {
      await this.#exist();
      writer = await this.blobs.create(options.digest ? undefined : "sha256", options.recycle);
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        options.signal?.throwIfAborted();
        await writer.write(chunk);
        options.onBytes?.(chunk.byteLength);
      }
      const digest = options.digest?.() ?? (await writer.digest());
      const { size } = writer;
      await writer.commit(digest);
      return { mediaType, digest, size };
    } catch (error) {
      await writer?.abort();
      throw error;
    } finally {
      stream.destroy();
    }
  }

  async headManifest(reference: string, options: OperationOptions = {}): Promise<Descriptor | undefined> {
    options.signal?.throwIfAborted();
    const entry = await this.#entry(reference);
    if (entry && (await this.hasBlob(entry)))
      return { mediaType: entry.mediaType, digest: entry.digest, size: entry.size };
    // A manifest that is reached only through an index, or whose tag has moved on, still exists by digest.
    if (!isDigest(reference) || this.blobs.size(reference) === undefined) return undefined;
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: string, options: FetchManifestOptions = {}): Promise<FetchedManifest> {
    const { limit = MANIFEST_LIMIT, signal } = options;
    signal?.throwIfAborted();
    const entry = await this.#entry(reference);
    const digest = entry?.digest ?? (isDigest(reference) ? reference : undefined);
    if (digest === undefined)
      throw new StaveError("NOT_FOUND", `${this.name} has no manifest ${reference}`, {
        subject: imageName(this.name, reference),
        hint: `list the tags with \`stave tags ${this.name}\``,
      });
    const subject = `manifest ${digest} in ${this.name}`;
    await this.#turns.next(signal);
    const bytes = this.blobs.readNow(digest, limit, subject);
    const actual = digestOf(bytes, algorithmOf(digest));
    if (actual !== digest) throw digestMismatch(subject, digest, actual);
    const { mediaType } = parseManifest(bytes, entry?.mediaType, subject);
    return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes, obeysConditions: true };
  }

  async #entry(reference: string): Promise<Descriptor | undefined> {
    const entries = await this.index.read();
    return isDigest(reference) ? entries.byDigest(reference) : entries.byTag(reference);
  }

  async pushManifest(bytes: Uint8Array, mediaType: string, options: PushManifestOptions = {}): Promise<PushedManifest> {
    const { tag, condition, signal } = options;
    signal?.throwIfAborted();
    const descriptor = describe(bytes, mediaType, options.digest && algorithmOf(options.digest));
    const document = parseManifest(bytes, mediaType, `manifest ${descriptor.digest}`);
    if (await this.hasBlob(descriptor)) await this.blobs.touch(descriptor.digest);
    else {
      await this.#exist();
      const writer = await this.blobs.create(undefined);
      try {
        await writer.write(bytes);
        await writer.commit(descriptor.digest);
      } catch (error) {
        await writer.abort();
        throw error;
      }
    }
    this.#referrers.remember(descriptor, document.value);
    await this.index.change(listManifest(descriptor, document, tag, condition, this.name));
    return { descriptor };
  }

  async pushReferrers(manifests: readonly ReferrerManifest[], options: OperationOptions = {}): Promise<void> {
    for (const { bytes, mediaType } of manifests) await this.pushManifest(bytes, mediaType, options);
  }

  async *tags(options: OperationOptions = {}): AsyncIterable<string> {
    options.signal?.throwIfAborted();
    yield* (await this.index.read()).tags();
  }

  async referrers(digest: Digest, options: ReferrersOptions = {}): Promise<Descriptor[]> {
    const { artifactType, signal } = options;
    const entries = await this.index.read();
    // Some clients keep the referrers of a layout under the fallback tag of registries.
    const fallback = entries.byTag(referrersTag(digest));
    const others = fallback === undefined ? [] : await this.#children(fallback);
    const found = await this.#referrers.of(digest, entries, others, { signal });
    found.sort((a, b) => (a.digest < b.digest ? -1 : 1));
    return artifactType === undefined ? found : found.filter((entry) => entry.artifactType === artifactType);
  }

  async #children(entry: Descriptor): Promise<Descriptor[]> {
    const { bytes, descriptor } = await this.fetchManifest(entry.digest);
    return successors(parseManifest(bytes, descriptor.mediaType, `manifest ${entry.digest} in ${this.name}`));
  }

  async deleteManifest(reference: string, options: OperationOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    await this.#exist();
    let wasListed = false;
    await this.index.change((editor) => {
      wasListed = isDigest(reference) ? editor.removeDigest(reference) : editor.removeTag(reference);
    });
    const wasThere = isDigest(reference) && (await this.blobs.remove(reference));
    if (wasListed || wasThere) return;
    throw new StaveError("NOT_FOUND", `${this.name} has no manifest ${reference}`, { subject: reference });
  }

  async deleteBlob(digest: Digest): Promise<void> {
    if (await this.blobs.remove(digest)) return;
    throw new StaveError("NOT_FOUND", `${this.name} has no blob ${digest}`, { subject: digest });
  }

  async close(): Promise<void> {
    await closeAll([() => this.index.close(), () => this.blobs.leave()]);
  }
}

/** The change of the index for a pushed manifest. */
function listManifest(
  descriptor: Descriptor,
  document: ManifestDocument,
  tag: string | undefined,
  condition: TagCondition | undefined,
  name: string,
): Change {
  return (editor) => {
    if (tag !== undefined && condition) checkCondition(editor.byTag(tag), condition, tag, name);
    // Children are pushed before their index and are listed until then, so that they do not count as garbage.
    if (document.kind === "index") for (const child of document.value.manifests) editor.removeUntagged(child.digest);
    const entry = listedEntry(descriptor, document);
    if (tag === undefined) {
      if (!editor.hasDigest(descriptor.digest)) editor.add(entry);
      return;
    }
    const present = editor.byTag(tag);
    if (present?.digest === descriptor.digest && present.mediaType === descriptor.mediaType) return;
    editor.removeUntagged(descriptor.digest);
    editor.tag(tag, entry);
  };
}

/**
 * The entry of a manifest. That of a referrer also names its subject, so that it is not taken for a child of an index.
 */
function listedEntry(descriptor: Descriptor, { value }: ManifestDocument): Descriptor {
  const { artifactType, subject } = value;
  return {
    ...descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { annotations: { [SUBJECT_ANNOTATION]: subject.digest } }),
  };
}

function checkCondition(present: Descriptor | undefined, condition: TagCondition, tag: string, name: string): void {
  if ("absent" in condition ? present === undefined : present?.digest === condition.digest) return;
  throw new StaveError("CONFLICT", `the tag ${tag} of ${name} was moved by another client`, {
    subject: tag,
    hint: "run the same command again",
  });
}

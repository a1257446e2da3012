// Images in an archive, as `stave export`, `docker save`, podman and skopeo write them: a source of copies. The archive
// is indexed once; blobs are read from their place in it, and verified.
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { posix } from "node:path";
import { Readable } from "node:stream";
import * as z from "zod";
import { fileError, isStaveError, StaveError } from "../../errors.ts";
import { BLOCK } from "../../image/archive/tar-writer.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, Digester, digestOf, hexOf } from "../../oci/digest.ts";
import { canonicalBytes, configSchema, describe, indexSchema, parseBySchema } from "../../oci/manifest.ts";
import { DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_LAYER_TAR, DOCKER_MANIFEST } from "../../oci/mediatype.ts";
import { isTag } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { type TarMember, TarReader } from "../../relocate/unpack/tar-reader.ts";
import { CONFIG_LIMIT } from "../../target/image-config.ts";
import {
  type FetchedManifest,
  type FetchManifestOptions,
  MANIFEST_LIMIT,
  type OperationOptions,
  type ReadTarget,
} from "../../target/target.ts";
import { verifiedStream } from "../../util/stream.ts";

/** Limits on an archive. */
const MOST_MEMBERS = 100_000;
const MOST_LINKS = 20;

const REF_NAME = "org.opencontainers.image.ref.name";

// Docker's list of the images in an archive.
const savedSchema = z
  .array(
    z.looseObject({
      Config: z.string().max(4096),
      RepoTags: z.array(z.string().max(1024)).nullish(),
      Layers: z.array(z.string().max(4096)).max(10_000),
    }),
  )
  .max(10_000);

/** A file in the archive. */
interface Member {
  readonly offset: number;
  readonly size: number;
}

interface Entry {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer | undefined;
}

/** Opens an archive; close it at the end. Throws NOT_FOUND, FILE_SYSTEM, CONTENT_INVALID. */
export async function openArchive(path: string, name: string): Promise<ArchiveSource> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  const source = new ArchiveSource(path, name, handle);
  try {
    await source.load();
    return source;
  } catch (error) {
    await source.close();
    throw isStaveError(error) ? error : fileError(error, "read", path);
  }
}

/** The images of an archive. */
export class ArchiveSource implements ReadTarget, AsyncDisposable {
  readonly name: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #members = new Map<string, Member>();
  readonly #links = new Map<string, string>();
  /** Where blobs are that are not at their usual path, by digest. */
  readonly #blobs = new Map<Digest, Member>();
  readonly #tags = new Map<string, Entry>();
  readonly #manifests = new Map<Digest, Entry>();

  constructor(path: string, name: string, file: FileHandle) {
    this.#path = path;
    this.name = name;
    this.#file = file;
  }

  /** Reads what is in the archive. */
  async load(): Promise<void> {
    await this.#readMembers();
    if (this.#members.has("index.json")) await this.#readLayout();
    else if (this.#members.has("manifest.json")) await this.#readSaved();
    else throw this.#invalid("has neither index.json nor manifest.json: it is no archive of images");
  }

  async *tags(): AsyncIterable<string> {
    yield* [...this.#tags.keys()].sort();
  }

  async headManifest(reference: string): Promise<Descriptor | undefined> {
    return this.#find(reference)?.descriptor;
  }

  async fetchManifest(
    reference: string,
    { limit = MANIFEST_LIMIT }: FetchManifestOptions = {},
  ): Promise<FetchedManifest> {
    const entry = this.#find(reference) ?? (await this.#child(reference));
    if (entry === undefined)
      throw new StaveError("NOT_FOUND", `${this.name} has no image ${printable(reference)}`, {
        subject: this.name,
        hint: `it has ${
          [...this.#tags.keys()]
            .slice(0, 20)
            .map((tag) => printable(tag))
            .join(", ") || "images without a tag"
        }`,
      });
    const { descriptor } = entry;
    if (descriptor.size > limit) throw tooLarge(`manifest ${descriptor.digest}`, limit);
    const bytes = entry.bytes ?? (await this.#verified(descriptor));
    return { descriptor, bytes, obeysConditions: false };
  }

  async hasBlob({ digest }: Descriptor): Promise<boolean> {
    return this.#memberOf(digest) !== undefined;
  }

  async fetchBlob(descriptor: Descriptor, { signal }: OperationOptions = {}): Promise<Readable> {
    signal?.throwIfAborted();
    const member = this.#memberOf(descriptor.digest);
    if (member === undefined)
      throw new StaveError("NOT_FOUND", `${this.name} has no blob ${descriptor.digest}`, {
        subject: descriptor.digest,
      });
    const stream = this.#read(member);
    const verified = verifiedStream(stream, descriptor, `blob ${descriptor.digest} of ${this.name}`);
    stream.once("error", (cause) => verified.destroy(fileError(cause, "read", this.#path)));
    return verified;
  }

  async referrers(): Promise<Descriptor[]> {
    return [];
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #find(reference: string): Entry | undefined {
    return this.#tags.get(reference) ?? this.#manifests.get(reference as Digest);
  }

  // A manifest that only an index of the archive names.
  async #child(reference: string): Promise<Entry | undefined> {
    const member = reference.includes(":") ? this.#memberOf(reference as Digest) : undefined;
    if (member === undefined || member.size > MANIFEST_LIMIT) return undefined;
    const bytes = await this.#bytes(member, MANIFEST_LIMIT, "a manifest");
    if (digestOf(bytes) !== reference) return undefined;
    const { mediaType } = parseBySchema(bytes, z.looseObject({ mediaType: z.string().default("") }), "a manifest");
    return { descriptor: describe(bytes, mediaType), bytes };
  }

  // Feeds the reader only headers, and passes over contents.
  async #readMembers(): Promise<void> {
    const { size } = await this.#file.stat();
    let at = 0;
    const reader = new TarReader(
      {
        member: (member) => this.#addMember(member, at),
        content: () => {},
        contentEnd: () => {},
      },
      { isForeign: true },
    );
    const head = Buffer.alloc(BLOCK);
    while (at + BLOCK <= size) {
      const { bytesRead } = await this.#file.read(head, 0, BLOCK, at);
      if (bytesRead < BLOCK) throw this.#invalid("ends in the middle");
      if (at === 0 && isCompressed(head))
        throw new StaveError("UNSUPPORTED", `${this.name} is compressed, and must be read in any order`, {
          subject: this.name,
          hint: "decompress it first, for example with gunzip or unzstd",
        });
      at += BLOCK;
      reader.push(head);
      at += reader.skipContent();
    }
    if (at > size) throw this.#invalid("ends in the middle");
  }

  #addMember({ type, name, linkName, size }: TarMember, offset: number): void {
    if (this.#members.size + this.#links.size >= MOST_MEMBERS)
      throw this.#invalid(`has more than ${MOST_MEMBERS} members`);
    const path = posix.normalize(name).replace(/^\/+/, "");
    if (type === "file") this.#members.set(path, { offset, size });
    // Older versions of docker link layers that several images share.
    else if (type === "symlink") this.#links.set(path, posix.join(posix.dirname(path), linkName));
    else if (type === "hardlink") this.#links.set(path, posix.normalize(linkName));
  }

  #member(path: string): Member | undefined {
    let at = posix.normalize(path);
    for (let steps = 0; steps < MOST_LINKS; steps++) {
      const found = this.#members.get(at);
      if (found) return found;
      const next = this.#links.get(at);
      if (next === undefined) return undefined;
      at = next;
    }
    return undefined;
  }

  #memberOf(digest: Digest): Member | undefined {
    const [algorithm] = digest.split(":");
    return (
      this.#blobs.get(digest) ?? this.#member(`blobs/${algorithm}/${digest.includes(":") ? hexOf(digest) : digest}`)
    );
  }

  async #readLayout(): Promise<void> {
    const index = parseBySchema(
      await this.#document("index.json", MANIFEST_LIMIT),
      indexSchema,
      `index.json of ${this.name}`,
    );
    for (const descriptor of index.manifests) {
      const entry = { descriptor, bytes: undefined };
      this.#manifests.set(descriptor.digest, entry);
      const tag = tagIn(descriptor.annotations?.[REF_NAME]);
      // The only image needs no name.
      if (tag !== undefined) this.#tags.set(tag, entry);
      else if (index.manifests.length === 1) this.#tags.set("latest", entry);
    }
  }

  async #readSaved(): Promise<void> {
    const saved = parseBySchema(
      await this.#document("manifest.json", MANIFEST_LIMIT),
      savedSchema,
      `manifest.json of ${this.name}`,
    );
    const known = new Map<string, Descriptor>();
    for (const image of saved) {
      const config = await this.#document(image.Config, CONFIG_LIMIT);
      const parsed = parseBySchema(config, configSchema, `the config ${printable(image.Config)} of ${this.name}`);
      const place = this.#member(image.Config);
      if (place) this.#blobs.set(digestOf(config), place);
      const layers: Descriptor[] = [];
      for (const [at, path] of image.Layers.entries()) {
        const layer = known.get(path) ?? (await this.#layer(path));
        known.set(path, layer);
        const diffId = parsed.rootfs.diff_ids[at];
        if (layer.mediaType === DOCKER_LAYER_TAR && layer.digest !== diffId)
          throw new StaveError(
            "DIGEST_MISMATCH",
            `${printable(path)} of ${this.name} has digest ${layer.digest}, expected ${diffId}`,
            {
              subject: this.name,
            },
          );
        layers.push(layer);
      }
      if (layers.length !== parsed.rootfs.diff_ids.length)
        throw this.#invalid(
          `has ${layers.length} layers of an image whose config names ${parsed.rootfs.diff_ids.length}`,
        );
      const document = {
        schemaVersion: 2,
        mediaType: DOCKER_MANIFEST,
        config: describe(config, DOCKER_CONFIG),
        layers,
      };
      const bytes = Buffer.from(canonicalBytes(document));
      const entry = { descriptor: describe(bytes, DOCKER_MANIFEST), bytes };
      this.#manifests.set(entry.descriptor.digest, entry);
      const tags = (image.RepoTags ?? []).flatMap((text) => tagIn(text) ?? []);
      for (const tag of tags) this.#tags.set(tag, entry);
      if (tags.length === 0 && saved.length === 1) this.#tags.set("latest", entry);
    }
  }

  // docker and podman write layers without compression; others may compress them.
  async #layer(path: string): Promise<Descriptor> {
    const member = this.#member(path);
    if (member === undefined) throw this.#invalid(`has no file ${printable(path)}`);
    const digester = new Digester();
    let head = Buffer.alloc(0);
    for await (const chunk of this.#read(member) as AsyncIterable<Buffer>) {
      if (head.length < 4) head = Buffer.concat([head, chunk.subarray(0, 4)]);
      digester.update(chunk);
    }
    const isGzip = head.length >= 2 && head.readUInt16BE(0) === 0x1f8b;
    if (!isGzip && isCompressed(head))
      throw this.#invalid(`has a layer that is neither a tar archive nor gzip: ${printable(path)}`);
    const digest = digester.digest();
    this.#blobs.set(digest, member);
    return { mediaType: isGzip ? DOCKER_LAYER_GZIP : DOCKER_LAYER_TAR, digest, size: member.size };
  }

  async #document(path: string, limit: number): Promise<Buffer> {
    const member = this.#member(path);
    if (member === undefined) throw this.#invalid(`has no file ${printable(path)}`);
    return await this.#bytes(member, limit, `${printable(path)} of ${this.name}`);
  }

  async #bytes({ offset, size }: Member, limit: number, subject: string): Promise<Buffer> {
    if (size > limit) throw tooLarge(subject, limit);
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await this.#file.read(bytes, 0, size, offset);
    if (bytesRead !== size) throw this.#invalid("ends in the middle");
    return bytes;
  }

  async #verified(descriptor: Descriptor): Promise<Buffer> {
    const member = this.#memberOf(descriptor.digest);
    if (member === undefined) throw this.#invalid(`has no blob ${descriptor.digest}`);
    const bytes = await this.#bytes(member, descriptor.size, `manifest ${descriptor.digest}`);
    const actual = digestOf(bytes);
    if (actual === descriptor.digest) return bytes;
    throw new StaveError(
      "DIGEST_MISMATCH",
      `manifest of ${this.name} has digest ${actual}, expected ${descriptor.digest}`,
      {
        subject: this.name,
      },
    );
  }

  #read({ offset, size }: Member): Readable {
    if (size === 0) return Readable.from([]);
    return createReadStream(this.#path, { start: offset, end: offset + size - 1 });
  }

  #invalid(how: string): StaveError {
    return new StaveError("CONTENT_INVALID", `${this.name} ${how}`, { subject: this.name });
  }
}

function tooLarge(subject: string, limit: number): StaveError {
  return new StaveError("TOO_LARGE", `${subject} is larger than the limit of ${limit} bytes`, { subject });
}

// gzip, xz, zstd, bzip2.
function isCompressed(head: Buffer): boolean {
  const magic = head.toString("hex", 0, 4);
  return /^(?:1f8b|fd377a58|28b52ffd|425a68)/.test(magic);
}

// Some programs write the whole name of an image, others only its tag.
function tagIn(text: string | undefined): string | undefined {
  const tag = text?.slice(text.lastIndexOf(":") + 1);
  return tag !== undefined && isTag(tag) ? tag : undefined;
}

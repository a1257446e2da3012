// Mirrors of layout 3, which Spack 1.0 and later write (Spack `url_buildcache.py`).

import { isStaveError, StaveError } from "../../errors.ts";
import type { ObjectContent } from "../../objects/objects.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { sanitizeTag } from "../../oci/reference.ts";
import { readSpecFile, SPEC_FILE_LIMIT, type SpecDocument } from "../../spack/spec/spec-file.ts";
import { manifestFileName, type NamedSpec, specTag } from "../../spack/spec/spec-name.ts";
import { rereadDamaged } from "../../target/refetch.ts";
import type { OperationOptions } from "../../target/target.ts";
import { gunzip } from "../../util/decompress.ts";
import { readSized } from "../../util/stream.ts";
import type { FetchSpecOptions } from "../cache.ts";
import { readIndexBlob } from "../index-blob.ts";
import type { CacheIndex } from "../index-read.ts";
import { checkIdentity } from "../spec-identity.ts";
import { parseSpecTag } from "../spec-tag.ts";
import { isClearSigned, textOf } from "./clear-signed.ts";
import {
  type LayoutListing,
  type LayoutOptions,
  lacksPart,
  type MirrorLayout,
  type MirrorSpec,
  type NodeLookup,
} from "./mirror-layout.ts";
import { blobIn, blobKey, MIRROR_MANIFEST_LIMIT } from "./mirror-manifest.ts";

/** The folder of the manifests of specs. */
export const SPEC_MANIFESTS = "v3/manifests/spec";
/** The end of the name of a spec's manifest. */
export const SPEC_SUFFIX = ".spec.manifest.json";

/** The key of the manifest of the index, or of a view of it. */
export function indexKey(view?: string): string {
  return view === undefined
    ? "v3/manifests/index/index.manifest.json"
    : `v3/manifests/index/${view}/index.manifest.json`;
}

/** The key of the manifest of a spec. */
export function manifestKey(node: NamedSpec): string {
  return `${SPEC_MANIFESTS}/${node.name}/${manifestFileName(node)}`;
}

/** Options of layout 3. */
export interface Layout3Options extends LayoutOptions {
  /** The view of the index to read. */
  readonly view?: string | undefined;
}

/** The part of a mirror in layout 3. */
export class Layout3 implements MirrorLayout {
  readonly #options: Layout3Options;
  readonly #lookup: NodeLookup;
  /** The keys of manifests by tag, of those that were listed or looked for. */
  readonly #keys = new Map<string, string>();
  readonly #ages = new Map<string, number | undefined>();
  #brokenIndex: string | undefined;

  constructor(options: Layout3Options, lookup: NodeLookup) {
    this.#options = options;
    this.#lookup = lookup;
  }

  async list({ specs, foreign }: LayoutListing, options: OperationOptions): Promise<boolean> {
    const { objects, view } = this.#options;
    for await (const { key, modified } of objects.list(`${SPEC_MANIFESTS}/`, options)) {
      const [name, file, ...deeper] = key.slice(SPEC_MANIFESTS.length + 1).split("/");
      const stem = file?.endsWith(SPEC_SUFFIX) ? file.slice(0, -SPEC_SUFFIX.length) : undefined;
      const tag = stem === undefined ? undefined : sanitizeTag(`${stem}.spack`);
      const found = tag === undefined || deeper.length > 0 ? undefined : parseSpecTag(tag);
      const head = stem?.slice(0, -33) ?? "";
      if (tag === undefined || found === undefined || !head.startsWith(`${name}-`)) {
        foreign.push(key);
        continue;
      }
      this.#keys.set(tag, key);
      this.#ages.set(tag, modified);
      specs.set(tag, { tag, hash: found.hash, name: name ?? "", version: head.slice((name ?? "").length + 1) });
    }
    return (await objects.look(indexKey(view), options)) !== undefined;
  }

  /** When the manifest of a listed spec was written, in milliseconds since the epoch. */
  modified(tag: string): number | undefined {
    return this.#ages.get(tag);
  }

  /** The key of the manifest of a spec; undefined if it cannot be known, because the mirror does not have it. */
  async keyOf(tag: string, options: FetchSpecOptions): Promise<string | undefined> {
    const known = this.#keys.get(tag);
    if (known !== undefined) return known;
    const named = options.node ?? options.named ?? (await this.#lookup(tag, options));
    if (named !== undefined && specTag(named) === tag) return manifestKey(named);
    return this.#keys.get(tag);
  }

  async has(tag: string, options: FetchSpecOptions): Promise<boolean> {
    const key = await this.keyOf(tag, options);
    if (key === undefined || (await this.#options.objects.look(key, options)) === undefined) return false;
    this.#keys.set(tag, key);
    return true;
  }

  async fetchSpec(tag: string, options: FetchSpecOptions): Promise<MirrorSpec | undefined> {
    const { objects, signatures } = this.#options;
    const key = await this.keyOf(tag, options);
    const found = key && (await objects.read(key, MIRROR_MANIFEST_LIMIT, options));
    if (!key || !found) return undefined;
    const subject = `${objects.name}/${key}`;
    const { bytes } = found;
    const text = signatures ? await signatures.verify(bytes, subject, options) : textOf(bytes, subject);
    const archive = blobIn(text, "archive", subject);
    if (archive === undefined) throw lacksPart(subject, "archive");
    const { document, bytes: packed } = await this.#readSpec(text, subject, options);
    checkIdentity(document, tag, subject, options.isKnown);
    if (key !== manifestKey(document.root))
      throw new StaveError("SPEC_INVALID", `${subject} is not the file of ${tag}`, { subject });
    const spec = {
      ...{ tag, layers: [archive], archive, diffId: undefined, layoutVersion: 2, archivedAt: undefined },
      ...{ env: [], document, isSigned: isClearSigned(bytes) },
      original: { manifest: bytes, spec: packed },
    };
    return { spec, archiveKey: blobKey(archive) };
  }

  /** The spec that the text of a manifest names. Throws CONTENT_INVALID, SPEC_INVALID, NOT_FOUND. */
  async readDocument(text: string, subject: string, options: OperationOptions): Promise<SpecDocument> {
    return (await this.#readSpec(text, subject, options)).document;
  }

  async #readSpec(
    text: string,
    subject: string,
    options: OperationOptions,
  ): Promise<{ document: SpecDocument; bytes: Buffer }> {
    const record = blobIn(text, "spec", subject);
    if (record === undefined) throw lacksPart(subject, "spec");
    const name = `the spec of ${subject}`;
    const bytes = await this.#readBlob(record, SPEC_FILE_LIMIT, name, options);
    const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return { document: readSpecFile(isPacked ? gunzip(bytes, SPEC_FILE_LIMIT, name) : bytes, name), bytes };
  }

  async #readBlob(blob: Descriptor, limit: number, what: string, options: OperationOptions): Promise<Buffer> {
    if (blob.size > limit)
      throw new StaveError("TOO_LARGE", `${what} has ${blob.size} bytes, expected at most ${limit}`, { subject: what });
    const { objects } = this.#options;
    return await rereadDamaged(async () =>
      readSized(await objects.open(blobKey(blob), blob, options), blob.size, what),
    );
  }

  /** The token of the index that was read last and is broken, so that it can be replaced; undefined if it is not. */
  get brokenIndex(): string | undefined {
    return this.#brokenIndex;
  }

  async readIndex(options: OperationOptions): Promise<CacheIndex | undefined> {
    const { objects, view } = this.#options;
    const key = indexKey(view);
    const manifest = await objects.read(key, MIRROR_MANIFEST_LIMIT, options);
    this.#brokenIndex = manifest?.token;
    if (manifest === undefined) return undefined;
    const index = await this.#readNamed(manifest, key, options);
    this.#brokenIndex = undefined;
    return index;
  }

  async #readNamed(manifest: ObjectContent, key: string, options: OperationOptions): Promise<CacheIndex> {
    const { objects, memory } = this.#options;
    const name = `${objects.name}/${key}`;
    const blob = blobIn(manifest.bytes.toString("utf8"), "index", name);
    if (blob === undefined) throw lacksPart(name, "index");
    const { digest, size } = blob;
    const hint = `rebuild it with \`updateIndex("${objects.name}", { full: true })\``;
    const index = await readIndexBlob({
      ...{ digest, size, memory, path: objects.path?.(blobKey(blob)) },
      name: `the index of ${objects.name}`,
      hint,
      open: () => objects.open(blobKey(blob), { digest, size }, options),
    }).catch((error: unknown) => {
      // NOT_FOUND would mean that a spec is absent; here only the index is broken.
      if (!isStaveError(error, "NOT_FOUND")) throw error;
      throw error.with({
        code: "CONTENT_INVALID",
        message: `the index of ${objects.name} is gone: ${error.message}`,
        hint,
      });
    });
    return { ...index, token: manifest.token };
  }
}

// A repository of a registry as a Target.
import type { Readable } from "node:stream";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { mayHaveSubject, parseManifest } from "../../oci/manifest.ts";
import { referrerEntry } from "../../oci/referrer.ts";
import type { Source } from "../../util/stream.ts";
import type {
  FetchBlobOptions,
  FetchedManifest,
  FetchManifestOptions,
  OperationOptions,
  PushBlobOptions,
  PushedManifest,
  PushManifestOptions,
  PushOutcome,
  PushStreamOptions,
  ReferrerManifest,
  ReferrersOptions,
  Target,
} from "../target.ts";
import { deleteBlob, fetchBlob, fetchBlobStart, hasBlob } from "./blobs.ts";
import { deleteManifest, fetchManifest, headManifest, putManifest } from "./manifests.ts";
import { pushReferrers } from "./push-referrers.ts";
import { addFallbackReferrer, listReferrers } from "./referrers.ts";
import { Repository, type RepositoryOptions } from "./repository.ts";
import { listTags } from "./tags.ts";

/** One repository of one registry. The transport is shared; its creator closes it. */
export class RegistryTarget implements Target {
  readonly name: string;
  /** A registry checks that everything a manifest names exists (OCI distribution 1.1, "Pushing Manifests"). */
  readonly keepsClosure = true;
  readonly mountDomain: string;
  readonly mountName: string;
  readonly #repository: Repository;

  constructor(options: RepositoryOptions) {
    this.#repository = new Repository(options);
    this.name = this.#repository.name;
    this.mountDomain = this.#repository.host;
    this.mountName = options.repository;
  }

  hasBlob(descriptor: Descriptor, options?: OperationOptions): Promise<boolean> {
    return hasBlob(this.#repository, descriptor.digest, { ...options, size: descriptor.size });
  }

  fetchBlob(descriptor: Descriptor, options?: FetchBlobOptions): Promise<Readable> {
    return fetchBlob(this.#repository, descriptor, options);
  }

  fetchBlobStart(descriptor: Descriptor, length: number, options?: OperationOptions): Promise<Buffer> {
    return fetchBlobStart(this.#repository, descriptor, length, options);
  }

  // Loaded with the first push: most programs only read.
  async pushBlob(descriptor: Descriptor, source: Source, options?: PushBlobOptions): Promise<PushOutcome> {
    const { pushBlob } = await import("./upload.ts");
    return await pushBlob(this.#repository, descriptor, source, options);
  }

  async pushStream(stream: Readable, mediaType: string, options?: PushStreamOptions): Promise<Descriptor> {
    // It may fail before there is a reader, which then reports the error.
    stream.once("error", () => {});
    try {
      const { pushStream } = await import("./upload.ts");
      return await pushStream(this.#repository, stream, mediaType, options);
    } finally {
      stream.destroy();
    }
  }

  async headManifest(reference: string, options?: OperationOptions): Promise<Descriptor | undefined> {
    return (await headManifest(this.#repository, reference, options))?.descriptor;
  }

  fetchManifest(reference: string, options?: FetchManifestOptions): Promise<FetchedManifest> {
    return fetchManifest(this.#repository, reference, options);
  }

  async pushManifest(bytes: Uint8Array, mediaType: string, options: PushManifestOptions = {}): Promise<PushedManifest> {
    const { descriptor, tookSubject } = await putManifest(this.#repository, bytes, mediaType, options);
    if (tookSubject || !mayHaveSubject(bytes)) return { descriptor };
    const { value } = parseManifest(bytes, mediaType, `manifest ${descriptor.digest}`);
    if (value.subject)
      await addFallbackReferrer(this.#repository, value.subject.digest, referrerEntry(descriptor, value), options);
    return { descriptor };
  }

  pushReferrers(manifests: readonly ReferrerManifest[], options?: OperationOptions): Promise<void> {
    return pushReferrers(this.#repository, manifests, options);
  }

  tags(options?: OperationOptions): AsyncIterable<string> {
    return listTags(this.#repository, options);
  }

  referrers(digest: Digest, options?: ReferrersOptions): Promise<Descriptor[]> {
    return listReferrers(this.#repository, digest, options);
  }

  deleteManifest(reference: string, options?: OperationOptions): Promise<void> {
    return deleteManifest(this.#repository, reference, options);
  }

  deleteBlob(digest: Digest, options?: OperationOptions): Promise<void> {
    return deleteBlob(this.#repository, digest, options);
  }

  async close(): Promise<void> {}
}

// Writes the configs and manifests of images, over their base images, and counts what a push sends.
import type { BaseImage } from "../../image/base-image-reader.ts";
import type { BuiltImage } from "../../image/image-documents.ts";
import type { MadeLayer } from "../../image/pack/made-layer.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf } from "../../spack/spec/spec-name.ts";
import type { PushOutcome, Target } from "../../target/target.ts";
import { BufferPool } from "../../util/buffer-pool.ts";
import { bytesSource } from "../../util/stream.ts";
import type { BaseImages } from "./base-image.ts";

/** The base of an image, and its Go architecture. */
export interface ImageBase {
  readonly base: BaseImage | undefined;
  readonly architecture: string;
}

/** Writes documents to one target. */
export class DocumentWriter {
  readonly #target: Target;
  readonly #bases: BaseImages | undefined;
  readonly #signal: AbortSignal;
  /** Memory for configs, each of which `config` takes back. */
  readonly pool = new BufferPool();
  /** The manifests of all images, by tag. */
  readonly manifests = new Map<string, Descriptor>();
  /** What was sent, layers that others have sent included. */
  readonly totals = { blobs: { pushed: 0, mounted: 0, present: 0 }, packedBytes: 0, sentBytes: 0 };

  constructor(target: Target, bases: BaseImages | undefined, signal: AbortSignal) {
    this.#target = target;
    this.#bases = bases;
    this.#signal = signal;
  }

  /** Counts a layer. */
  count(outcome: PushOutcome, sent: number, packed = 0): void {
    this.totals.blobs[outcome]++;
    this.totals.sentBytes += sent;
    this.totals.packedBytes += packed;
  }

  /** The base of the image of a spec. Throws as reading a base image does. */
  async base(node: SpecNode): Promise<ImageBase> {
    const architecture = goArchitectureOf(node);
    return { base: await this.#bases?.read(architecture), architecture };
  }

  /** Pushes the config of an image; `isNew` if it cannot be there. Bytes from the pool are no longer the caller's. */
  async config({ config }: BuiltImage, { isNew }: { readonly isNew: boolean }): Promise<void> {
    const signal = this.#signal;
    const outcome = await this.#target.pushBlob(config.descriptor, bytesSource(config.bytes), { signal, isNew });
    if (outcome === "pushed") this.totals.sentBytes += config.bytes.length;
    // Not after a failure: a request may still be sending them.
    this.pool.give(config.bytes);
  }

  /** Pushes a layer that holds no specs. */
  async extra({ bytes, ...blob }: MadeLayer): Promise<void> {
    const outcome = await this.#target.pushBlob(blob, bytesSource(bytes), { signal: this.#signal });
    this.count(outcome, outcome === "pushed" ? bytes.length : 0);
  }

  /** Pushes the manifest of an image, once the layers of its base are in the target, and tags it. */
  async manifest({ bytes, descriptor }: BuiltImage["manifest"], architecture: string, tag: string): Promise<void> {
    await this.#bases?.place(architecture, this.#target);
    await this.#target.pushManifest(bytes, descriptor.mediaType, { tag, signal: this.#signal });
    this.manifests.set(tag, descriptor);
  }

  /** Counts the layers of base images that were brought to the target. */
  countBases(): void {
    for (const { outcome, descriptor } of this.#bases?.placed ?? [])
      this.count(outcome, outcome === "pushed" ? descriptor.size : 0);
  }
}

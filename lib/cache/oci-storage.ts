// How registries and image layouts store specs.
import { isStaveError, StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { parseManifest, successors } from "../oci/manifest.ts";
import { isIndexType } from "../oci/mediatype.ts";
import { imageName } from "../oci/reference.ts";
import { LayoutTarget } from "../target/layout/layout.ts";
import { findGarbage } from "../target/layout/layout-garbage.ts";
import type { ManifestDeleter, OperationOptions, Target } from "../target/target.ts";
import type { CachedSpec } from "./cache.ts";
import type { SpecStorage, StoredSpec, UnusedBlob, UnusedOptions } from "./spec-storage.ts";
import { attachmentTags } from "./spec-tag.ts";

/** What the storage reads through its cache. */
export interface StorageCache {
  readonly target: Target;
  /** What deletes manifests if the target does not. */
  readonly deleter?: ManifestDeleter | undefined;
  fetchSpec(tag: string, options: OperationOptions): Promise<CachedSpec>;
}

/** The storage of specs as images. */
export class OciStorage implements SpecStorage {
  readonly isTimed: boolean;
  readonly #cache: StorageCache;
  #deletes: Pick<ManifestDeleter, "deleteManifest">;

  constructor(cache: StorageCache) {
    this.#cache = cache;
    this.#deletes = cache.target;
    // In a registry each age costs a request.
    this.isTimed = cache.target instanceof LayoutTarget;
  }

  get #target(): Target {
    return this.#cache.target;
  }

  // A directory's files and some registries tell when an image was pushed; otherwise use the time when Spack packed it.
  async timeOf(tag: string, { now, signal }: OperationOptions & { readonly now: number }): Promise<number | undefined> {
    const target = this.#target;
    if (target instanceof LayoutTarget) {
      const descriptor = await target.headManifest(tag, { signal });
      return descriptor && target.blobs.changed(descriptor.digest);
    }
    const { age } = await target.fetchManifest(tag, { signal });
    return age === undefined ? (await this.#cache.fetchSpec(tag, { signal })).archivedAt : now - age;
  }

  async digestsOf(tag: string, { signal }: OperationOptions): Promise<readonly Digest[]> {
    const found = await this.#target.headManifest(tag, { signal });
    return found === undefined ? [] : [...(await this.#inside(found, signal))];
  }

  // The manifest itself and, if it is an index, all that it leads to.
  async #inside(
    { digest, mediaType }: Descriptor,
    signal: AbortSignal | undefined,
    found: Set<Digest> = new Set(),
  ): Promise<ReadonlySet<Digest>> {
    if (found.has(digest)) return found;
    found.add(digest);
    if (!isIndexType(mediaType)) return found;
    try {
      const { descriptor, bytes } = await this.#target.fetchManifest(digest, { signal });
      const name = imageName(this.#target.name, digest);
      for (const part of successors(parseManifest(bytes, descriptor.mediaType, name)))
        await this.#inside(part, signal, found);
    } catch (error) {
      // A registry may hold an index without all of its parts.
      if (!isStaveError(error, "NOT_FOUND")) throw error;
    }
    return found;
  }

  async stored(tag: string, { signal }: OperationOptions): Promise<StoredSpec | undefined> {
    try {
      const { descriptor, bytes, age } = await this.#target.fetchManifest(tag, { signal });
      const { digest, mediaType } = descriptor;
      const referrers = (await this.#target.referrers(digest, { signal })).map((entry) => entry.digest);
      return { tag, digest, mediaType, manifest: bytes.toString("utf8"), referrers, age };
    } catch (error) {
      if (isStaveError(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }

  // Removes a manifest that no cache has.
  async mayRemove({ signal }: OperationOptions): Promise<boolean> {
    const { deleter } = this.#cache;
    try {
      await this.#removeManifest(digestOf("whether manifests can be deleted"), signal);
      return true;
    } catch (error) {
      if (!isStaveError(error, "UNSUPPORTED") && !(isStaveError(error) && error.status === 405)) throw error;
      if (deleter === undefined) return false;
      await deleter.open({ signal });
      this.#deletes = deleter;
      return true;
    }
  }

  async remove({ tag, digest, referrers }: StoredSpec, { signal }: OperationOptions): Promise<boolean> {
    try {
      const present = await this.#target.headManifest(tag, { signal });
      if (present?.digest !== digest) return false;
      for (const referrer of referrers) await this.#removeManifest(referrer, signal);
      await this.#deletes.deleteManifest(digest, { signal });
      await this.#removeAttachments(digest, signal);
      return true;
    } catch (error) {
      if (isStaveError(error, "NOT_FOUND")) return false;
      throw error;
    }
  }

  // Lists of referrers and signatures under tags would otherwise stay, and speak of an image that is gone.
  async #removeAttachments(image: Digest, signal: AbortSignal | undefined): Promise<void> {
    for (const tag of attachmentTags(image)) {
      const found = await this.#target.headManifest(tag, { signal });
      if (found !== undefined) await this.#removeManifest(found.digest, signal);
    }
  }

  async #removeManifest(digest: Digest, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#deletes.deleteManifest(digest, { signal });
    } catch (error) {
      if (!isStaveError(error, "NOT_FOUND")) throw error;
    }
  }

  async restore(
    { tag, mediaType, manifest }: Pick<StoredSpec, "tag" | "mediaType" | "manifest">,
    from: string,
    { signal }: OperationOptions,
  ): Promise<void> {
    const bytes = Buffer.from(manifest);
    for (const part of successors(parseManifest(bytes, mediaType, `the manifest of ${tag} in ${from}`)))
      if (!(await this.#target.hasBlob(part, { signal })))
        throw new StaveError("NOT_FOUND", `${tag} cannot be restored: ${part.digest} is gone`, {
          subject: tag,
          hint: "push the spec again",
        });
    await this.#target.pushManifest(bytes, mediaType, { tag, signal });
  }

  async unused({ gone, before, signal }: UnusedOptions): Promise<readonly UnusedBlob[]> {
    const target = this.#target;
    return target instanceof LayoutTarget ? await findGarbage(target, { gone, before, signal }) : [];
  }

  async removeBlob(digest: Digest, { signal }: OperationOptions): Promise<void> {
    await this.#target.deleteBlob(digest, { signal });
  }
}

// How a mirror stores specs: a manifest file each, and blobs that manifests name.
import { isStaveError, StaveError } from "../../errors.ts";
import type { Objects } from "../../objects/objects.ts";
import { type Digest, digestOf, isDigest } from "../../oci/digest.ts";
import type { OperationOptions } from "../../target/target.ts";
import { bytesSource } from "../../util/stream.ts";
import type { SpecStorage, StoredSpec, UnusedBlob, UnusedOptions } from "../spec-storage.ts";
import { isUnfit } from "../unusable.ts";
import { textOf } from "./clear-signed.ts";
import { type Layout3, manifestKey } from "./layout3.ts";
import { blobKey, blobsIn, MIRROR_MANIFEST_LIMIT } from "./mirror-manifest.ts";

const MANIFEST = "application/json";

/** The storage of specs in the files of a mirror. */
export class MirrorStorage implements SpecStorage {
  readonly isTimed = true;
  readonly #objects: Objects;
  readonly #layout3: Layout3;

  constructor(objects: Objects, layout3: Layout3) {
    this.#objects = objects;
    this.#layout3 = layout3;
  }

  async #keyOf(tag: string, options: OperationOptions): Promise<string> {
    const key = await this.#layout3.keyOf(tag, options);
    if (key !== undefined) return key;
    throw new StaveError("NOT_FOUND", `${this.#objects.name} has no ${tag}`, { subject: tag });
  }

  async timeOf(tag: string, options: OperationOptions): Promise<number | undefined> {
    return (await this.#objects.look(await this.#keyOf(tag, options), options))?.modified;
  }

  async digestsOf(tag: string, options: OperationOptions): Promise<readonly Digest[]> {
    const key = await this.#layout3.keyOf(tag, options);
    const found = key && (await this.#objects.read(key, MIRROR_MANIFEST_LIMIT, options));
    return found ? [digestOf(found.bytes)] : [];
  }

  async stored(
    tag: string,
    { now, ...options }: OperationOptions & { readonly now: number },
  ): Promise<StoredSpec | undefined> {
    const key = await this.#layout3.keyOf(tag, options);
    const found = key && (await this.#objects.read(key, MIRROR_MANIFEST_LIMIT, options));
    if (!key || !found) return undefined;
    const modified = (await this.#objects.look(key, options))?.modified;
    const age = modified === undefined ? undefined : now - modified;
    const manifest = found.bytes.toString("utf8");
    return { tag, digest: digestOf(found.bytes), mediaType: MANIFEST, manifest, referrers: [], age };
  }

  mayRemove(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async remove({ tag, digest }: StoredSpec, options: OperationOptions): Promise<boolean> {
    if (!(await this.digestsOf(tag, options)).includes(digest)) return false;
    return await this.#objects.remove(await this.#keyOf(tag, options), options);
  }

  async restore(
    { tag, manifest }: Pick<StoredSpec, "tag" | "manifest">,
    from: string,
    options: OperationOptions,
  ): Promise<void> {
    const bytes = Buffer.from(manifest);
    const name = `the manifest of ${tag} in ${from}`;
    const text = textOf(bytes, name);
    for (const blob of blobsIn(text, name))
      if ((await this.#objects.look(blobKey(blob), options)) === undefined)
        throw new StaveError("NOT_FOUND", `${tag} cannot be restored: ${blob.digest} is gone`, {
          subject: tag,
          hint: "push the spec again",
        });
    const { root } = await this.#layout3.readDocument(text, name, options);
    await this.#objects.write(manifestKey(root), bytesSource(bytes), digestOf(bytes), options);
  }

  /** None while there is a manifest that cannot be read: it might name any blob. */
  async unused({ gone, before, signal, onWarning }: UnusedOptions): Promise<readonly UnusedBlob[]> {
    const used = new Set<Digest>();
    for await (const { key, size } of this.#objects.list("v3/manifests/", { signal })) {
      const name = `${this.#objects.name}/${key}`;
      try {
        const found = await this.#objects.read(key, MIRROR_MANIFEST_LIMIT, { signal });
        if (found === undefined && size === undefined)
          throw new StaveError("NOT_FOUND", "it is a dangling link", { subject: name });
        if (found === undefined || gone.has(digestOf(found.bytes))) continue;
        for (const { digest } of blobsIn(textOf(found.bytes, name), name)) used.add(digest);
      } catch (error) {
        if (!isUnfit(error) && !isStaveError(error, "FILE_SYSTEM")) throw error;
        onWarning(`no blobs are removed, because ${name} cannot be read: ${error.message}`);
        return [];
      }
    }
    const unused: UnusedBlob[] = [];
    for await (const { key, size = 0, modified } of this.#objects.list("blobs/", { signal })) {
      const [, algorithm, , hex] = key.split("/");
      const digest = `${algorithm}:${hex}`;
      if (isDigest(digest) && !used.has(digest) && modified !== undefined && modified < before)
        unused.push({ digest, size });
    }
    return unused;
  }

  async removeBlob(digest: Digest, options: OperationOptions): Promise<void> {
    await this.#objects.remove(blobKey({ digest }), options);
  }
}

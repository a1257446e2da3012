// The blobs of a mirror as a destination: files named by their digests.
import type { Readable } from "node:stream";
import type { Objects, PlacedObject } from "../../objects/objects.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type {
  BlobPusher,
  OperationOptions,
  PushBlobOptions,
  PushOutcome,
  PushStreamOptions,
} from "../../target/target.ts";
import type { Source } from "../../util/stream.ts";
import { blobKey } from "./mirror-manifest.ts";

/** Stores blobs in the files of a mirror. */
export class MirrorBlobs implements BlobPusher {
  readonly #objects: Objects;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  async pushBlob(blob: Descriptor, source: Source, options: PushBlobOptions = {}): Promise<PushOutcome> {
    const { signal, onBytes, isNew = false } = options;
    const key = blobKey(blob);
    if (!isNew && (await this.#objects.look(key, { signal }))?.size === blob.size) {
      await this.#objects.touch(key, { signal });
      return "present";
    }
    await this.#objects.write(key, source, blob.digest, { signal, onBytes });
    return "pushed";
  }

  /** Stores the archive of another mirror without transferring it; undefined if that is not possible. */
  async take(
    archive: PlacedObject,
    blob: Descriptor,
    { signal }: OperationOptions = {},
  ): Promise<PushOutcome | undefined> {
    const key = blobKey(blob);
    if ((await this.#objects.look(key, { signal }))?.size === blob.size) {
      await this.#objects.touch(key, { signal });
      return "present";
    }
    return (await this.#objects.take(archive, key, blob, { signal })) ? "mounted" : undefined;
  }

  async pushStream(stream: Readable, mediaType: string, options: PushStreamOptions = {}): Promise<Descriptor> {
    const { signal, onBytes, digest, recycle } = options;
    const keyOf = (made: Descriptor["digest"]): string => blobKey({ digest: made });
    return { mediaType, ...(await this.#objects.writeStream(stream, keyOf, { signal, onBytes, digest, recycle })) };
  }
}

// The blobs of a target as sources of an upload to another one.
import type { Descriptor } from "../oci/descriptor.ts";
import { type Source, withoutFirst } from "../util/stream.ts";
import type { BlobFetcher, OperationOptions, ReadTarget } from "./target.ts";

/** A blob of a target that can be sent elsewhere. Its streams fail with the errors of `fetchBlob`. */
export function blobSource(from: BlobFetcher, descriptor: Descriptor, options: OperationOptions = {}): Source {
  return {
    size: descriptor.size,
    isVerified: true,
    open: async (offset = 0) => {
      const stream = await from.fetchBlob(descriptor, options);
      // Only the whole can be verified, so what comes before the offset is read and passed over.
      return offset === 0 ? stream : withoutFirst(stream, offset);
    },
  };
}

/** The repositories from which a target may mount what another one holds: none, unless both are of one registry. */
export function mountsBetween(from: ReadTarget, to: ReadTarget): string[] {
  const { mountDomain, mountName } = from;
  return mountDomain !== undefined && mountDomain === to.mountDomain && mountName !== undefined ? [mountName] : [];
}

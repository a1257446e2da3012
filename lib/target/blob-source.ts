// Blobs of a target as upload sources for another.
import type { Descriptor } from "../oci/descriptor.ts";
import { type Source, withoutFirst } from "../util/stream.ts";
import type { BlobFetcher, OperationOptions, ReadTarget } from "./target.ts";

/** A blob of a target as a source. Its streams fail with the errors of `fetchBlob`. */
export function blobSource(from: BlobFetcher, descriptor: Descriptor, options: OperationOptions = {}): Source {
  return {
    size: descriptor.size,
    isVerified: true,
    open: async (offset = 0) => {
      const stream = await from.fetchBlob(descriptor, options);
      // Only the whole blob can be verified, so the bytes before the offset are read and skipped.
      return offset === 0 ? stream : withoutFirst(stream, offset);
    },
  };
}

/** The repositories from which `to` can mount blobs of `from`: none unless both are in one registry. */
export function mountsBetween(from: ReadTarget, to: ReadTarget): string[] {
  const { mountDomain, mountName } = from;
  return mountDomain !== undefined && mountDomain === to.mountDomain && mountName !== undefined ? [mountName] : [];
}

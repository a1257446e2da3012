// The blobs of a target as sources of an upload to another one.
import { Readable } from "node:stream";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Source } from "../util/stream.ts";
import type { BlobFetcher, OperationOptions, ReadTarget } from "./target.ts";

/** A blob of a target that can be sent elsewhere. Its streams fail with the errors of `fetchBlob`. */
export function blobSource(from: BlobFetcher, descriptor: Descriptor, options: OperationOptions = {}): Source {
  return {
    size: descriptor.size,
    isVerified: true,
    open: async (offset = 0) => {
      const stream = await from.fetchBlob(descriptor, options);
      // Only the whole can be verified, so what comes before the offset is read and passed over.
      return offset === 0 ? stream : Readable.from(skipBytes(stream, offset), { objectMode: false });
    },
  };
}

/** The repositories from which a target may mount what another one holds: none, unless both are of one registry. */
export function mountsBetween(from: ReadTarget, to: ReadTarget): string[] {
  const { mountDomain, mountName } = from;
  return mountDomain !== undefined && mountDomain === to.mountDomain && mountName !== undefined ? [mountName] : [];
}

async function* skipBytes(stream: Readable, offset: number): AsyncIterable<Buffer> {
  let left = offset;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (left >= chunk.byteLength) left -= chunk.byteLength;
    else {
      yield left > 0 ? chunk.subarray(left) : chunk;
      left = 0;
    }
  }
}

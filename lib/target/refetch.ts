// Fetches damaged content once more before reporting an error. Damage shows only at the end of a stream, so the work
// that consumes the stream is repeated.
import type { Readable } from "node:stream";
import { type ErrorCode, isStaveError, type StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobSource } from "./blob-source.ts";
import type { BlobFetcher, BlobPusher, PushBlobOptions, PushOutcome } from "./target.ts";

/** How damage appears: the final verification fails, or before it a consumer of the bytes. */
const DAMAGE: readonly ErrorCode[] = [
  "DIGEST_MISMATCH",
  "SIZE_MISMATCH",
  "CONTENT_INVALID",
  "ARCHIVE_UNSAFE",
  "TOO_LARGE",
];

/**
 * Runs work that fetches one blob. If it fails on bytes that were not yet verified, runs it once more from the start;
 * so its first attempt must leave nothing that anyone uses.
 */
export async function withRefetch<T>(from: BlobFetcher, work: (from: BlobFetcher) => Promise<T>): Promise<T> {
  for (let isSecond = false; ; isSecond = true) {
    let stream: Readable | undefined;
    const fetchBlob: BlobFetcher["fetchBlob"] = async (blob, options) => {
      stream = await from.fetchBlob(blob, options);
      return stream;
    };
    try {
      return await work({ fetchBlob });
    } catch (error) {
      // A stream that has ended was verified: the content itself is wrong, and fetching it again would not help.
      const isDoubtful = stream?.readableEnded === false;
      if (isSecond || !isDoubtful || !isStaveError(error, ...DAMAGE)) throw error;
    }
  }
}

/** Options for transferring a blob from one target to another. */
export interface TransferOptions extends PushBlobOptions {
  /** Maps an error, given the side that failed. */
  readonly onError?: ((error: unknown, side: "source" | "destination") => unknown) | undefined;
}

/** Transfers a blob from one target to another; if it arrives damaged, fetches it once more. */
export async function transferBlob(
  from: BlobFetcher,
  to: BlobPusher,
  blob: Descriptor,
  options: TransferOptions = {},
): Promise<PushOutcome> {
  const { onBytes, onError = (error) => error, ...rest } = options;
  let told = 0;
  const tell = (count: number): void => {
    told += count;
    onBytes?.(count);
  };
  // The source's stream fails while the destination reads it, so its error is recorded here.
  let broken: unknown;
  const fetchBlob: BlobFetcher["fetchBlob"] = async (descriptor, opened) => {
    broken = undefined;
    try {
      const stream = await from.fetchBlob(descriptor, opened);
      return stream.once("error", (error) => {
        broken = error;
      });
    } catch (error) {
      broken = error;
      throw error;
    }
  };
  const source = blobSource({ fetchBlob }, blob, { signal: options.signal });
  const push = (more: PushBlobOptions): Promise<PushOutcome> => to.pushBlob(blob, source, { ...more, onBytes: tell });
  try {
    return await push(rest).catch((error: unknown) => {
      if (!isDamage(broken)) throw error;
      tell(-told);
      // Mounting has failed and the blob is absent, so neither is tried again.
      return push({ ...rest, mountFrom: [], isNew: true });
    });
  } catch (error) {
    throw onError(error, broken === undefined ? "destination" : "source");
  }
}

function isDamage(error: unknown): error is StaveError {
  return isStaveError(error, "DIGEST_MISMATCH", "SIZE_MISMATCH");
}

/** Runs work that reads a whole document at once; repeats it once if the document was damaged. */
export async function rereadDamaged<T>(work: () => Promise<T>): Promise<T> {
  return await work().catch((error: unknown) => {
    if (isDamage(error)) return work();
    throw error;
  });
}

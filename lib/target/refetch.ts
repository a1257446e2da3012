// Content that was damaged on its way is fetched again, once, before it is an error. What was damaged shows only at the end of
// a stream, so it is the work with it that is done again.
import type { Readable } from "node:stream";
import { type ErrorCode, isStaveError, type StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobSource } from "./blob-source.ts";
import type { BlobFetcher, BlobPusher, PushBlobOptions, PushOutcome } from "./target.ts";

/** What damage comes to: the check of the whole fails, or before that whatever reads the bytes. */
const DAMAGE: readonly ErrorCode[] = [
  "DIGEST_MISMATCH",
  "SIZE_MISMATCH",
  "CONTENT_INVALID",
  "ARCHIVE_UNSAFE",
  "TOO_LARGE",
];

/**
 * Does work that fetches one blob. When it fails over bytes that were not verified, it is done once more from the start: what it
 * has written by then must be of no use to anybody.
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
      // A stream that has ended was verified: then the content itself is wrong, and stays so.
      const isDoubtful = stream?.readableEnded === false;
      if (isSecond || !isDoubtful || !isStaveError(error, ...DAMAGE)) throw error;
    }
  }
}

/** What is known of a blob that is brought from one target to another. */
export interface TransferOptions extends PushBlobOptions {
  /** What an error of either side is to become. */
  readonly onError?: ((error: unknown, side: "source" | "destination") => unknown) | undefined;
}

/** Brings a blob from one target to another; one that was damaged on its way is fetched again, once. */
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
  // It breaks in the hands of the destination, which reads it.
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
      // It could not be mounted, and was not there.
      return push({ ...rest, mountFrom: [], isNew: true });
    });
  } catch (error) {
    throw onError(error, broken === undefined ? "destination" : "source");
  }
}

function isDamage(error: unknown): error is StaveError {
  return isStaveError(error, "DIGEST_MISMATCH", "SIZE_MISMATCH");
}

/** Does work that reads a whole document at once; once more when that was damaged. */
export async function rereadDamaged<T>(work: () => Promise<T>): Promise<T> {
  return await work().catch((error: unknown) => {
    if (isDamage(error)) return work();
    throw error;
  });
}

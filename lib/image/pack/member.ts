// Finds the first and the last gzip member or zstd frame of a layer.
import { constants, inflateRawSync, zstdDecompressSync } from "node:zlib";
import type { CompressionMethod } from "../../util/decompress.ts";
import { ZstdFrames } from "../../util/zstd-frames.ts";

/** A member and what it holds. */
export interface Member {
  /** Its length in the layer. */
  readonly length: number;
  readonly content: Buffer;
}

// The header that stave and Spack write, and the trailer: checksum and length (RFC 1952, 2.3).
const GZIP_HEADER = 10;
const GZIP_TRAILER = 8;
const GZIP_START = Buffer.from([0x1f, 0x8b, 8, 0]);
const ZSTD_START = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/**
 * The member at the start of some bytes: `undefined` if it does not end there, or is something else, or holds more than
 * `limit` bytes.
 */
export function firstMember(method: CompressionMethod, bytes: Buffer, limit: number): Member | undefined {
  return method === "gzip" ? firstGzip(bytes, limit) : firstZstd(bytes, limit);
}

/** True if bytes begin with a member of the kind that firstMember finds. */
export function beginsMember(method: CompressionMethod, bytes: Buffer): boolean {
  const start = method === "gzip" ? GZIP_START : ZSTD_START;
  return bytes.subarray(0, start.length).equals(start);
}

/** Where the last member of the bytes begins that fills them to their end; `undefined` if there is none. */
export function lastMember(
  method: CompressionMethod,
  bytes: Buffer,
  limit: number,
): (Member & { readonly at: number }) | undefined {
  const start = method === "gzip" ? GZIP_START : ZSTD_START;
  for (let at = bytes.lastIndexOf(start); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(start, at - 1)) {
    const member = firstMember(method, bytes.subarray(at), limit);
    if (member !== undefined && at + member.length === bytes.length) return { ...member, at };
  }
  return undefined;
}

function firstGzip(bytes: Buffer, limit: number): Member | undefined {
  if (!beginsMember("gzip", bytes) || bytes.length < GZIP_HEADER + GZIP_TRAILER) return undefined;
  try {
    // Node's types lack the result that `info` gives.
    const options = { maxOutputLength: limit, info: true };
    const result = inflateRawSync(bytes.subarray(GZIP_HEADER), options) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    const length = GZIP_HEADER + result.engine.bytesWritten + GZIP_TRAILER;
    return length <= bytes.length ? { length, content: result.buffer } : undefined;
  } catch {
    return undefined;
  }
}

function firstZstd(bytes: Buffer, limit: number): Member | undefined {
  if (!beginsMember("zstd", bytes)) return undefined;
  const frames = new ZstdFrames();
  for (let at = 0; at < bytes.length && frames.isValid; at++) {
    frames.read(bytes.subarray(at, at + 1));
    if (!frames.isComplete) continue;
    try {
      const options = { maxOutputLength: limit, finishFlush: constants.ZSTD_e_end };
      return { length: at + 1, content: zstdDecompressSync(bytes.subarray(0, at + 1), options) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

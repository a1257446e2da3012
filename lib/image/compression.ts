// How a layer is compressed: piece by piece, so that any number of threads makes the same bytes. A piece depends on its
// own bytes, the 32 KiB before it, and the level; which pieces there are depends on the archive only.
import { constants, crc32, deflateRawSync, zstdCompressSync } from "node:zlib";
import { StaveError } from "../errors.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../oci/mediatype.ts";
import { isIncompressible } from "./entropy.ts";

/** A method and its level. */
export interface Compression {
  readonly method: "gzip" | "zstd";
  readonly level: number;
}

/** What is used unless asked otherwise: Spack reads gzip only. */
export const DEFAULT_COMPRESSION: Compression = { method: "gzip", level: 4 };

const METHODS = {
  gzip: { levels: [1, 9], usual: DEFAULT_COMPRESSION.level, pieceSize: 1024 * 1024 },
  zstd: { levels: [1, 19], usual: 3, pieceSize: 4 * 1024 * 1024 },
} as const;

/** Parses `gzip`, `zstd`, `gzip:LEVEL` or `zstd:LEVEL`. Throws USAGE. */
export function parseCompression(text: string): Compression {
  const [method, digits, ...rest] = text.split(":");
  if ((method === "gzip" || method === "zstd") && rest.length === 0) {
    const { levels, usual } = METHODS[method];
    const level = digits === undefined ? usual : /^\d{1,2}$/.test(digits) ? Number(digits) : Number.NaN;
    if (level >= levels[0] && level <= levels[1]) return { method, level };
  }
  throw new StaveError("USAGE", `unknown compression ${JSON.stringify(text.slice(0, 80))}`, {
    hint: "use gzip:1 to gzip:9, or zstd:1 to zstd:19 (Spack installs gzip layers only)",
  });
}

/** Writes a compression as it is typed. */
export function formatCompression({ method, level }: Compression): string {
  return `${method}:${level}`;
}

/** The media type of a layer; in a Docker image it goes by another name (see layerTypeIn). */
export function layerMediaType({ method }: Compression): string {
  return method === "gzip" ? OCI_LAYER_GZIP : OCI_LAYER_ZSTD;
}

/** How many bytes of an archive are compressed at a time. */
export function pieceSizeOf({ method }: Compression): number {
  return METHODS[method].pieceSize;
}

/** How many bytes before a piece its compression may refer to. */
export const LOOK_BACK: number = 32 * 1024;

/** What comes before the pieces of the entries. */
export function streamHead({ method }: Compression): Buffer {
  return method === "gzip" ? GZIP_HEADER : Buffer.alloc(0);
}

/**
 * What comes after the pieces: the rest of the member or frame of the entries, `rest` bytes of it, then the end of the
 * archive as one of its own.
 */
export function streamTail(
  compression: Compression,
  entries: { readonly size: number; readonly crc: number },
  end: Buffer,
): { tail: Buffer; rest: number } {
  if (compression.method === "zstd") return { tail: zstd(end, compression.level), rest: 0 };
  // An empty last block.
  const rest = Buffer.concat([Buffer.from([3, 0]), gzipTrailer(entries.crc, entries.size)]);
  const last = Buffer.concat([GZIP_HEADER, deflateRawSync(end, { level: 9 }), gzipTrailer(crc32(end), end.length)]);
  return { tail: Buffer.concat([rest, last]), rest: rest.length };
}

/**
 * Compresses the bytes of `window` from `start` on; those before it, at most LOOK_BACK, are what the piece may refer to.
 * The parts of the result follow each other in the stream.
 */
export function compressPiece({ method, level }: Compression, window: Buffer, start: number): Buffer[] {
  return method === "zstd" ? [zstd(window.subarray(start), level)] : deflatePiece(window, start, level);
}

// Stretches that look like random numbers (archives, images) are stored: deflate would spend most of its time on them.
const STRETCH = 64 * 1024;

function deflatePiece(window: Buffer, start: number, level: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = start; from < window.length; ) {
    const stored = isIncompressible(window.subarray(from, from + STRETCH));
    let to = from + STRETCH;
    while (to < window.length && isIncompressible(window.subarray(to, to + STRETCH)) === stored) to += STRETCH;
    to = Math.min(to, window.length);
    if (stored) storeBlocks(window.subarray(from, to), parts);
    else parts.push(deflate(window.subarray(from, to), window.subarray(Math.max(0, from - LOOK_BACK), from), level));
    from = to;
  }
  return parts;
}

// Ends on a byte boundary, with an empty stored block (zlib's sync flush). More memory than usual makes it quicker.
function deflate(bytes: Buffer, dictionary: Buffer, level: number): Buffer {
  return deflateRawSync(bytes, {
    level,
    memLevel: 9,
    finishFlush: constants.Z_SYNC_FLUSH,
    // One buffer for all that comes out.
    chunkSize: bytes.length + 1024,
    ...(dictionary.length === 0 ? {} : { dictionary }),
  });
}

const LARGEST_BLOCK = 0xffff;

// Blocks of deflate without compression: a byte for "not the last, stored", the length twice, the bytes (RFC 1951, 3.2.4).
function storeBlocks(bytes: Buffer, parts: Buffer[]): void {
  for (let at = 0; at < bytes.length; at += LARGEST_BLOCK) {
    const block = bytes.subarray(at, at + LARGEST_BLOCK);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(head, block);
  }
}

function zstd(bytes: Buffer, level: number): Buffer {
  return zstdCompressSync(bytes, {
    chunkSize: largestZstd(bytes.length),
    params: { [constants.ZSTD_c_compressionLevel]: level },
  });
}

// ZSTD_COMPRESSBOUND of zstd.h: with room for the worst case it compresses in one go, without copying what comes in.
function largestZstd(size: number): number {
  return size + (size >> 8) + 64;
}

// No name, no time, no hint at the level, unknown system: what Spack writes (RFC 1952, 2.3).
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

function gzipTrailer(crc: number, size: number): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  return trailer;
}

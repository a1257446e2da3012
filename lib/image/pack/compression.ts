// How a layer is compressed: piece by piece, so that any number of threads makes the same bytes. What a piece becomes
// depends on its own bytes and the level; which pieces there are depends on the archive only.
import { constants, crc32, zstdCompressSync } from "node:zlib";
import { StaveError } from "../../errors.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../oci/mediatype.ts";
import { DEFLATE_ENGINE, deflate } from "./deflate.ts";
import { isIncompressible } from "./entropy.ts";

/** A method and its level. */
export interface Compression {
  readonly method: "gzip" | "zstd";
  readonly level: number;
}

/** What is used unless asked otherwise: Spack reads gzip only. */
export const DEFAULT_COMPRESSION: Compression = { method: "gzip", level: 1 };

const METHODS = {
  gzip: { levels: [1, 12], usual: DEFAULT_COMPRESSION.level, pieceSize: 1024 * 1024 },
  zstd: { levels: [1, 19], usual: 2, pieceSize: 2 * 1024 * 1024 },
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
    hint: "use gzip:1 to gzip:12, or zstd:1 to zstd:19 (Spack installs gzip layers only)",
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

/** Names what makes the bytes of a layer; another may make others of the same archive. */
export function engineOf({ method }: Compression): string {
  return method === "gzip" ? DEFLATE_ENGINE : `zstd ${process.versions["zstd"]}`;
}

/**
 * Compresses bytes into whole gzip members or a zstd frame, which decompressors read one after the other as one stream
 * (RFC 1952, 2.2; RFC 8878, 3.1). The parts of the result follow each other; some are parts of what was given.
 */
export function compressPiece({ method, level }: Compression, bytes: Buffer): Buffer[] {
  return method === "gzip" ? gzip(bytes, level) : [zstd(bytes, level)];
}

// Stretches that look like random numbers (archives, images) are stored: deflate would spend its time on them in vain,
// while zstd passes over them.
const STRETCH = 64 * 1024;

function gzip(bytes: Buffer, level: number): Buffer[] {
  const parts: Buffer[] = [];
  let from = 0;
  let isStored = isIncompressible(bytes.subarray(0, STRETCH));
  for (let to = STRETCH; from < bytes.length; to += STRETCH) {
    const isNextStored = isIncompressible(bytes.subarray(to, to + STRETCH));
    if (to < bytes.length && isNextStored === isStored) continue;
    const stretch = bytes.subarray(from, to);
    parts.push(GZIP_HEADER, ...(isStored ? stored(stretch) : [deflate(stretch, level)]), gzipTrailer(stretch));
    from = to;
    isStored = isNextStored;
  }
  return parts;
}

// No name, no time, no hint at the level, unknown system: what Spack writes (RFC 1952, 2.3).
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

function gzipTrailer(bytes: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  return trailer;
}

const LARGEST_BLOCK = 0xffff;

// Blocks of deflate without compression: a byte for "stored" and whether it is the last, the length twice, the bytes
// (RFC 1951, 3.2.4).
function stored(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += LARGEST_BLOCK) {
    const block = bytes.subarray(at, at + LARGEST_BLOCK);
    const head = Buffer.alloc(5);
    head.writeUInt8(at + block.length === bytes.length ? 1 : 0);
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(head, block);
  }
  return parts;
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

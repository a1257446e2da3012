// Compresses layers piece by piece, so that any number of threads produces the same bytes. The result of a piece
// depends only on its bytes and the level; the division into pieces depends only on the archive.
import { constants, crc32, zstdCompressSync } from "node:zlib";
import { StaveError } from "../../errors.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../oci/mediatype.ts";
import { DEFLATE_ENGINE, deflate } from "./deflate.ts";
import { isIncompressible } from "./incompressible.ts";

/** A method and its level. */
export interface Compression {
  readonly method: "gzip" | "zstd";
  readonly level: number;
}

/** The default, because Spack reads only gzip. */
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
    const level = digits === undefined ? usual : Number(/^\d{1,2}$/.exec(digits)?.[0]);
    if (level >= levels[0] && level <= levels[1]) return { method, level };
  }
  throw new StaveError("USAGE", `unknown compression ${JSON.stringify(text.slice(0, 80))}`, {
    hint: "use gzip:1 to gzip:12, or zstd:1 to zstd:19 (Spack installs gzip layers only)",
  });
}

/** Formats a compression as a user types it. */
export function formatCompression({ method, level }: Compression): string {
  return `${method}:${level}`;
}

/** The OCI media type of a layer; see layerTypeIn for the Docker one. */
export function layerMediaType({ method }: Compression): string {
  return method === "gzip" ? OCI_LAYER_GZIP : OCI_LAYER_ZSTD;
}

/** The size of a piece in bytes, before compression. */
export function pieceSizeOf({ method }: Compression): number {
  return METHODS[method].pieceSize;
}

/** Identifies the compressor; another one may produce different bytes. */
export function engineOf({ method }: Compression): string {
  return method === "gzip" ? DEFLATE_ENGINE : `zstd ${process.versions["zstd"]}`;
}

/**
 * Compresses bytes into complete gzip members or a zstd frame, which decompressors read as one stream when concatenated
 * (RFC 1952, 2.2; RFC 8878, 3.1). Returns consecutive parts, some of which are views of the input.
 */
export function compressPiece({ method, level }: Compression, bytes: Buffer): Buffer[] {
  return method === "gzip" ? gzip(bytes, level) : [zstd(bytes, level)];
}

// Stretches that look random (archives, images) are stored: deflate would waste its time on them, while zstd skips them
// by itself.
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

// No name, no time, no level hint, unknown system, as in Spack (RFC 1952, 2.3).
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

function gzipTrailer(bytes: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  return trailer;
}

const LARGEST_BLOCK = 0xffff;

// Uncompressed deflate blocks: a byte with the type and the final flag, the length twice, the bytes (RFC 1951, 3.2.4).
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

// ZSTD_COMPRESSBOUND of zstd.h: with room for the worst case, zstd compresses in one call without copying its input.
function largestZstd(size: number): number {
  return size + (size >> 8) + 64;
}

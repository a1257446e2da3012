// Reads the pieces of an archive into windows: memory that first holds a piece and then its compressed bytes.

import { releaseAround } from "../../util/free-chunks.ts";
import { type ArchiveJob, type ArchiveSummary, archivePieces } from "../archive/archive.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import type { Piece } from "./pack-message.ts";

// The offset of a piece in its window. Incompressible pieces grow by less than this (a byte in 256 at most, for zstd).
const START = 32 * 1024;

/** The size of a window in bytes. */
export function windowSizeOf(compression: Compression): number {
  return START + pieceSizeOf(compression);
}

/** The bytes of a piece that has not been compressed. */
export function pieceIn({ window, length }: Piece<SharedArrayBuffer>): Buffer {
  return Buffer.from(window, START, length);
}

/**
 * Yields the pieces of one archive and returns its summary. Calls `nextWindow` once per piece; it may return the same
 * window again if the previous piece is no longer needed. Synchronous; throws as archivePieces does.
 */
export function* readPieces(
  job: ArchiveJob,
  nextWindow: () => SharedArrayBuffer,
): Generator<Piece<SharedArrayBuffer>, ArchiveSummary> {
  let window = new SharedArrayBuffer(0);
  const pieces = archivePieces(job, () => {
    window = nextWindow();
    return Buffer.from(window, START);
  });
  try {
    for (;;) {
      const { done, value } = pieces.next();
      if (done) return value;
      yield { window, length: value.length };
    }
  } finally {
    // Closes the file in progress if the consumer stops early.
    pieces.return(undefined as never);
  }
}

/**
 * Compresses a piece into its own window and returns the compressed length. No byte is overwritten before it has been
 * copied.
 */
export function compressInPlace(compression: Compression, piece: Piece<SharedArrayBuffer>): number {
  const out = Buffer.from(piece.window);
  let at = 0;
  for (const part of compressPiece(compression, pieceIn(piece))) {
    at += part.copy(out, at);
    releaseAround(part);
  }
  return at;
}

// The pieces of an archive in windows: memory that is filled with a piece, and then with what it is compressed to.

import { releaseAround } from "../../util/memory.ts";
import { type ArchiveJob, type ArchiveSummary, archivePieces } from "../archive/archive.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import type { Piece } from "./pack-message.ts";

// Where pieces begin: what does not get smaller grows by less (a byte in 256 at most, for zstd).
const START = 32 * 1024;

/** How large the window of a piece is, in bytes. */
export function windowSizeOf(compression: Compression): number {
  return START + pieceSizeOf(compression);
}

/**
 * Yields the pieces of one archive and returns its summary. `nextWindow` is asked for one window per piece, and may give
 * the same again when the piece before is no longer needed. Synchronous; throws as archivePieces does.
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
    // Closes the file that is being read when the consumer stops early.
    pieces.return(undefined as never);
  }
}

/**
 * Compresses a piece and puts the result into its window, whose former contents are lost; returns how long it is. No part
 * is overwritten before it has been copied.
 */
export function compressInPlace(compression: Compression, { window, length }: Piece<SharedArrayBuffer>): number {
  const out = Buffer.from(window);
  let at = 0;
  for (const part of compressPiece(compression, Buffer.from(window, START, length))) {
    at += part.copy(out, at);
    releaseAround(part);
  }
  return at;
}

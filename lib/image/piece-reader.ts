// The pieces of an archive in windows: each with the end of the one before it, which its compression may refer to.
import { type ArchiveJob, type ArchiveSummary, archivePieces } from "./archive.ts";
import { type Compression, compressPiece, LOOK_BACK, pieceSizeOf } from "./compression.ts";
import type { Piece } from "./pack-message.ts";

/** How large the window of a piece is, in bytes. */
export function windowSizeOf(compression: Compression): number {
  return LOOK_BACK + pieceSizeOf(compression);
}

/**
 * Yields the pieces of one archive and returns its summary. `nextWindow` is asked for one window per piece, and may give
 * the same again when the piece before is no longer needed. Synchronous; throws as archivePieces does.
 */
export function* readPieces(job: ArchiveJob, nextWindow: () => SharedArrayBuffer): Generator<Piece, ArchiveSummary> {
  // What the next piece may refer to: the end of the last one.
  const before = Buffer.allocUnsafeSlow(LOOK_BACK);
  let known = 0;
  let window = new SharedArrayBuffer(0);
  const pieces = archivePieces(job, () => {
    window = nextWindow();
    const bytes = Buffer.from(window);
    before.copy(bytes, LOOK_BACK - known, LOOK_BACK - known);
    return bytes.subarray(LOOK_BACK);
  });
  try {
    for (;;) {
      const { done, value } = pieces.next();
      if (done) return value;
      const piece = { window, from: LOOK_BACK - known, start: LOOK_BACK, end: LOOK_BACK + value.length };
      known = Math.min(LOOK_BACK, piece.end - piece.from);
      Buffer.from(window, piece.end - known, known).copy(before, LOOK_BACK - known);
      yield piece;
    }
  } finally {
    // Closes the file that is being read when the consumer stops early.
    pieces.return(undefined as never);
  }
}

/** Compresses a piece into bytes of their own. */
export function compress(compression: Compression, { window, from, start, end }: Piece): Buffer<ArrayBuffer> {
  const parts = compressPiece(compression, Buffer.from(window, from, end - from), start - from);
  const out = Buffer.allocUnsafeSlow(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) at += part.copy(out, at);
  return out;
}

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
export function* readPieces(
  job: ArchiveJob,
  nextWindow: () => SharedArrayBuffer,
): Generator<Piece<SharedArrayBuffer>, ArchiveSummary> {
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

/**
 * Compresses a piece and puts the result into its window, whose former contents are lost; returns how long it is. What
 * does not get smaller grows by far less than LOOK_BACK, so that no part is overwritten before it has been copied.
 */
export function compressInPlace(
  compression: Compression,
  { window, from, start, end }: Piece<SharedArrayBuffer>,
): number {
  const parts = compressPiece(compression, Buffer.from(window, from, end - from), start - from);
  const out = Buffer.from(window);
  let at = 0;
  for (const part of parts) {
    at += part.copy(out, at);
    free(part);
  }
  return at;
}

// Gives memory back at once: the collector would let megabytes of it pile up, because it sees only small objects. What is
// shared with others (a window, Node's pool for small buffers) is left alone.
function free({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}

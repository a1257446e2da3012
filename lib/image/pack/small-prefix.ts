// Packs prefixes with a few small files on the calling thread: that is faster than a message to another one.
import { lstatSync } from "node:fs";
import { StaveError } from "../../errors.ts";
import { fsPath } from "../../util/byte-string.ts";
import { plainError } from "../../util/plain-error.ts";
import type { ArchiveJob } from "../archive/archive.ts";
import { walkPrefix } from "../archive/prefix-walk.ts";
import { type Compression, DEFAULT_COMPRESSION } from "./compression.ts";
import type { Piece } from "./pack-message.ts";
import type { PackReceiver } from "./pack-pool.ts";
import { compressInPlace, pieceIn, readPieces, windowSizeOf } from "./piece-reader.ts";

const MOST_ENTRIES = 48;
const MOST_BYTES = 128 * 1024;

/** True if a surveyed prefix is small. */
export function isSmall({ files, bytes }: { readonly files: number; readonly bytes: number }): boolean {
  return files <= MOST_ENTRIES && bytes <= MOST_BYTES;
}

/** True if a prefix is small, after looking at no more than 48 entries; an unreadable one counts as small. */
export function isSmallPrefix(job: ArchiveJob): boolean {
  let entries = 0;
  let bytes = 0;
  try {
    for (const { type, path } of walkPrefix(job)) {
      if (type === "file") bytes += lstatSync(fsPath(path)).size;
      if (++entries > MOST_ENTRIES || bytes > MOST_BYTES) return false;
    }
  } catch {
    // Packing it reports the error.
  }
  return true;
}

// One window is enough: packing is synchronous.
let lastWindow: SharedArrayBuffer | undefined;

function windowFor(compression: Compression): SharedArrayBuffer {
  const size = windowSizeOf(compression);
  if (lastWindow?.byteLength !== size) lastWindow = new SharedArrayBuffer(size);
  return lastWindow;
}

/** Packs a prefix as PackPool does, and calls the receiver before it returns. */
export function packSmallPrefix(job: ArchiveJob, compression: Compression | undefined, receiver: PackReceiver): void {
  try {
    const window = windowFor(compression ?? DEFAULT_COMPRESSION);
    const pieces = readPieces(job, () => window);
    for (let sequence = 0; ; sequence++) {
      const { done, value } = pieces.next();
      if (done) {
        receiver.end(sequence, value);
        return;
      }
      receiver.archived?.(pieceIn(value));
      if (compression !== undefined) receiver.piece(sequence, compressed(compression, value));
    }
  } catch (error) {
    receiver.fail(error instanceof StaveError ? error : StaveError.from(plainError(error)));
  }
}

// The window is reused for the next piece, so the bytes are copied.
function compressed(compression: Compression, piece: Piece<SharedArrayBuffer>): Buffer {
  const length = compressInPlace(compression, piece);
  return Buffer.from(Buffer.from(piece.window, 0, length));
}

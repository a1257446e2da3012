// Writes a stream of chunks to a file: each at once, while the processor has it cached, so that the system copies it in
// a fraction of the time. Once the disk is slow, in larger pieces, each of which takes a trip to another thread. One
// piece is written while the next is collected.
import { writeSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";

/** The usual size of pieces, in bytes. */
const PIECE = 256 * 1024;
/** A write that takes longer shows that the disk is slow, in milliseconds. */
const SLOW = 50;

/** How to write pieces. */
export interface PieceOptions {
  /** Called with each chunk that has been written. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
  /** Bytes. */
  readonly piece?: number | undefined;
  /** The milliseconds that a write may take before the next ones are left to another thread. */
  readonly slow?: number | undefined;
}

/** Appends chunks to a file. Throws the errors of the file system, some of them with the next call. */
export class PieceWriter {
  readonly #handle: FileHandle;
  readonly #recycle: (chunk: Uint8Array) => void;
  readonly #piece: number;
  readonly #slow: number;
  #isSlow = false;
  #pending: Uint8Array[] = [];
  #pendingSize = 0;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(handle: FileHandle, { recycle = () => {}, piece = PIECE, slow = SLOW }: PieceOptions = {}) {
    this.#handle = handle;
    this.#recycle = recycle;
    this.#piece = piece;
    this.#slow = slow;
  }

  /** Writes a chunk at once, or collects it if the disk is slow. Its memory must not change until it is recycled. */
  async write(chunk: Uint8Array): Promise<void> {
    if (!this.#isSlow) return this.#writeNow(chunk);
    this.#pending.push(chunk);
    this.#pendingSize += chunk.byteLength;
    if (this.#pendingSize >= this.#piece) await this.#next();
  }

  #writeNow(chunk: Uint8Array): void {
    const started = performance.now();
    for (let done = 0; done < chunk.byteLength; ) done += writeSync(this.#handle.fd, chunk, done);
    this.#isSlow = performance.now() - started > this.#slow;
    this.#recycle(chunk);
  }

  /** Waits until everything is written. */
  async flush(): Promise<void> {
    await this.#next();
    await this.#writing;
  }

  /** Waits until nothing is being written, and forgets what was not. */
  async abandon(): Promise<void> {
    this.#pending = [];
    this.#pendingSize = 0;
    await this.#writing.catch(() => {});
  }

  async #next(): Promise<void> {
    await this.#writing;
    const pieces = this.#pending;
    if (pieces.length === 0) return;
    this.#pending = [];
    this.#pendingSize = 0;
    this.#writing = this.#writeAll(pieces);
    this.#writing.catch(() => {});
  }

  async #writeAll(pieces: Uint8Array[]): Promise<void> {
    const total = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    const { bytesWritten } = await this.#handle.writev(pieces);
    // Short writes happen when a disk fills up.
    if (bytesWritten < total) await this.#handle.writeFile(Buffer.concat(pieces).subarray(bytesWritten));
    for (const piece of pieces) this.#recycle(piece);
  }
}

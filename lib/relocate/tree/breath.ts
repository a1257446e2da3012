// Long work on files is done in one go, call by call; now and then it lets others have a turn, so that an interruption is
// noticed and a progress bar moves.
import { setImmediate } from "node:timers/promises";

const BYTES = 16 << 20;
const FILES = 256;

/** Counts work, and pauses for a moment when enough was done. */
export class Breath {
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;
  #files = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Tells of a file of some bytes that was worked on. Throws the reason of the signal when it was aborted. */
  async after(bytes: number): Promise<void> {
    this.#bytes += bytes;
    this.#files++;
    if (this.#bytes < BYTES && this.#files < FILES) return;
    this.#bytes = 0;
    this.#files = 0;
    await setImmediate();
    this.#signal?.throwIfAborted();
  }
}

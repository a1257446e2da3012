// Long file work runs synchronously; occasional pauses let aborts be noticed and progress bars move.
import { setImmediate } from "node:timers/promises";

const BYTES = 16 << 20;
const FILES = 256;

/** Counts work and pauses briefly when enough has been done. */
export class Breath {
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;
  #files = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Records a processed file of this size. Throws the signal's reason if it was aborted. */
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

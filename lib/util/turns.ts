// Lets the other work of a thread go on where much is done without waiting: signals, timers and requests.
import { setImmediate } from "node:timers/promises";

/** How long the other work waits at most, in milliseconds. */
const TURN = 5;

/** Divides work that never waits into turns. */
export class Turns {
  #end = 0;
  // Shared by all who wait: with a turn of each, the other work would wait for all of these.
  #others: Promise<void> | undefined;

  /** Ends the turn if it has lasted long enough. Throws the signal's reason if it was aborted meanwhile. */
  async next(signal?: AbortSignal): Promise<void> {
    if (performance.now() < this.#end) return;
    this.#others ??= setImmediate().then(() => {
      this.#others = undefined;
      this.#end = performance.now() + TURN;
    });
    await this.#others;
    signal?.throwIfAborted();
  }
}

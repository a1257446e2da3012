// Ends parallel work early: from outside through a signal, and from inside after a failure that concerns all of it.
import { mapInWindow } from "./window.ts";

/** The end of a run. */
export class Stop {
  readonly #own = new AbortController();
  /** Aborts with the outer signal, and when the run is ended from inside. */
  readonly signal: AbortSignal;

  constructor(outer?: AbortSignal) {
    this.signal = outer ? AbortSignal.any([outer, this.#own.signal]) : this.#own.signal;
  }

  /** Ends the run; the first reason counts. */
  end(reason: unknown): void {
    this.#own.abort(reason);
  }

  /**
   * As `mapInWindow`, but a failure ends the run. It is thrown only when all work has ended: until then the work may
   * use what the caller is about to close.
   */
  async mapInWindow<T, R>(
    items: readonly T[],
    size: number,
    work: (item: T, over: () => void) => Promise<R>,
  ): Promise<R[]> {
    return await mapInWindow(items, size, async (item, over) => {
      try {
        return await work(item, over);
      } catch (error) {
        this.end(error);
        throw error;
      }
    });
  }
}

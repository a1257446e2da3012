// Bounds how far ordered work runs ahead of its slowest part.

/**
 * Work is numbered from 0; a number may begin once all numbers that are lower by `size` or more have ended. So work
 * that waits for lower numbers only never blocks itself, whatever the size.
 */
export class Window {
  readonly #size: number;
  readonly #ended = new Set<number>();
  readonly #waiting = new Map<number, () => void>();
  /** The lowest number that has not ended. */
  #lowest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Waits until a number may begin. Every number must end, whether it began or not. */
  async begin(number: number): Promise<void> {
    if (number < this.#lowest + this.#size) return;
    await new Promise<void>((resolve) => this.#waiting.set(number, resolve));
  }

  /** Ends a number. Ending it again does nothing. */
  end(number: number): void {
    if (number >= this.#lowest) this.#ended.add(number);
    while (this.#ended.delete(this.#lowest)) {
      const next = this.#lowest + this.#size;
      this.#waiting.get(next)?.();
      this.#waiting.delete(next);
      this.#lowest++;
    }
  }
}

/**
 * Runs a function over items in their order. Each begins once all items that are `size` or more places before it are
 * over; it may wait for any before it. An item is over when its work has ended, or has called `over`. Returns the
 * results in the same order. After a failure no further item begins; the first failure is thrown once all others have
 * ended.
 */
export async function mapInWindow<T, R>(
  items: readonly T[],
  size: number,
  work: (item: T, over: () => void) => Promise<R>,
): Promise<R[]> {
  const window = new Window(size);
  const results: R[] = [];
  const failures: unknown[] = [];
  const run = async (item: T, at: number): Promise<void> => {
    try {
      results[at] = await work(item, () => window.end(at));
    } catch (error) {
      failures.push(error);
    } finally {
      window.end(at);
    }
  };
  const running: Promise<void>[] = [];
  for (const item of items) {
    await window.begin(running.length);
    if (failures.length > 0) break;
    running.push(run(item, running.length));
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
  return results;
}

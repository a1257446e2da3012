// Concurrency limits: a semaphore with priorities, and single-flight by key. Both obey an AbortSignal.

interface Waiter {
  readonly priority: number;
  readonly order: number;
  readonly weight: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

// One listener for all waiters of a signal: Node compares each new listener with all others.
interface Listener {
  readonly waiters: Set<Waiter>;
  readonly onAbort: () => void;
}

/** How to wait for a turn. */
export interface TurnOptions {
  /** Of those that wait, the lowest number goes first; default: 0. */
  readonly priority?: number;
  /** How much of the capacity it takes, a whole number; default: 1. What takes more than all of it runs alone. */
  readonly weight?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A semaphore: the weights of running work add up to at most `capacity`; the lowest priority number goes first. */
export class Limit {
  #capacity: number;
  #running = 0;
  #order = 0;
  #waiting: Waiter[] = [];
  readonly #listeners = new Map<AbortSignal, Listener>();

  constructor(capacity: number) {
    this.#capacity = Math.max(1, capacity);
  }

  /** How many may run at once. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Changes how many may run at once; those already running continue. */
  set capacity(value: number) {
    this.#capacity = Math.max(1, value);
    this.#drain();
  }

  /** Waits for a slot and returns the function that frees it; further calls of it do nothing. */
  async acquire(options: TurnOptions = {}): Promise<() => void> {
    const { priority = 0, weight = 1, signal } = options;
    signal?.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#hasRoom(weight)) await this.#wait(priority, weight, signal);
    else this.#running += weight;
    let free = false;
    return () => {
      if (free) return;
      free = true;
      this.#running -= weight;
      this.#drain();
    };
  }

  /** Runs a function while holding a slot. */
  async run<T>(work: () => Promise<T>, options: TurnOptions = {}): Promise<T> {
    const release = await this.acquire(options);
    try {
      return await work();
    } finally {
      release();
    }
  }

  #hasRoom(weight: number): boolean {
    return this.#running === 0 || this.#running + weight <= this.#capacity;
  }

  #wait(priority: number, weight: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter = { priority, order: this.#order++, weight, signal, resolve, reject };
      this.#waiting.push(waiter);
      if (signal !== undefined) this.#listen(signal, waiter);
      this.#drain();
    });
  }

  #listen(signal: AbortSignal, waiter: Waiter): void {
    const known = this.#listeners.get(signal);
    if (known !== undefined) {
      known.waiters.add(waiter);
      return;
    }
    const waiters = new Set([waiter]);
    const onAbort = (): void => {
      this.#listeners.delete(signal);
      this.#waiting = this.#waiting.filter((one) => !waiters.has(one));
      for (const { reject } of waiters) reject(signal.reason);
      this.#drain();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#listeners.set(signal, { waiters, onAbort });
  }

  #start(waiter: Waiter): void {
    const { signal, weight, resolve } = waiter;
    const listener = signal && this.#listeners.get(signal);
    listener?.waiters.delete(waiter);
    if (signal && listener?.waiters.size === 0) {
      signal.removeEventListener("abort", listener.onAbort);
      this.#listeners.delete(signal);
    }
    this.#running += weight;
    resolve();
  }

  #drain(): void {
    while (this.#waiting.length > 0 && this.#running < this.#capacity) {
      let best = 0;
      for (let i = 1; i < this.#waiting.length; i++) {
        const [a, b] = [this.#waiting[i], this.#waiting[best]];
        if (a && b && (a.priority < b.priority || (a.priority === b.priority && a.order < b.order))) best = i;
      }
      // The first one goes first even if a lighter one would fit, so that nothing waits forever.
      if (!this.#hasRoom(this.#waiting[best]?.weight ?? 1)) return;
      const [next] = this.#waiting.splice(best, 1);
      if (next !== undefined) this.#start(next);
    }
  }
}

/** Runs one piece of work per key at a time; concurrent callers share its result. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** Runs the work, or joins the work in progress for the same key. */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const flying = this.#flights.get(key);
    if (flying) return flying;
    const flight = work().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}

/** Waits for shared work until the signal aborts; the work continues for other waiters. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  // The work may still fail after its last waiter has left.
  work.catch(() => {});
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Runs a function over items, at most `concurrency` at once. After the first failure no further item starts; the
 * failure is thrown once the running ones have ended.
 */
export async function forEachLimit<T>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let running = 0;
  let wake = (): void => {};
  const failures: unknown[] = [];
  const run = async (item: T): Promise<void> => {
    try {
      await work(item);
    } catch (error) {
      failures.push(error);
    }
    running--;
    wake();
  };
  // One promise for all: a race would add a reaction to each running item, again and again.
  const nextEnd = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  try {
    for await (const item of items) {
      if (failures.length > 0) break;
      signal?.throwIfAborted();
      running++;
      void run(item);
      if (running >= concurrency) await nextEnd();
    }
  } catch (error) {
    // The iteration failed or was aborted; wait for running work all the same.
    failures.push(error);
  }
  while (running > 0) await nextEnd();
  if (failures.length > 0) throw failures[0];
}

/**
 * Yields the results of a function in the order of the items, and works ahead of the reader: at most `ahead` results
 * are in progress or waiting. The first result comes once the first `ahead` are there.
 */
export async function* mapAhead<T, R>(
  items: Iterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const waiting: Promise<R>[] = [];
  const rest = items[Symbol.iterator]();
  const start = (): void => {
    const { done, value } = rest.next();
    if (done) return;
    const one = work(value);
    // Its error is thrown to the reader; until then, or if the reader stops, it must not count as unhandled.
    one.catch(() => {});
    waiting.push(one);
  };
  for (let started = 0; started < ahead; started++) start();
  try {
    await Promise.all(waiting);
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const result = await next;
      start();
      yield result;
    }
  } finally {
    await Promise.allSettled(waiting);
  }
}

/** As `forEachLimit`; returns the results in the order of the items. */
export async function mapLimit<T, R>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results: R[] = [];
  const one = async ([at, item]: [number, T]): Promise<void> => {
    results[at] = await work(item);
  };
  await forEachLimit(items.entries(), concurrency, one, signal);
  return results;
}

// When a request is sent again, and how long to wait before. The decisions are pure; the loop gets its clock from outside.
import { deepCode, type StaveError } from "../errors.ts";
import type { Clock } from "../util/time.ts";

/** The first wait and the longest that is chosen by ourselves, in milliseconds. */
const BASE = 400;
const LONGEST = 30_000;

/** Statuses that may go away by themselves. 501 and 505 say what the server is, not how it feels. */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/** Reads `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). Returns milliseconds from now, undefined if unreadable. */
export function parseRetryAfter(value: string | string[] | undefined, now: number): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim();
  if (text === undefined || text === "" || text.length > 64) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Za-z]{3,9},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** How long to wait before try number `attempt` + 1: doubling from 0.4 s to 30 s, between half of it and all of it. */
export function backoff(attempt: number, random: number): number {
  const full = Math.min(LONGEST, BASE * 2 ** Math.min(attempt - 1, 16));
  return Math.round(full * (0.5 + random / 2));
}

/** Failures that another try may not meet: the network's, and those the status itself calls passing. */
export function mayPass(error: StaveError): boolean {
  if (error.status !== undefined) return isRetryableStatus(error.status);
  return error.code === "TIMEOUT" || (error.code === "NETWORK" && deepCode(error.cause) !== "ENOTFOUND");
}

/** What one try came to. */
export type Outcome<T> =
  | { done: T }
  /** Failed in a way that may pass; `after` is what the server asked for, in milliseconds. */
  | { again: StaveError; after?: number | undefined };

/** The bounds of trying again: tries in all, and milliseconds in all. */
export interface RetryBudget {
  attempts: number;
  milliseconds: number;
}

/**
 * The patience for one operation: how often it may fail, and for how long it may be tried. All its requests and loops share
 * one, so that loops inside loops do not multiply.
 */
export class Patience {
  readonly budget: RetryBudget;
  readonly #clock: Clock;
  #failures = 0;
  #started: number;
  #moved: number;

  constructor(budget: RetryBudget, clock: Clock) {
    this.budget = budget;
    this.#clock = clock;
    this.#started = clock.now();
    this.#moved = performance.now();
  }

  /** Failures since the last progress. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds left for trying again. */
  get left(): number {
    return this.budget.milliseconds - (this.#clock.now() - this.#started);
  }

  /** When something last moved, by `performance.now()`: since then the user has been waiting. */
  get moved(): number {
    return this.#moved;
  }

  /** Counts a failed try; false when it was the last one, or a loop inside has had the last one. */
  fail(): boolean {
    this.#failures = Math.min(this.#failures + 1, this.budget.attempts);
    return this.#failures < this.budget.attempts;
  }

  /** Bytes are on their way: what is waited for from now on is another wait. */
  move(): void {
    this.#moved = performance.now();
  }

  /** Something was done that need not be done again: the next failure is a first one. */
  progress(): void {
    this.#failures = 0;
    this.#started = this.#clock.now();
    this.move();
  }
}

/** What the loop asks while it runs. */
export interface RetryHooks {
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Waits before the next try. */
  pause(milliseconds: number, reason: StaveError, patience: Patience): Promise<void>;
}

/**
 * Tries until it is done or the patience is at its end; the last failure is then thrown with the number of tries.
 * A wait that the server asks for is honoured in full, or not at all when it does not fit into the time.
 */
export async function withRetry<T>(
  patience: Patience,
  hooks: RetryHooks,
  attempt: (number: number) => Promise<Outcome<T>>,
): Promise<T> {
  const { clock, signal } = hooks;
  for (let number = 1; ; number++) {
    signal?.throwIfAborted();
    const outcome = await attempt(number);
    if ("done" in outcome) return outcome.done;
    const { again, after } = outcome;
    const mayGoOn = patience.fail();
    const attempts = { attempts: patience.failures };
    if (!mayGoOn) throw again.with(attempts);
    const wait = Math.max(after ?? 0, backoff(patience.failures, clock.random()));
    const { left } = patience;
    if (wait > left) throw outOfTime(again, wait, left, after).with(attempts);
    await hooks.pause(wait, again, patience);
  }
}

function outOfTime(error: StaveError, wait: number, left: number, asked: number | undefined): StaveError {
  if (asked === undefined || asked <= left) return error;
  const seconds = Math.ceil(wait / 1000);
  return error.with({
    message: `${error.message}; it asks to wait ${seconds} s, more than is left of the time for trying again`,
    hint: `run the same command again in ${seconds} s`,
  });
}

// Decides when a request is sent again, and after which pause. The decisions are pure; the loop gets its clock from the
// caller.
import { deepCode, type StaveError } from "../errors.ts";
import type { Clock } from "../util/time.ts";

/** The first and the longest pause without a request by the server, in milliseconds. */
const BASE = 400;
const LONGEST = 30_000;

/** Statuses that may be temporary. 501 and 505 are permanent properties of a server. */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/**
 * Parses `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). Returns milliseconds from now, undefined if
 * invalid.
 */
export function parseRetryAfter(value: string | string[] | undefined, now: number): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim();
  if (text === undefined || text === "" || text.length > 64) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Za-z]{3,9},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * Parses the headers with which GitHub says that no requests are left, and until when. Returns milliseconds from now,
 * undefined if some are left.
 */
export function parseReset(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  now: number,
): number | undefined {
  const { "x-ratelimit-remaining": left, "x-ratelimit-reset": reset } = headers;
  return left === "0" && typeof reset === "string" && /^[0-9]{1,12}$/.test(reset)
    ? Math.max(1000, Number(reset) * 1000 - now)
    : undefined;
}

/**
 * The pause after attempt number `attempt`, in milliseconds: between half and all of a limit that doubles from 0.4 s to
 * 30 s.
 */
export function backoff(attempt: number, random: number): number {
  const full = Math.min(LONGEST, BASE * 2 ** Math.min(attempt - 1, 16));
  return Math.round(full * (0.5 + random / 2));
}

/** True for failures that another attempt may avoid: network failures, and statuses that may be temporary. */
export function mayPass(error: StaveError): boolean {
  if (error.code === "RATE_LIMITED") return true;
  if (error.status !== undefined) return isRetryableStatus(error.status);
  return error.code === "TIMEOUT" || (error.code === "NETWORK" && deepCode(error.cause) !== "ENOTFOUND");
}

/** The result of one attempt. */
export type Outcome<T> =
  | { done: T }
  /** Failed in a way that may pass; `after` is the pause that the server asked for, in milliseconds. */
  | { again: StaveError; after?: number | undefined };

/** The limits on retrying: total attempts and total milliseconds. */
export interface RetryBudget {
  attempts: number;
  milliseconds: number;
}

/**
 * The retry budget of one operation: how often it may fail, and for how long it may be retried. All its requests and
 * loops share one, so that nested loops do not multiply.
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

  /** The number of failures since the last progress. */
  get failures(): number {
    return this.#failures;
  }

  /** The milliseconds left for retrying. */
  get left(): number {
    return this.budget.milliseconds - (this.#clock.now() - this.#started);
  }

  /** When data last moved, by `performance.now()`: the user has been waiting since. */
  get moved(): number {
    return this.#moved;
  }

  /** Counts a failed attempt; false if it was the last one, here or in a nested loop. */
  fail(): boolean {
    this.#failures = Math.min(this.#failures + 1, this.budget.attempts);
    return this.#failures < this.budget.attempts;
  }

  /** Data is moving: any wait from now on is a new one. */
  move(): void {
    this.#moved = performance.now();
  }

  /** A completed step: the next failure counts as a first one. */
  progress(): void {
    this.#failures = 0;
    this.#started = this.#clock.now();
    this.move();
  }
}

/** What the loop needs while it runs. */
export interface RetryHooks {
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Waits before the next attempt. */
  pause(milliseconds: number, reason: StaveError, patience: Patience): Promise<void>;
}

/**
 * Retries until done or until the patience is used up; then throws the last failure with the number of attempts. A
 * pause that the server asks for is honoured in full, or not at all if it exceeds the time left.
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
    message: `${error.message}; it asks to wait ${seconds} s, longer than the time left for retrying`,
    hint: `run the same command again in ${seconds} s`,
  });
}

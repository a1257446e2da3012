// When a request is sent again, and how long to wait before. The decisions are pure; the loop gets its clock from outside.
import { StaveError } from "../errors.ts";
import type { Clock } from "../util/time.ts";
import type { RetryBudget } from "./types.ts";

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

/** What one try came to. */
export type Outcome<T> =
  | { done: T }
  /** Failed in a way that may pass; `after` is what the server asked for, in milliseconds. */
  | { again: StaveError; after?: number | undefined };

/** What the loop tells and asks while it runs. */
export interface RetryHooks {
  clock: Clock;
  signal?: AbortSignal | undefined;
  onWait?: ((milliseconds: number, reason: StaveError) => void) | undefined;
}

/**
 * Tries until it is done or the budget is used up; the last failure is then thrown with the number of tries.
 * A wait that the server asks for is honoured in full, or not at all when it does not fit into the budget.
 */
export async function withRetry<T>(
  budget: RetryBudget,
  hooks: RetryHooks,
  attempt: (number: number) => Promise<Outcome<T>>,
): Promise<T> {
  const { clock, signal, onWait } = hooks;
  const started = clock.now();
  for (let number = 1; ; number++) {
    signal?.throwIfAborted();
    const outcome = await attempt(number);
    if ("done" in outcome) return outcome.done;
    const { again, after } = outcome;
    const attempts = { attempts: number };
    if (number >= budget.attempts) throw again.with(attempts);
    const wait = Math.max(after ?? 0, backoff(number, clock.random()));
    const left = budget.milliseconds - (clock.now() - started);
    if (wait > left) throw outOfTime(again, wait, left, after).with(attempts);
    onWait?.(wait, again);
    await clock.sleep(wait, signal);
  }
}

function outOfTime(error: StaveError, wait: number, left: number, asked: number | undefined): StaveError {
  if (asked === undefined || asked <= left) return error;
  const seconds = Math.ceil(wait / 1000);
  return new StaveError(
    error.code,
    `${error.message}; it asks to wait ${seconds} s, more than is left of the time for trying again`,
    {
      ...errorFields(error),
      hint: `run the same command again in ${seconds} s`,
    },
  );
}

function errorFields(error: StaveError) {
  const { op, subject, status, registry } = error;
  return {
    ...(op === undefined ? {} : { op }),
    ...(subject === undefined ? {} : { subject }),
    ...(status === undefined ? {} : { status }),
    ...(registry === undefined ? {} : { registry }),
  };
}

// The state shared by all requests to one host: slots, the pause it asked for, the pace learned from its 429s, and more
// slots for a host that is far away.
import { StaveError } from "../errors.ts";
import { Limit } from "../util/limit.ts";
import type { Clock } from "../util/time.ts";
import type { Traffic } from "./types.ts";

/**
 * Slots per class of traffic. The classes are separate, so that small requests never wait for large ones and no request
 * can wait for itself: an upload may be fed by a download from the same host, a download by ranges, and any request may
 * first need a token from it.
 */
const PLACES: Record<Traffic, number> = { metadata: 16, upload: 8, download: 8, range: 8, token: 4 };
/**
 * The most slots for a distant host, as a multiple of PLACES. Large bodies fill the line by themselves, small requests
 * wait for it.
 */
const DISTANT: Record<Traffic, number> = { metadata: 4, upload: 2, download: 2, range: 1, token: 1 };
/** Within this round trip, in milliseconds, PLACES are enough. */
const NEAR = 25;
/** Slots are added after this many responses: the first ones include opening connections. */
const BELIEVED = 16;
/** After this many successes one more slot is tried. */
const RECOVER_AFTER = 25;
/** The slowest pace without a request by the host: one request in two seconds. */
const SLOWEST = 2000;

const KINDS = Object.keys(PLACES) as Traffic[];

/** How to wait for a slot, for at most `longest` milliseconds. */
export interface EnterOptions {
  clock: Clock;
  longest: number;
  signal?: AbortSignal | undefined;
  pause(milliseconds: number): Promise<void>;
}

/** The state of one host. Times are in milliseconds of the injected clock. */
export class HostState {
  readonly #limits: Record<Traffic, Limit> = {
    metadata: new Limit(PLACES.metadata),
    upload: new Limit(PLACES.upload),
    download: new Limit(PLACES.download),
    range: new Limit(PLACES.range),
    token: new Limit(PLACES.token),
  };
  readonly #name: string;
  /** True once the host has responded to anything. */
  hasAnswered = false;
  #pausedUntil = 0;
  #interval = 0;
  #next = 0;
  #successes = 0;
  #answers = 0;
  #shortest = Number.POSITIVE_INFINITY;
  readonly #most: Record<Traffic, number> = { ...PLACES };

  constructor(name: string) {
    this.#name = name;
  }

  /** Waits for a slot, for the end of a pause and for the pace; returns the function that frees the slot. */
  async enter(traffic: Traffic, options: EnterOptions): Promise<() => void> {
    const { clock, longest, signal, pause } = options;
    const release = await this.#limits[traffic].acquire({ signal });
    try {
      for (;;) {
        const now = clock.now();
        const start = Math.max(this.#pausedUntil, this.#interval > 0 ? this.#next : 0);
        if (start <= now) break;
        if (start - now > longest) throw tooLong(this.#name, start - now);
        await pause(start - now);
      }
      this.#next = clock.now() + this.#interval;
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The remaining milliseconds of the pause that the host asked for. */
  pauseLeft(now: number): number | undefined {
    return this.#pausedUntil > now ? this.#pausedUntil - now : undefined;
  }

  /** The host asked for fewer requests: all pause for as long as it said, and a 429 halves slots and pace. */
  pushedBack(isRateLimit: boolean, asked: number | undefined, now: number): void {
    this.#successes = 0;
    if (asked !== undefined) this.#pausedUntil = Math.max(this.#pausedUntil, now + asked);
    if (!isRateLimit) return;
    for (const limit of Object.values(this.#limits)) limit.capacity = Math.floor(limit.capacity / 2);
    this.#interval = Math.min(SLOWEST, Math.max(50, this.#interval * 2));
  }

  /**
   * A response arrived after so many milliseconds. The shortest one tells how far away the host is, however busy it is.
   */
  answered(milliseconds: number): void {
    const isShorter = milliseconds < this.#shortest;
    if (isShorter) this.#shortest = milliseconds;
    this.#answers++;
    if (this.#answers < BELIEVED || (this.#answers > BELIEVED && !isShorter)) return;
    for (const traffic of KINDS) {
      const factor = Math.min(DISTANT[traffic], Math.max(1, this.#shortest / NEAR));
      const more = Math.floor(PLACES[traffic] * factor) - this.#most[traffic];
      this.#most[traffic] += more;
      this.#limits[traffic].capacity += more;
    }
  }

  /** Slowly returns to the full number of slots and pace. */
  succeeded(): void {
    if (++this.#successes % RECOVER_AFTER !== 0) return;
    this.#interval = this.#interval <= 50 ? 0 : this.#interval / 2;
    for (const traffic of KINDS) {
      const limit = this.#limits[traffic];
      if (limit.capacity < this.#most[traffic]) limit.capacity++;
    }
  }
}

function tooLong(host: string, wait: number): StaveError {
  const seconds = Math.ceil(wait / 1000);
  return new StaveError("RATE_LIMITED", `${host} asked for no requests for ${seconds} s`, {
    subject: host,
    hint: `run the same command again in ${seconds} s; it continues where it stopped`,
  });
}

// Watches all network exchanges: reports waits of five seconds and more, and ends transfers that are too slow or take
// too long. It hooks into undici's handlers, so that watching costs one counter update per piece of a body and one
// timer for all.
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { StaveError } from "../errors.ts";
import type { Patience } from "./retry.ts";

/** The settings of a Watch. */
export interface WatchOptions {
  /** The least bytes per second of a transfer, averaged over `window`; 0 allows any rate. */
  minRate: number;
  /** Milliseconds. */
  window: number;
  /** Milliseconds after which a wait is reported; default 5000. */
  tellAfter?: number | undefined;
  /** Called during a wait with its duration so far and its reason. */
  onWait?: ((milliseconds: number, reason: string) => void) | undefined;
}

/** A wait in progress. */
export interface Wait {
  /** Waits for one host are reported together. */
  host: string;
  patience: Patience;
  reason(): string;
  /** Called about twice a second, with the milliseconds since the last call. */
  tick?(elapsed: number): void;
}

const TELL_AFTER = 5000;
const TICK = 500;

/** All waits of a transport. */
export class Watch {
  readonly options: WatchOptions;
  readonly #waits = new Set<Wait>();
  /** The duration at which the next report about a host is due; doubles with each report. */
  readonly #next = new Map<string, number>();
  readonly #tellAfter: number;
  #timer: NodeJS.Timeout | undefined;
  #last = 0;

  constructor(options: WatchOptions) {
    this.options = options;
    this.#tellAfter = options.tellAfter ?? TELL_AFTER;
  }

  /** Starts to watch a wait; returns the function that ends it. */
  begin(wait: Wait): () => void {
    this.#waits.add(wait);
    if (this.#timer === undefined) {
      const period = Math.max(20, Math.min(TICK, this.options.window / 4, this.#tellAfter / 4));
      this.#last = performance.now();
      this.#timer = setInterval(() => this.#tick(), period).unref();
    }
    return () => {
      this.#waits.delete(wait);
      if (this.#waits.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#next.clear();
    };
  }

  #tick(): void {
    const now = performance.now();
    const elapsed = now - this.#last;
    this.#last = now;
    const longest = new Map<string, Wait>();
    for (const wait of this.#waits) {
      wait.tick?.(elapsed);
      const known = longest.get(wait.host);
      if (known === undefined || wait.patience.moved < known.patience.moved) longest.set(wait.host, wait);
    }
    for (const [host, wait] of longest) {
      const waited = now - wait.patience.moved;
      if (waited < this.#tellAfter) this.#next.delete(host);
      const next = this.#next.get(host) ?? this.#tellAfter;
      if (waited < next) continue;
      this.options.onWait?.(waited, wait.reason());
      this.#next.set(host, 2 * next);
    }
  }
}

/** The phases of an exchange, for messages. */
type Phase = "connect" | "send" | "answer" | "receive";

/** What is known of an exchange. */
export interface ExchangeOptions {
  watch: Watch;
  patience: Patience;
  host: string;
  /** For messages: `fetch manifest TAG from REPO`. */
  what: string;
  /** The proxy in use, for messages. */
  proxy?: string | undefined;
  /** The request body, if it is a stream. */
  body?: Pick<Readable, "isPaused"> | undefined;
  /** Maximum number of milliseconds from now to the end of the response. */
  longest?: number | undefined;
}

/** One request in progress, with its response. */
export class Exchange implements Wait {
  readonly host: string;
  readonly patience: Patience;
  readonly #options: ExchangeOptions;
  readonly #deadline: number;
  readonly #end: () => void;
  #phase: Phase = "connect";
  #controller: Dispatcher.DispatchController | undefined;
  #failure: unknown;
  #fail: ((reason: unknown) => void) | undefined;
  #bytes = 0;
  #wasHeldUp = false;
  /** Bytes and milliseconds of each tick within the window. */
  #ticks: { bytes: number; elapsed: number }[] = [];

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.host = options.host;
    this.patience = options.patience;
    this.#deadline = options.longest === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.longest;
    this.#end = options.watch.begin(this);
  }

  reason(): string {
    const { what, proxy } = this.#options;
    const by = proxy === undefined ? "" : ` (through the proxy ${proxy})`;
    const rate = `${Math.round(this.#rate())} bytes/s`;
    const said = {
      connect: `no connection to ${this.host} yet`,
      send: `${this.host} takes ${rate}`,
      answer: `${this.host} has not answered yet`,
      receive: `${this.host} sends ${rate}`,
    }[this.#phase];
    return `${said}${by}, to ${what}`;
  }

  /**
   * Waits for the header of the response. undici handles a signal only once it has a connection, so here the signal and
   * the watch itself end the wait. A later response is discarded.
   */
  async head(
    answer: Promise<Dispatcher.ResponseData>,
    signal: AbortSignal | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const onAbort = () => this.end(signal?.reason);
    try {
      return await new Promise((resolve, reject) => {
        this.#fail = reject;
        if (this.#failure !== undefined) reject(this.#failure);
        signal?.addEventListener("abort", onAbort, { once: true });
        answer.then((response) => {
          if (this.#failure === undefined) resolve(response);
          else response.body.on("error", () => {}).destroy();
        }, reject);
      });
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#fail = undefined;
    }
  }

  /** Stops watching: the response is complete or no longer needed. */
  finish(): void {
    this.#end();
  }

  /** Ends the exchange early. */
  end(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#end();
    this.#controller?.abort(reason instanceof Error ? reason : new Error(String(reason)));
    this.#fail?.(reason);
  }

  tick(elapsed: number): void {
    const { watch, body } = this.#options;
    const { minRate, window } = watch.options;
    if (performance.now() > this.#deadline) this.end(this.#tooLong());
    if (this.#failure !== undefined) return;
    const isSending = this.#phase === "send";
    if (!isSending && this.#phase !== "receive") return;
    // Decide which side is slow: this one, which has nothing to send or does not read, or the other?
    const isOurs = isSending ? body?.isPaused() === false : this.#wasHeldUp || this.#controller?.paused === true;
    const bytes = this.#bytes;
    this.#bytes = 0;
    this.#wasHeldUp = false;
    if (isOurs || bytes * 1000 >= minRate * elapsed) this.patience.move();
    if (isOurs) {
      this.#ticks = [];
      return;
    }
    this.#ticks.push({ bytes, elapsed });
    let total = this.#ticks.reduce((sum, each) => sum + each.elapsed, 0);
    while (total - (this.#ticks[0]?.elapsed ?? 0) >= window) total -= this.#ticks.shift()?.elapsed ?? 0;
    if (minRate > 0 && total >= window && this.#rate() < minRate) this.end(this.#tooSlow());
  }

  #rate(): number {
    const [bytes, elapsed] = this.#ticks.reduce(([b, e], tick) => [b + tick.bytes, e + tick.elapsed], [0, 0]);
    return (bytes * 1000) / Math.max(1, elapsed);
  }

  #tooSlow(): StaveError {
    const { what, watch } = this.#options;
    const { minRate, window } = watch.options;
    const text = `cannot ${what}: less than ${minRate} bytes/s for ${Math.round(window / 1000)} s ${
      this.#phase === "send" ? "to" : "from"
    } ${this.host}`;
    return new StaveError("TIMEOUT", text, {
      hint: "for a slow network use `minRate: 0` or a longer `timeout`",
    });
  }

  #tooLong(): StaveError {
    const { what, proxy, longest = 0 } = this.#options;
    const host = proxy === undefined ? this.host : `${this.host} (through the proxy ${proxy})`;
    return new StaveError("TIMEOUT", `cannot ${what}: ${host} took more than ${Math.round(longest / 1000)} s`, {
      hint: "raise `timeout`, or check the network",
    });
  }

  /** Wraps undici's handler and counts bytes. */
  handler(inner: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller, context) => {
        this.#controller = controller;
        if (this.#failure !== undefined) controller.abort(this.#failure as Error);
        else {
          this.#phase = this.#options.body === undefined ? "answer" : "send";
          if (this.patience.failures === 0) this.patience.move();
        }
        inner.onRequestStart?.(controller, context);
      },
      onRequestUpgrade: (...all) => inner.onRequestUpgrade?.(...all),
      onBodySent: (chunk: Buffer) => {
        this.#bytes += chunk.byteLength;
        inner.onBodySent?.(chunk);
      },
      onRequestSent: () => {
        if (this.#phase === "send") this.patience.move();
        this.#phase = "answer";
        inner.onRequestSent?.();
      },
      onResponseStart: (controller, status, headers, text) => {
        this.#phase = "receive";
        this.#bytes = 0;
        this.#ticks = [];
        inner.onResponseStart?.(controller, status, headers, text);
      },
      onResponseData: (controller, chunk) => {
        this.#bytes += chunk.byteLength;
        inner.onResponseData?.(controller, chunk);
        if (controller.paused) this.#wasHeldUp = true;
      },
      onResponseEnd: (controller, trailers) => {
        this.finish();
        inner.onResponseEnd?.(controller, trailers);
      },
      onResponseError: (controller, error) => {
        this.#end();
        inner.onResponseError?.(controller, error);
      },
    };
  }
}

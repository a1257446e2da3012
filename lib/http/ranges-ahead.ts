// Fetches the rest of a large download in pieces side by side, where one connection does not fill the line: many
// servers and long lines limit each connection. The pieces are delivered in order.
import { readSized } from "../util/stream.ts";
import { headerOf } from "./response.ts";
import type { HttpResponse } from "./types.ts";

/** The size of a piece. */
const PIECE = 4 * 1024 * 1024;
/** How many pieces of a download are in memory or under way at once. */
const PIECES = 4;
/** How many downloads may be fetched in pieces at once; this bounds memory to 32 MiB. */
const DOWNLOADS = 2;
/** After this many bytes the speed of a connection is known. */
const KNOWN_AFTER = 16 * 1024 * 1024;
/** A download with less than this left is not worth more connections. */
const WORTH = 32 * 1024 * 1024;
/** A connection with this many bytes per millisecond is fast enough: 80 MB/s. */
const FAST = 80_000;

/** Admits downloads that are fetched in pieces. */
export class AheadBudget {
  #left = DOWNLOADS;

  /** Returns the function that gives the place back; undefined if there is none. Nothing ever waits for a place. */
  take(): (() => void) | undefined {
    if (this.#left === 0) return undefined;
    this.#left--;
    let isBack = false;
    return () => {
      if (!isBack) this.#left++;
      isBack = true;
    };
  }
}

/** True if a download is so large that it may come in pieces. */
export function isLarge(size: number): boolean {
  return size >= KNOWN_AFTER + WORTH;
}

/** True if a download is large and its one connection slow; `waited` is the time spent waiting for it. */
export function isWorthAhead(read: number, size: number, waited: number): boolean {
  return read >= KNOWN_AFTER && size - read >= WORTH && read < waited * FAST;
}

/** Where the pieces begin: the connection goes on until then, while the first of them arrive. */
export function boundaryAfter(read: number): number {
  return read + 2 * PIECE;
}

/** Requests bytes `from` to `end`, exclusive, of a content. */
export type SendRange = (from: number, end: number) => Promise<HttpResponse>;

/** The pieces of a content from a boundary to its end. */
export class RangesAhead {
  readonly #send: SendRange;
  readonly #size: number;
  readonly #subject: string;
  readonly #release: () => void;
  readonly #pieces: Promise<Buffer>[] = [];
  readonly #open = new Set<HttpResponse>();
  #next: number;
  #isStopped = false;

  /** Starts to fetch. `release` is called once nothing is in memory any more. */
  constructor(options: { send: SendRange; from: number; size: number; subject: string; release: () => void }) {
    this.#send = options.send;
    this.#next = options.from;
    this.#size = options.size;
    this.#subject = options.subject;
    this.#release = options.release;
    while (this.#pieces.length < PIECES && this.#next < this.#size) this.#fetchNext();
  }

  #fetchNext(): void {
    const from = this.#next;
    const end = Math.min(this.#size, from + PIECE);
    this.#next = end;
    const piece = this.#fetch(from, end);
    // It may be awaited much later, or never.
    piece.catch(() => {});
    this.#pieces.push(piece);
  }

  async #fetch(from: number, end: number): Promise<Buffer> {
    const response = await this.#send(from, end);
    this.#open.add(response);
    try {
      const range = headerOf(response, "content-range") ?? "";
      if (this.#isStopped || response.status !== 206 || !range.startsWith(`bytes ${from}-${end - 1}/`))
        throw new Error("the server does not serve ranges");
      return await readSized(response.body, end - from, this.#subject);
    } finally {
      this.#open.delete(response);
      response.body.destroy();
    }
  }

  /** True once the first piece has arrived; false if the server does not serve ranges. */
  async isServed(): Promise<boolean> {
    return await (this.#pieces[0] ?? Promise.resolve()).then(
      () => true,
      () => false,
    );
  }

  /** The pieces in order. Throws what fetching throws. */
  async *read(): AsyncGenerator<Buffer> {
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      const bytes = await piece;
      if (this.#next < this.#size) this.#fetchNext();
      yield bytes;
    }
  }

  /** Ends all requests. */
  stop(): void {
    this.#isStopped = true;
    for (const { body } of this.#open) body.destroy();
    this.#open.clear();
    this.#release();
  }
}

// Fetches the rest of a large download in pieces side by side, where one connection does not fill the line: many
// servers and long lines limit each connection. The pieces are delivered in order. They are an attempt: what is wrong
// with them, the first connection goes on.
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

/** A piece is given up after this many milliseconds, or, if that is more, this many times what one connection needs. */
const LATE_AFTER = 2000;
const TIMES = 8;

/**
 * Where the pieces begin: the connection goes on until then. If the first piece is not there by then, pieces are no
 * faster.
 */
export function boundaryAfter(read: number): number {
  return read + 2 * PIECE;
}

/** Requests bytes `from` to `end`, exclusive, of a content. */
export type SendRange = (from: number, end: number) => Promise<HttpResponse>;

/** What to fetch in pieces. */
export interface RangesOptions {
  readonly send: SendRange;
  readonly from: number;
  readonly size: number;
  readonly subject: string;
  readonly rate: number;
  readonly release: () => void;
}

/** The pieces of a content from a boundary to its end. */
export class RangesAhead {
  readonly #send: SendRange;
  readonly #size: number;
  readonly #subject: string;
  readonly #release: () => void;
  readonly #pieces: Promise<Buffer>[] = [];
  readonly #open = new Set<HttpResponse>();
  readonly #longest: number;
  #next: number;
  #isStopped = false;
  #isServed = false;

  /**
   * Starts to fetch. `rate` is that of the one connection, in bytes per millisecond. `release` is called once nothing
   * is in memory any more.
   */
  constructor(options: RangesOptions) {
    this.#longest = Math.max(LATE_AFTER, (TIMES * PIECE) / options.rate);
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
    const isFirst = this.#pieces.length === 0 && !this.#isServed;
    // It may be awaited much later, or never.
    piece.then(
      () => {
        if (isFirst) this.#isServed = true;
      },
      () => {},
    );
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

  /** True once the first piece has arrived. */
  get isServed(): boolean {
    return this.#isServed;
  }

  /** The pieces in order. Throws what fetching throws, and an error if a piece takes too long. */
  async *read(): AsyncGenerator<Buffer> {
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      const bytes = await this.#inTime(piece);
      if (this.#next < this.#size) this.#fetchNext();
      yield bytes;
    }
  }

  async #inTime(piece: Promise<Buffer>): Promise<Buffer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error("a piece takes longer than one connection")), this.#longest);
    });
    try {
      return await Promise.race([piece, late]);
    } finally {
      clearTimeout(timer);
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

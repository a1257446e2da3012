// Downloads content of known digest and size: the stream ends only if both are correct, and an interrupted download
// resumes where it stopped. Where one connection is slow, the rest of a large download comes in pieces.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { algorithmOf, Digester } from "../oci/digest.ts";
import { giveAway } from "../util/free-chunks.ts";
import { digestMismatch, type Expectation, readAll, sizeMismatch, unjoined, withoutFirst } from "../util/stream.ts";
import { type AheadBudget, boundaryAfter, isLarge, isWorthAhead, RangesAhead } from "./ranges-ahead.ts";
import { headerOf, networkError, saysHtml, webPageError } from "./response.ts";
import { mayPass, type Patience, type RetryHooks, withRetry } from "./retry.ts";
import type { HttpResponse, Traffic } from "./types.ts";

/** Chunks to read ahead of a slow consumer, per download; each has up to 64 KiB. */
const READ_AHEAD = 4;
/**
 * After this many bytes, or an eighth of small content, an interruption counts as a new one and the retry budget starts
 * again.
 */
const ENOUGH_PROGRESS = 1024 * 1024;

/** What to download. */
export interface Download extends Expectation {
  /** For messages: the content, and the server with it. */
  readonly subject: string;
  readonly server: string;
  /** Sends the request, perhaps with a header for a range. Accepts 200, and 206 for a range. */
  send(headers: Record<string, string>, traffic?: Traffic): Promise<HttpResponse>;
  /** Allows to fetch the rest in pieces side by side. */
  readonly ahead?: AheadBudget | undefined;
  readonly patience: Patience;
  readonly hooks: RetryHooks;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a download as a stream that ends only if size and digest are correct. An interrupted download resumes where it
 * stopped, as long as attempts make progress or the retry budget lasts.
 */
export async function verifiedDownload(download: Download): Promise<Readable> {
  const first = await openAt(download, 0);
  // In object mode, no chunks are joined.
  const stream = Readable.from(read(download, first), { objectMode: true, highWaterMark: READ_AHEAD });
  // A consumer that never starts to read must not keep the connection open.
  stream.once("close", () => first.body.destroy());
  return giveAway(stream);
}

/**
 * The first `length` bytes of content, which are not verified, or all of a smaller one. An interrupted download resumes
 * as that of the whole content does.
 */
export async function downloadStart(download: Download, length: number): Promise<Buffer> {
  const end = Math.min(length, download.size);
  if (end === 0) return Buffer.alloc(0);
  const part: PartialDownload = { ...download, end, ahead: undefined };
  const bytes = await readAll(read(part, await openAt(part, 0)), download.size, download.subject);
  // A server that ignores ranges sends more.
  return bytes.subarray(0, end);
}

/** A download that ends before the end of the content, if it has an `end`. */
interface PartialDownload extends Download {
  readonly end?: number | undefined;
}

async function* read(download: PartialDownload, first: HttpResponse): AsyncGenerator<Buffer> {
  const { digest, size, end = size, subject, patience, signal } = download;
  const digester = new Digester(algorithmOf(digest));
  let response = first;
  let broken: StaveError | undefined;
  let failedAt = 0;
  const ahead = new Ahead(download);
  try {
    for (;;) {
      if (broken !== undefined) response = await reopen(download, digester.size, broken);
      broken = undefined;
      try {
        for await (const chunk of ahead.chunks(response, digester)) {
          digester.update(chunk);
          if (digester.size > size) throw sizeMismatch(subject, size, `more than ${size}`);
          yield chunk;
          if (end < size && digester.size >= end) return;
        }
      } catch (cause) {
        signal?.throwIfAborted();
        const error = networkError({ op: "fetch", subject }, response.url, cause, response.proxy);
        // One connection may succeed where several do not.
        const hadPieces = ahead.stop();
        if (!mayPass(error) && !hadPieces) throw error;
        // With enough progress this is a new interruption, otherwise the same one again.
        if (digester.size - failedAt >= Math.min(ENOUGH_PROGRESS, size / 8)) {
          failedAt = digester.size;
          patience.progress();
        }
        broken = error;
        continue;
      }
      if (digester.size === size) break;
      // A response that ends cleanly but early: the server has fewer bytes than expected, so a retry would not help.
      throw sizeMismatch(subject, size, String(digester.size));
    }
  } finally {
    ahead.stop();
    response.body.destroy();
  }
  const actual = digester.digest();
  if (actual !== digest) throw digestMismatch(subject, digest, actual);
}

/** Decides when the rest of a download comes in pieces, at most once. */
class Ahead {
  readonly #download: Download;
  #ranges: RangesAhead | undefined;
  #boundary = 0;
  #isOver: boolean;
  #waited = 0;

  constructor(download: Download) {
    this.#download = download;
    this.#isOver = download.ahead === undefined || !isLarge(download.size);
  }

  /** The content from where the digester is: of the response, and from some boundary on perhaps in pieces. */
  chunks(response: HttpResponse, { size: from }: { readonly size: number }): AsyncIterable<Buffer> {
    return this.#isOver ? unjoined(response.body) : this.#considered(response, from);
  }

  async *#considered(response: HttpResponse, from: number): AsyncGenerator<Buffer> {
    const chunks = unjoined(response.body);
    let at = from;
    for (;;) {
      const asked = performance.now();
      const next = await chunks.next();
      this.#waited += performance.now() - asked;
      if (next.done === true) return;
      const chunk = next.value;
      if (this.#ranges?.isServed === true && at + chunk.byteLength >= this.#boundary) {
        if (at < this.#boundary) yield chunk.subarray(0, this.#boundary - at);
        response.body.destroy();
        yield* this.#ranges.read();
        this.stop();
        return;
      }
      at += chunk.byteLength;
      // The boundary is passed: the server serves no ranges, or not faster.
      if (this.#ranges !== undefined && at >= this.#boundary) this.stop();
      yield chunk;
      if (!this.#isOver) this.#consider(at);
    }
  }

  #consider(at: number): void {
    const { size, ahead, subject, send } = this.#download;
    if (this.#ranges !== undefined || !isWorthAhead(at, size, this.#waited)) return;
    const release = ahead?.take();
    if (release === undefined) return;
    this.#boundary = boundaryAfter(at);
    this.#ranges = new RangesAhead({
      send: (from, end) => send({ range: `bytes=${from}-${end - 1}` }, "range"),
      ...{ from: this.#boundary, size, subject, release, rate: at / this.#waited },
    });
  }

  /** Ends the pieces, for good. True if there were any. */
  stop(): boolean {
    const ranges = this.#ranges;
    this.#ranges = undefined;
    this.#isOver ||= ranges !== undefined;
    ranges?.stop();
    return ranges !== undefined;
  }
}

/** Reopens the content at an offset after an interruption, with the usual pauses between attempts. */
async function reopen(download: PartialDownload, offset: number, broken: StaveError): Promise<HttpResponse> {
  let isFirst = true;
  return await withRetry(download.patience, download.hooks, async () => {
    // Pause before the first attempt too, as before any second one.
    if (isFirst) {
      isFirst = false;
      return { again: broken };
    }
    return { done: await openAt(download, offset) };
  });
}

async function openAt(download: PartialDownload, offset: number): Promise<HttpResponse> {
  const { digest, size, end = size, server } = download;
  const isPart = offset > 0 || end < size;
  const response = await download.send(isPart ? { range: `bytes=${offset}-${end - 1}` } : {});
  // Content may itself be HTML, but then its size is right.
  if (saysHtml(response) && ![size, end - offset].includes(Number(headerOf(response, "content-length")))) {
    response.body.destroy();
    throw webPageError({ op: "fetch blob", subject: `${digest} from ${server}` }, response.url);
  }
  if (!isPart) return response;
  // Some servers ignore Range and send everything again.
  if (response.status === 200)
    return offset === 0 ? response : { ...response, body: withoutFirst(response.body, offset) };
  const range = headerOf(response, "content-range");
  if (range !== undefined && new RegExp(`^bytes ${offset}-`).test(range)) return response;
  response.body.destroy();
  throw new StaveError(
    "REGISTRY_ERROR",
    `${server} sent range ${JSON.stringify(range?.slice(0, 60) ?? "(none)")} of blob ${digest}, expected it from byte ${offset}`,
    {
      subject: digest,
    },
  );
}

// Downloads content of known digest and size: the stream ends only if both are correct, and an interrupted download
// resumes where it stopped.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { algorithmOf, Digester } from "../oci/digest.ts";
import { digestMismatch, type Expectation, sizeMismatch, withoutFirst } from "../util/stream.ts";
import { headerOf, networkError, saysHtml, webPageError } from "./response.ts";
import { mayPass, type Patience, type RetryHooks, withRetry } from "./retry.ts";
import type { HttpResponse } from "./types.ts";

/** Bytes to read ahead of a slow consumer, per download. */
const READ_AHEAD = 256 * 1024;
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
  /** Sends the request; with headers for a range unless `offset` is 0. Accepts 200, and 206 for a range. */
  send(offset: number, headers: Record<string, string>): Promise<HttpResponse>;
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
  const stream = Readable.from(read(download, first), { objectMode: false, highWaterMark: READ_AHEAD });
  // A consumer that never starts to read must not keep the connection open.
  stream.once("close", () => first.body.destroy());
  return stream;
}

async function* read(download: Download, first: HttpResponse): AsyncGenerator<Buffer> {
  const { digest, size, subject, patience, signal } = download;
  const digester = new Digester(algorithmOf(digest));
  let response = first;
  let broken: StaveError | undefined;
  let failedAt = 0;
  try {
    for (;;) {
      if (broken !== undefined) response = await reopen(download, digester.size, broken);
      broken = undefined;
      try {
        for await (const chunk of response.body as AsyncIterable<Buffer>) {
          digester.update(chunk);
          if (digester.size > size) throw sizeMismatch(subject, size, `more than ${size}`);
          yield chunk;
        }
      } catch (cause) {
        signal?.throwIfAborted();
        const error = networkError({ op: "fetch", subject }, response.url, cause, response.proxy);
        if (!mayPass(error)) throw error;
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
    response.body.destroy();
  }
  const actual = digester.digest();
  if (actual !== digest) throw digestMismatch(subject, digest, actual);
}

/** Reopens the content at an offset after an interruption, with the usual pauses between attempts. */
async function reopen(download: Download, offset: number, broken: StaveError): Promise<HttpResponse> {
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

async function openAt(download: Download, offset: number): Promise<HttpResponse> {
  const { digest, size, server } = download;
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-${size - 1}` } : {};
  const response = await download.send(offset, headers);
  // Content may itself be HTML, but then its size is right.
  if (saysHtml(response) && ![size, size - offset].includes(Number(headerOf(response, "content-length")))) {
    response.body.destroy();
    throw webPageError({ op: "fetch blob", subject: `${digest} from ${server}` }, response.url);
  }
  if (offset === 0) return response;
  // Some servers ignore Range and send everything again.
  if (response.status === 200) return { ...response, body: withoutFirst(response.body, offset) };
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

// Reads request bodies: at the client's pace, but not indefinitely, and without losing the connection over which a
// refusal must still be sent.
import type { IncomingMessage, ServerResponse } from "node:http";
import { joined } from "../util/stream.ts";
import { Refusal } from "./refusal.ts";

/** How long a client may send nothing, or almost nothing, in milliseconds. */
export const PATIENCE: number = 30_000;
/** Fewer bytes than this per period of patience count as nothing. */
const LEAST = 16 * 1024;
/**
 * How much of an unwanted body is read and discarded: many clients read the response only after they have sent
 * everything.
 */
const UNWANTED_LIMIT = 64 * 1024 * 1024;

/** The client closed the connection before its body was complete, so no response can reach it. */
export class ClientGone extends Error {}

/** True if the request has a body that is not completely read. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return !request.complete && !request.destroyed && (encoding !== undefined || Number(length ?? "0") > 0);
}

/**
 * The chunks of a body. Leaving the loop early keeps the connection open (Node's own iterator destroys it, and with it
 * the response). Throws ClientGone, or refuses a stalled client with status 408.
 */
export async function* bodyOf(request: IncomingMessage, patience: number): AsyncGenerator<Buffer, void, void> {
  let wake = () => {};
  const onEvent = () => wake();
  const events = ["readable", "end", "close", "error"] as const;
  const pace = new Pace(patience, onEvent);
  for (const event of events) request.on(event, onEvent);
  try {
    for (;;) {
      const chunk = request.read() as Buffer | null;
      if (chunk !== null) {
        pace.received(chunk.byteLength);
        yield chunk;
      } else if (request.readableEnded) return;
      else if (request.destroyed) throw new ClientGone("the client closed the connection while it was sending");
      else if (pace.isTooSlow)
        throw new Refusal("BLOB_UPLOAD_INVALID", `the body did not come within ${patience / 1000} s`, { status: 408 });
      else {
        pace.wait();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        pace.go();
      }
    }
  } finally {
    pace.end();
    for (const event of events) request.off(event, onEvent);
  }
}

/** Measures how much arrives while the server waits for it; time spent on the server's own disk does not count. */
class Pace {
  isTooSlow = false;
  readonly #patience: number;
  readonly #onTooSlow: () => void;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #waited = 0;
  #since: number | undefined;

  constructor(patience: number, onTooSlow: () => void) {
    this.#patience = patience;
    this.#onTooSlow = onTooSlow;
    this.#timer = setInterval(() => this.#look(), patience);
  }

  received(bytes: number): void {
    this.#bytes += bytes;
  }

  wait(): void {
    this.#since = performance.now();
  }

  go(): void {
    if (this.#since !== undefined) this.#waited += performance.now() - this.#since;
    this.#since = undefined;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const isWaiting = this.#since !== undefined;
    this.go();
    if (isWaiting) this.wait();
    this.isTooSlow = isWaiting && this.#bytes < LEAST && this.#waited > this.#patience * 0.9;
    this.#bytes = 0;
    this.#waited = 0;
    if (this.isTooSlow) this.#onTooSlow();
  }
}

/** Reads a body of at most `limit` bytes. */
export async function readBody(request: IncomingMessage, limit: number, patience: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? "0");
  if (announced > limit)
    throw new Refusal("TOO_LARGE", `the body has ${announced} bytes, more than the limit of ${limit}`);
  return await joined(
    bodyOf(request, patience),
    limit,
    () => new Refusal("TOO_LARGE", `the body has more than the limit of ${limit} bytes`),
  );
}

/**
 * Ends a response whose bytes are already being sent once the rest of the request's body has been read. Ending it at
 * once would close connections on which the client is still writing: it would see a broken pipe instead of the status.
 */
export function endAfterBody(response: ServerResponse): void {
  const request = response.req;
  let left = UNWANTED_LIMIT;
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const giveUp = () => {
    end();
    request.destroy();
  };
  const timer = setTimeout(giveUp, PATIENCE);
  request.on("data", (chunk: Buffer) => {
    left -= chunk.byteLength;
    if (left < 0) giveUp();
  });
  request.once("end", end);
  request.once("close", end);
  request.resume();
}

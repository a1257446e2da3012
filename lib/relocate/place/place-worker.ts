// A placing thread, started by place-pool.ts: handles one prefix at a time, from the bytes that the main thread sends.
import { Readable } from "node:stream";
import { parentPort } from "node:worker_threads";
import { StaveError } from "../../errors.ts";
import { Recurring } from "../../spack/text/recurring.ts";
import { joinAndRelease, release } from "../../util/free-chunks.ts";
import { plainError } from "../../util/plain-error.ts";
import { finishPlaced, placeArchive } from "./place.ts";
import type { PlaceAnswer, PlaceOrder } from "./place-message.ts";

/** How many characters of nodes each thread remembers. */
const REMEMBERED = 3 * 1024 * 1024;

if (parentPort === null) throw new Error("this file is started as a thread");
const port = parentPort;
const tell = (answer: PlaceAnswer): void => port.postMessage(answer);

let stream: Readable | undefined;
let stop = new AbortController();
const recurring = new Recurring({ most: REMEMBERED });

port.on("message", (order: PlaceOrder) => {
  if (order.type === "cancel") stop.abort(StaveError.from(order.error));
  else if (order.type === "bytes") {
    // Bytes after a failure are ignored.
    if (stream !== undefined && !stream.destroyed) stream.push(order.bytes === undefined ? null : joined(order.bytes));
    else if (order.bytes !== undefined)
      tell({ type: "taken", id: order.id, count: order.bytes.reduce((sum, { length }) => sum + length, 0) });
  } else void work(order);
});

async function work(order: PlaceOrder & { type: "place" | "finish" }): Promise<void> {
  const { id } = order;
  stop = new AbortController();
  const { signal } = stop;
  try {
    if (order.type === "finish") tell({ type: "finished", id, tree: await finishPlaced(order.job, signal) });
    else if (order.archive !== undefined) {
      const archive = asBuffer(order.archive);
      tell({
        type: "placed",
        id,
        tree: await placeArchive(archive, order.job, { signal, onTaken: release, recurring }),
      });
    } else {
      // In object mode, because otherwise waiting chunks would be copied into one.
      stream = new Readable({ read: () => {}, objectMode: true });
      const onTaken = (chunk: Buffer): void => {
        tell({ type: "taken", id, count: chunk.length });
        release(chunk);
      };
      tell({ type: "placed", id, tree: await placeArchive(stream, order.job, { signal, onTaken, recurring }) });
    }
  } catch (error) {
    tell({ type: "failed", id, error: plainError(error) });
  } finally {
    stream = undefined;
  }
}

function joined(parts: readonly Uint8Array[]): Buffer {
  const [only, ...others] = parts;
  if (only !== undefined && others.length === 0) return asBuffer(only);
  return joinAndRelease(parts);
}

// Messages keep the bytes but not the class.
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

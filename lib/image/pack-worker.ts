// A packing thread, started by pack-pool.ts: reads prefixes, and compresses pieces of any of them in between.
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort } from "node:worker_threads";
import { plainError } from "../util/plain-error.ts";
import type { Answer, Order } from "./pack-message.ts";
import { compress, readPieces } from "./piece-reader.ts";

if (parentPort === null) throw new Error("this file is started as a thread");
const port = parentPort;

interface Reading {
  windows: SharedArrayBuffer[];
  cancelled: boolean;
  wake: () => void;
}
const readings = new Map<number, Reading>();

port.on("message", (order: Order) => {
  if (order.type === "read") void read(order);
  else if (order.type === "compress") {
    const { id, sequence, piece, compression } = order;
    try {
      const bytes = compress(compression, piece);
      // The bytes are not copied: they belong to whoever receives the answer.
      tell({ type: "compressed", id, sequence, bytes, window: piece.window }, [bytes.buffer]);
    } catch (error) {
      tell({ type: "failed", id, during: "compress", error: plainError(error) });
    }
  } else {
    const reading = readings.get(order.id);
    if (reading === undefined) return;
    if (order.type === "window") reading.windows.push(order.window);
    else reading.cancelled = true;
    reading.wake();
  }
});

function tell(answer: Answer, gifts: ArrayBuffer[] = []): void {
  port.postMessage(answer, gifts);
}

async function read({ id, job, compression, windows }: Order & { type: "read" }): Promise<void> {
  const reading: Reading = { windows: [...windows], cancelled: false, wake: () => {} };
  readings.set(id, reading);
  const nextWindow = (): SharedArrayBuffer => {
    const window = compression === undefined ? reading.windows[0] : reading.windows.shift();
    if (window === undefined) throw new Error("a piece was read without a window for it");
    return window;
  };
  const pieces = readPieces(job, nextWindow);
  try {
    for (let sequence = 0; ; sequence++) {
      // Other orders are heard between pieces.
      await nextTurn();
      while (reading.windows.length === 0 && !reading.cancelled)
        await new Promise<void>((resolve) => {
          reading.wake = resolve;
        });
      if (reading.cancelled) break;
      const { done, value } = pieces.next();
      if (done) {
        tell({ type: "read", id, pieces: sequence, summary: value });
        break;
      }
      if (compression !== undefined) tell({ type: "piece", id, sequence, piece: value });
    }
  } catch (error) {
    tell({ type: "failed", id, during: "read", error: plainError(error) });
  } finally {
    pieces.return(undefined as never);
    readings.delete(id);
  }
}

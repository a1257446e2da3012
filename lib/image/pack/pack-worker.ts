// A packing thread, started by pack-pool.ts: reads a prefix and compresses pieces of any prefix in between.
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort } from "node:worker_threads";
import { plainError } from "../../util/plain-error.ts";
import { surveyPrefix } from "../archive/survey.ts";
import type { Answer, Order } from "./pack-message.ts";
import { compressInPlace, readPieces } from "./piece-reader.ts";

if (parentPort === null) throw new Error("this file is started as a thread");
const port = parentPort;

interface Reading {
  /** The windows that may be filled. */
  windows: number[];
  cancelled: boolean;
  wake: () => void;
}
const readings = new Map<number, Reading>();
const memories = new Map<number, SharedArrayBuffer>();

port.on("message", (order: Order) => {
  if (order.type === "memory") memories.set(order.window, order.memory);
  else if (order.type === "read") void read(order);
  else if (order.type === "compress") compress(order);
  else if (order.type === "survey") survey(order);
  else {
    const reading = readings.get(order.id);
    if (reading === undefined) {
      if (order.type === "window") tell({ type: "unused", windows: [order.window] });
      return;
    }
    if (order.type === "window") reading.windows.push(order.window);
    else reading.cancelled = true;
    reading.wake();
  }
});

function tell(answer: Answer): void {
  port.postMessage(answer);
}

function memoryOf(window: number): SharedArrayBuffer {
  const memory = memories.get(window);
  if (memory === undefined) throw new Error(`window ${window} is not known`);
  return memory;
}

function compress({ id, sequence, piece, compression }: Order & { type: "compress" }): void {
  const { window } = piece;
  try {
    const length = compressInPlace(compression, { ...piece, window: memoryOf(window) });
    tell({ type: "compressed", id, sequence, window, length });
  } catch (error) {
    tell({ type: "failed", id, during: "compress", error: plainError(error), window });
  }
}

function survey({ id, job }: Order & { type: "survey" }): void {
  try {
    tell({ type: "surveyed", id, survey: surveyPrefix(job) });
  } catch (error) {
    tell({ type: "failed", id, during: "survey", error: plainError(error) });
  }
}

async function read({ id, job, compression, windows }: Order & { type: "read" }): Promise<void> {
  const reading: Reading = { windows: [...windows], cancelled: false, wake: () => {} };
  readings.set(id, reading);
  // The window being filled.
  let current: number | undefined;
  const nextWindow = (): SharedArrayBuffer => {
    // If the pieces are not wanted, one window is reused for all of them.
    current = compression === undefined ? (current ?? reading.windows.shift()) : reading.windows.shift();
    if (current === undefined) throw new Error("a piece was read without a window for it");
    return memoryOf(current);
  };
  const pieces = readPieces(job, nextWindow);
  try {
    for (let sequence = 0; ; sequence++) {
      // Handles other messages between pieces.
      await nextTurn();
      while (compression !== undefined && reading.windows.length === 0 && !reading.cancelled)
        await new Promise<void>((resolve) => {
          reading.wake = resolve;
        });
      if (reading.cancelled) break;
      const { done, value } = pieces.next();
      if (done) {
        tell({ type: "read", id, pieces: sequence, summary: value });
        break;
      }
      if (compression === undefined || current === undefined) continue;
      tell({ type: "piece", id, sequence, piece: { ...value, window: current } });
      current = undefined;
    }
  } catch (error) {
    tell({ type: "failed", id, during: "read", error: plainError(error) });
  } finally {
    pieces.return(undefined as never);
    readings.delete(id);
    if (current !== undefined) reading.windows.push(current);
    tell({ type: "unused", windows: reading.windows });
  }
}

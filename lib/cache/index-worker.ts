// The thread that scans a large index while it arrives, started by index-scan.ts.
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { writeDirectory } from "./directory-writer.ts";
import { type ScanAnswer, type ScanOrder, STOPPED } from "./index-scan.ts";
import type { LongText } from "./json-scanner.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs as a thread");

port.once("message", (order: ScanOrder) => {
  const directory = writeDirectory(new ArrivingText(order), order);
  const answer: ScanAnswer = directory ?? "unusual";
  port.postMessage(answer, directory && [directory.buffer]);
});

/** A file that is read as it grows. */
class ArrivingText implements LongText {
  readonly size: number;
  readonly #order: ScanOrder;

  constructor(order: ScanOrder) {
    this.size = order.size;
    this.#order = order;
  }

  readInto(into: Buffer, from: number): number {
    const { arrived, descriptor } = this.#order;
    const most = Math.min(into.byteLength, this.size - from);
    for (let there = Atomics.load(arrived, 0); there < from + most; there = Atomics.load(arrived, 0)) {
      if (there === STOPPED) throw new Error("the index did not arrive");
      Atomics.wait(arrived, 0, there);
    }
    let filled = 0;
    while (filled < most) {
      const count = readSync(descriptor, into, filled, most - filled, from + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }
}

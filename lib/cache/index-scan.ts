// Scans a large index on a thread of its own, from the file that it arrives in: while one thread receives and hashes
// the bytes, the other finds the records.
import type { Worker } from "node:worker_threads";
import { startThread } from "../util/thread.ts";

/** What to scan; sent to the thread once. */
export interface ScanOrder {
  /** Open for reading until the scan is disposed of. */
  readonly descriptor: number;
  /** Bytes, once all have arrived. */
  readonly size: number;
  /** For messages. */
  readonly name: string;
  /** One number: how many bytes of the file may be read, or `STOPPED`. */
  readonly arrived: Int32Array<SharedArrayBuffer>;
}

/** The directory of the index, "unusual" if it can have none; undefined if the thread failed. */
export type ScanAnswer = Uint8Array | "unusual" | undefined;

/** No more bytes arrive. */
export const STOPPED = -1;

/** A scan under way. Its result is only as good as the bytes: the caller verifies them. */
export class IndexScan implements AsyncDisposable {
  readonly #arrived: ScanOrder["arrived"];
  readonly #worker: Worker;
  /** Settles after all bytes have arrived. */
  readonly answer: Promise<ScanAnswer>;

  private constructor(worker: Worker, { arrived }: ScanOrder) {
    this.#worker = worker;
    this.#arrived = arrived;
    this.answer = new Promise((resolve) => {
      worker.once("message", (answer: ScanAnswer) => resolve(answer));
      // The caller can do without the thread.
      for (const event of ["error", "messageerror", "exit"]) worker.once(event, () => resolve(undefined));
    });
  }

  /** Starts to scan a file that will have `size` bytes; undefined if there can be no thread. */
  static start(descriptor: number, size: number, name: string): IndexScan | undefined {
    const order: ScanOrder = { descriptor, size, name, arrived: new Int32Array(new SharedArrayBuffer(4)) };
    try {
      const worker = startThread(import.meta.url, "index-worker", "index");
      worker.postMessage(order);
      return new IndexScan(worker, order);
    } catch {
      return undefined;
    }
  }

  /** Says how many bytes of the file have arrived. */
  arrived(size: number): void {
    Atomics.store(this.#arrived, 0, size);
    Atomics.notify(this.#arrived, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.arrived(STOPPED);
    await this.#worker.terminate();
  }
}

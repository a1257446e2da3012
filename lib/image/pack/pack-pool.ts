// Manages the packing threads: a thread reads one prefix at a time, and the pieces of all prefixes go to the least busy
// thread for compression. The choice of thread does not affect the bytes.
import type { Worker } from "node:worker_threads";
import { messageOf, StaveError } from "../../errors.ts";
import { startThread } from "../../util/thread.ts";
import type { ArchiveJob, ArchiveSummary } from "../archive/archive.ts";
import type { Survey } from "../archive/survey.ts";
import { type Compression, DEFAULT_COMPRESSION } from "./compression.ts";
import type { Answer, Order } from "./pack-message.ts";
import { pieceIn, windowSizeOf } from "./piece-reader.ts";

/** Receives the result for a prefix: its pieces in any order, the end after the last one was read, or one failure. */
export interface PackReceiver {
  /** Each piece before it is compressed, in their order. The bytes are valid during the call only. */
  archived?(bytes: Uint8Array): void;
  /** A compressed piece. The bytes are in the memory of a window, which must be returned (see recycle). */
  piece(sequence: number, bytes: Uint8Array): void;
  end(pieces: number, summary: ArchiveSummary): void;
  fail(error: StaveError): void;
}

/** A prefix that is packed or waits to be packed. */
export interface PackTask {
  /** Reports that a piece was consumed, so that one more may be produced. */
  consumed(): void;
  /** Cancels; the receiver is not called any more. Does nothing once the task is done. */
  cancel(): void;
}

interface Task extends PackTask {
  readonly id: number;
  readonly job: ArchiveJob;
  readonly compression: Compression | undefined;
  readonly receiver: PackReceiver;
  reader: Thread | undefined;
  /** Pieces that were allowed, read or not, and not yet consumed. */
  underWay: number;
  /** Pieces that threads are compressing. */
  compressing: number;
}

interface Thread {
  readonly worker: Worker;
  /** The windows whose memory the thread knows. */
  readonly windows: Set<number>;
  reading: Task | undefined;
  compressing: number;
  surveying: number;
}

/** Each layer may have this many pieces in progress, however many layers there are. */
const LEAST_PIECES = 3;
/** Maximum number of pieces of one thread: one being compressed, one waiting. */
const MOST_COMPRESSING = 2;

/**
 * The packing threads. They start on demand, and keep the process alive only while something is being packed.
 *
 * Memory: at most `2 × threads + 2` pieces are in progress in total, or 3 per thread, whichever is more. A piece has 1
 * MiB for gzip and 2 MiB for zstd; its window is reused as soon as the receiver returns it.
 */
export class PackPool {
  readonly #size: number;
  readonly #threads = new Set<Thread>();
  readonly #waiting: Task[] = [];
  readonly #tasks = new Map<number, Task>();
  readonly #surveys = new Map<number, PromiseWithResolvers<Survey>>();
  readonly #pieces: (Answer & { type: "piece" })[] = [];
  // The memory of each window by number, and the reverse.
  readonly #memories: SharedArrayBuffer[] = [];
  readonly #numbers = new Map<ArrayBufferLike, number>();
  // Free windows, by size.
  readonly #free = new Map<number, number[]>();
  #nextId = 1;
  #closed = false;

  constructor(threads: number) {
    this.#size = Math.max(1, Math.floor(threads));
  }

  /** Packs a prefix as soon as a thread is free; without a compression only computes its summary. */
  pack(job: ArchiveJob, compression: Compression | undefined, receiver: PackReceiver): PackTask {
    if (this.#closed) throw new StaveError("INTERNAL", "the packing threads have been stopped");
    const id = this.#nextId++;
    const task: Task = {
      id,
      job,
      compression,
      receiver,
      reader: undefined,
      underWay: 0,
      compressing: 0,
      consumed: () => this.#consumed(task),
      cancel: () => this.#drop(task),
    };
    this.#tasks.set(id, task);
    this.#waiting.push(task);
    this.#assign();
    return task;
  }

  /** How many threads there may be. */
  get size(): number {
    return this.#size;
  }

  /** Surveys a prefix on the least busy thread. Throws as surveyPrefix does. */
  async survey(job: ArchiveJob): Promise<Survey> {
    if (this.#closed) throw new StaveError("INTERNAL", "the packing threads have been stopped");
    const load = ({ compressing, reading, surveying }: Thread): number => busy({ compressing, reading }) + surveying;
    const [best] = [...this.#threads].sort((a, b) => load(a) - load(b));
    const isFree = best !== undefined && (load(best) === 0 || this.#threads.size >= this.#size);
    const thread = isFree ? best : this.#start();
    const id = this.#nextId++;
    const answer = Promise.withResolvers<Survey>();
    this.#surveys.set(id, answer);
    thread.surveying++;
    thread.worker.postMessage({ type: "survey", id, job } satisfies Order);
    this.#assign();
    return await answer.promise.finally(() => {
      this.#surveys.delete(id);
      thread.surveying--;
      this.#assign();
    });
  }

  /** Takes back the memory of a piece, which must not be read any more; ignores other bytes. */
  recycle({ buffer }: Uint8Array): void {
    const window = this.#numbers.get(buffer);
    if (window !== undefined) this.#release(window);
  }

  /** Stops the threads; tasks in progress fail with ABORTED. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#failAll(new StaveError("ABORTED", "packing was stopped"));
    const threads = [...this.#threads];
    this.#threads.clear();
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  // Assigns waiting prefixes and pieces to free threads.
  #assign(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#threadToRead();
      const task = thread === undefined ? undefined : this.#waiting.shift();
      if (thread === undefined || task === undefined) break;
      thread.reading = task;
      task.reader = thread;
      const { id, job, compression } = task;
      task.underWay = compression === undefined ? 1 : this.#share();
      const windows = Array.from({ length: task.underWay }, () => this.#window(thread, compression));
      thread.worker.postMessage({ type: "read", id, job, compression, windows } satisfies Order);
    }
    while (this.#pieces.length > 0) {
      const thread = this.#threadToCompress();
      const next = thread === undefined ? undefined : this.#pieces.shift();
      if (thread === undefined || next === undefined) break;
      const { id, sequence, piece } = next;
      const compression = this.#tasks.get(id)?.compression;
      if (compression === undefined) {
        this.#release(piece.window);
        continue;
      }
      thread.compressing++;
      this.#introduce(thread, piece.window);
      thread.worker.postMessage({ type: "compress", id, sequence, piece, compression } satisfies Order);
    }
    const isBusy = this.#tasks.size + this.#surveys.size > 0;
    for (const { worker } of this.#threads) isBusy ? worker.ref() : worker.unref();
  }

  #threadToRead(): Thread | undefined {
    const free = [...this.#threads].filter(({ reading }) => reading === undefined);
    const [best] = free.sort((a, b) => a.compressing - b.compressing);
    if ((best === undefined || best.compressing > 0) && this.#threads.size < this.#size) return this.#start();
    return best;
  }

  #threadToCompress(): Thread | undefined {
    const free = [...this.#threads].filter(({ compressing }) => compressing < MOST_COMPRESSING);
    const [best] = free.sort((a, b) => busy(a) - busy(b));
    if ((best === undefined || busy(best) > 0) && this.#threads.size < this.#size) return this.#start();
    return best;
  }

  #start(): Thread {
    const worker = startThread(import.meta.url, "pack-worker", "pack");
    const thread: Thread = { worker, windows: new Set(), reading: undefined, compressing: 0, surveying: 0 };
    worker.on("message", (answer: Answer) => this.#heard(thread, answer));
    worker.on("error", (cause) => this.#lost(thread, messageOf(cause)));
    worker.on("messageerror", (cause) => this.#lost(thread, messageOf(cause)));
    worker.on("exit", (status) => this.#lost(thread, `exit status ${status}`));
    this.#threads.add(thread);
    return thread;
  }

  #heard(thread: Thread, answer: Answer): void {
    if (answer.type === "unused") {
      for (const window of answer.windows) this.#release(window);
      return;
    }
    if (answer.type === "surveyed") {
      this.#surveys.get(answer.id)?.resolve(answer.survey);
      return;
    }
    if (answer.type === "failed" && answer.during === "survey") {
      this.#surveys.get(answer.id)?.reject(StaveError.from(answer.error));
      return;
    }
    const task = this.#tasks.get(answer.id);
    if (answer.type === "piece") {
      if (task === undefined) this.#release(answer.piece.window);
      else {
        task.compressing++;
        const memory = this.#memories[answer.piece.window];
        if (memory !== undefined) task.receiver.archived?.(pieceIn({ ...answer.piece, window: memory }));
        this.#pieces.push(answer);
      }
    } else if (answer.type === "compressed") {
      thread.compressing--;
      const { window, length } = answer;
      const memory = this.#memories[window];
      if (task === undefined || memory === undefined) this.#release(window);
      else {
        task.compressing--;
        task.receiver.piece(answer.sequence, Buffer.from(memory, 0, length));
        this.#endIfDone(task);
      }
    } else if (answer.type === "read") {
      if (thread.reading === task) thread.reading = undefined;
      if (task !== undefined) {
        task.reader = undefined;
        task.receiver.end(answer.pieces, answer.summary);
        this.#endIfDone(task);
      }
    } else {
      if (answer.window !== undefined) this.#release(answer.window);
      if (answer.during === "compress") thread.compressing--;
      else if (thread.reading === task) thread.reading = undefined;
      if (task !== undefined) this.#fail(task, StaveError.from(answer.error));
    }
    this.#assign();
  }

  #endIfDone(task: Task): void {
    if (task.reader === undefined && task.compressing === 0) this.#tasks.delete(task.id);
  }

  #consumed(task: Task): void {
    task.underWay--;
    while (task.reader !== undefined && task.underWay < this.#share()) {
      task.underWay++;
      const window = this.#window(task.reader, task.compression);
      task.reader.worker.postMessage({ type: "window", id: task.id, window } satisfies Order);
    }
  }

  // A free window for a thread to fill.
  #window(thread: Thread, compression = DEFAULT_COMPRESSION): number {
    const size = windowSizeOf(compression);
    let window = this.#free.get(size)?.pop();
    if (window === undefined) {
      const memory = new SharedArrayBuffer(size);
      window = this.#memories.push(memory) - 1;
      this.#numbers.set(memory, window);
    }
    this.#introduce(thread, window);
    return window;
  }

  #introduce({ worker, windows }: Thread, window: number): void {
    const memory = this.#memories[window];
    if (memory === undefined || windows.has(window)) return;
    windows.add(window);
    worker.postMessage({ type: "memory", window, memory } satisfies Order);
  }

  #release(window: number): void {
    const size = this.#memories[window]?.byteLength ?? 0;
    const same = this.#free.get(size);
    if (same === undefined) this.#free.set(size, [window]);
    else same.push(window);
  }

  // How many pieces of one prefix may be in progress.
  #share(): number {
    const reading = [...this.#threads].filter((thread) => thread.reading !== undefined).length;
    return Math.max(LEAST_PIECES, Math.ceil((2 * this.#size + 2) / Math.max(1, reading)));
  }

  #fail(task: Task, error: StaveError): void {
    this.#drop(task);
    task.receiver.fail(error);
  }

  #drop(task: Task): void {
    if (!this.#tasks.delete(task.id)) return;
    if (task.reader !== undefined) {
      task.reader.worker.postMessage({ type: "cancel", id: task.id } satisfies Order);
      task.reader.reading = undefined;
    }
    const at = this.#waiting.indexOf(task);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#assign();
  }

  // A crashed thread: what it was working on cannot be told apart, so everything in progress fails.
  #lost(thread: Thread, why: string): void {
    if (!this.#threads.delete(thread)) return;
    const error = new StaveError("INTERNAL", `a packing thread stopped unexpectedly: ${why}`, {
      hint: "try again with a smaller `jobs`; it may have run out of memory",
    });
    this.#failAll(error);
  }

  #failAll(error: StaveError): void {
    for (const task of [...this.#tasks.values()]) this.#fail(task, error);
    for (const { reject } of this.#surveys.values()) reject(error);
  }
}

// A thread that reads a prefix starts on a piece later.
function busy({ compressing, reading }: Pick<Thread, "compressing" | "reading">): number {
  return compressing + (reading === undefined ? 0 : 0.5);
}

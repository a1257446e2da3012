// The placing threads: each works on one prefix at a time. The main thread forwards archives as they arrive, up to a
// megabyte ahead.
import type { Readable } from "node:stream";
import type { Worker } from "node:worker_threads";
import { messageOf, StaveError } from "../../errors.ts";
import { wholeMemory } from "../../util/free-chunks.ts";
import { Limit } from "../../util/limit.ts";
import { plainError } from "../../util/plain-error.ts";
import { startThread } from "../../util/thread.ts";
import type { FinishedTree, FinishJob, PlacedTree, PlaceJob } from "./place.ts";
import type { PlaceAnswer, PlaceOrder } from "./place-message.ts";

/** How many bytes of an archive may be sent ahead of the thread. */
const AHEAD = 1024 * 1024;
/** How many bytes go to a thread at once, and to its decompressor: each message and each call takes time. */
const MESSAGE = 256 * 1024;

/** Options for placing one archive. */
export interface PlaceOptions {
  /**
   * The size of the archive in bytes: the largest waiting one goes first, so that no thread works alone on it at the
   * end.
   */
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes consumed. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/** Threads that place prefixes. They start on demand; dispose of the pool to stop them. */
export class PlacePool implements AsyncDisposable {
  readonly #limit: Limit;
  readonly #idle: Thread[] = [];
  readonly #all = new Set<Thread>();

  constructor(threads: number) {
    this.#limit = new Limit(threads);
  }

  /** As placeArchive, on a thread: of a stream that is opened when one is free, or of bytes, which it takes over. */
  async place(
    archive: Buffer | (() => Promise<Readable>),
    job: PlaceJob,
    options: PlaceOptions = {},
  ): Promise<PlacedTree> {
    return await this.#with(-(options.size ?? 0), options.signal, (thread) =>
      Buffer.isBuffer(archive) ? thread.placeWhole(archive, job, options) : thread.place(archive, job, options),
    );
  }

  /** As finishPlaced, on a thread, ahead of waiting archives because other specs may depend on it. */
  async finish(job: FinishJob, signal?: AbortSignal): Promise<FinishedTree> {
    return await this.#with(Number.NEGATIVE_INFINITY, signal, (thread) => thread.finish(job, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const threads = [...this.#all];
    this.#all.clear();
    await Promise.all(threads.map((thread) => thread.end()));
  }

  async #with<T>(priority: number, signal: AbortSignal | undefined, work: (thread: Thread) => Promise<T>): Promise<T> {
    return await this.#limit.run(
      async () => {
        const thread = this.#takeIdle() ?? new Thread();
        this.#all.add(thread);
        try {
          return await work(thread);
        } finally {
          if (thread.isBroken) this.#all.delete(thread);
          else this.#idle.push(thread);
        }
      },
      { priority, signal },
    );
  }

  // A thread that died while idle would never answer.
  #takeIdle(): Thread | undefined {
    for (let thread = this.#idle.pop(); thread !== undefined; thread = this.#idle.pop()) {
      if (!thread.isBroken) return thread;
      this.#all.delete(thread);
    }
    return undefined;
  }
}

class Thread {
  readonly #worker: Worker;
  #id = 0;
  #hear: (answer: PlaceAnswer) => void = () => {};
  #fail: (error: StaveError) => void = () => {};
  #loss: StaveError | undefined;

  constructor() {
    this.#worker = startThread(import.meta.url, "place-worker", "place");
    this.#worker.unref();
    this.#worker.on("message", (answer: PlaceAnswer) => {
      if (answer.id === this.#id) this.#hear(answer);
    });
    this.#worker.on("error", (cause) => this.#lost(messageOf(cause)));
    this.#worker.on("messageerror", (cause) => this.#lost(messageOf(cause)));
    this.#worker.on("exit", (status) => this.#lost(`exit status ${status}`));
  }

  /** True if the thread died and will not answer. */
  get isBroken(): boolean {
    return this.#loss !== undefined;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async place(open: () => Promise<Readable>, job: PlaceJob, options: PlaceOptions): Promise<PlacedTree> {
    const stream = await open();
    try {
      return await this.#place(stream, job, options);
    } finally {
      // The job may have failed while the stream was being opened.
      stream.destroy();
    }
  }

  /** An archive in memory goes with the order: three messages less. */
  async placeWhole(archive: Buffer, job: PlaceJob, { signal, onBytes }: PlaceOptions): Promise<PlacedTree> {
    const size = archive.length;
    const memory = wholeMemory(archive);
    const order = { type: "place", id: ++this.#id, job, archive } as const;
    const placed = placedTree(await this.#ask(order, signal, () => {}, memory && [memory]));
    onBytes?.(size);
    return placed;
  }

  async #place(stream: Readable, job: PlaceJob, { signal, onBytes }: PlaceOptions): Promise<PlacedTree> {
    let ahead = 0;
    let wake = (): void => {};
    const answer = this.#ask({ type: "place", id: ++this.#id, job }, signal, (count) => {
      ahead -= count;
      onBytes?.(count);
      wake();
    });
    const id = this.#id;
    let isOver = false;
    const over = answer.then(
      () => {},
      () => {
        isOver = true;
        wake();
        stream.destroy();
      },
    );
    let parts: Buffer[] = [];
    let size = 0;
    const send = (): void => {
      ahead += size;
      this.#send(
        { type: "bytes", id, bytes: parts },
        parts.flatMap((part) => wholeMemory(part) ?? []),
      );
      parts = [];
      size = 0;
    };
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        parts.push(chunk);
        size += chunk.length;
        if (size < MESSAGE) continue;
        send();
        while (ahead > AHEAD && !isOver)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
      if (size > 0) send();
      this.#send({ type: "bytes", id, bytes: undefined });
    } catch (error) {
      // If the stream was destroyed because the thread failed, the thread's error is the cause.
      if (!isOver) {
        this.#send({ type: "cancel", id, error: plainError(error) });
        await over;
        throw error;
      }
    }
    return placedTree(await answer);
  }

  async finish(job: FinishJob, signal: AbortSignal | undefined): Promise<FinishedTree> {
    const answer = await this.#ask({ type: "finish", id: ++this.#id, job }, signal, () => {});
    if (answer.type === "finished") return answer.tree;
    throw new StaveError("INTERNAL", `a placing thread answered ${answer.type}`);
  }

  // Moved buffers are transferred: no copy, nothing to collect.
  #send(order: PlaceOrder, moved: ArrayBuffer[] = []): void {
    this.#worker.postMessage(order, moved);
  }

  #ask(
    order: PlaceOrder & { type: "place" | "finish" },
    signal: AbortSignal | undefined,
    onTaken: (count: number) => void,
    moved?: ArrayBuffer[],
  ): Promise<PlaceAnswer> {
    signal?.throwIfAborted();
    if (this.#loss !== undefined) throw this.#loss;
    const { promise, resolve, reject } = Promise.withResolvers<PlaceAnswer>();
    this.#hear = (answer) => {
      if (answer.type === "taken") onTaken(answer.count);
      else if (answer.type === "failed") reject(StaveError.from(answer.error));
      else resolve(answer);
    };
    this.#fail = reject;
    const onAbort = (): void => this.#send({ type: "cancel", id: order.id, error: plainError(signal?.reason) });
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#worker.ref();
    this.#send(order, moved);
    return promise.finally(() => {
      signal?.removeEventListener("abort", onAbort);
      this.#worker.unref();
      this.#fail = () => {};
    });
  }

  #lost(why: string): void {
    this.#loss ??= new StaveError("INTERNAL", `a placing thread ended: ${why}`, {
      hint: "try again with a smaller `jobs`; it may have run out of memory",
    });
    this.#fail(this.#loss);
  }
}

function placedTree(answer: PlaceAnswer): PlacedTree {
  if (answer.type === "placed") return answer.tree;
  throw new StaveError("INTERNAL", `a placing thread answered ${answer.type}`);
}

// Compares passwords on a separate thread, one at a time, with a bounded queue that serves clients in turn.
import type { Worker } from "node:worker_threads";
import { messageOf, StaveError } from "../errors.ts";
import { startThread } from "../util/thread.ts";
import type { PasswordAnswer, PasswordOrder } from "./password-message.ts";
import { Refusal } from "./refusal.ts";

/** Maximum number of waiting passwords, in total and per client. */
const MAX_WAITING = 512;
const MAX_WAITING_OF_CLIENT = 64;

interface Waiting {
  readonly password: string;
  readonly hash: string;
  readonly resolve: (isRight: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** The thread and its queue. */
export class Passwords {
  #worker: Worker | undefined;
  #running: Waiting | undefined;
  #id = 0;
  /** By client, in order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  #total = 0;

  /**
   * Compares a password; refuses with status 429 if too many are waiting. Clients take turns; of one client the newest
   * request goes first.
   */
  compare(client: string, password: string, hash: string): Promise<boolean> {
    const own = this.#waiting.get(client) ?? [];
    if (this.#total >= MAX_WAITING || own.length >= MAX_WAITING_OF_CLIENT)
      throw new Refusal("TOOMANYREQUESTS", "too many passwords are being checked", { headers: { "retry-after": "1" } });
    return new Promise((resolve, reject) => {
      own.push({ password, hash, resolve, reject });
      this.#waiting.set(client, own);
      this.#total++;
      this.#next();
    });
  }

  #next(): void {
    if (this.#running !== undefined) return;
    const [turn] = this.#waiting;
    if (turn === undefined) return;
    const [client, own] = turn;
    this.#waiting.delete(client);
    // The newest first, so that a client that floods the queue delays only itself.
    const task = own.pop();
    if (own.length > 0) this.#waiting.set(client, own);
    if (task === undefined) return;
    this.#total--;
    this.#running = task;
    this.#worker ??= this.#start();
    const { password, hash } = task;
    this.#worker.postMessage({ id: ++this.#id, password, hash } satisfies PasswordOrder);
  }

  #start(): Worker {
    const worker = startThread(import.meta.url, "password-worker", "password");
    worker.unref();
    worker.on("message", ({ id, isRight }: PasswordAnswer) => {
      if (id !== this.#id) return;
      const task = this.#running;
      this.#running = undefined;
      task?.resolve(isRight);
      this.#next();
    });
    const onEnd = (why: string) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const task = this.#running;
      this.#running = undefined;
      task?.reject(new StaveError("INTERNAL", `the password thread stopped unexpectedly: ${why}`));
      this.#next();
    };
    worker.on("error", (cause) => onEnd(messageOf(cause)));
    worker.on("exit", (status) => onEnd(`exit status ${status}`));
    return worker;
  }

  /** Stops the thread; waiting requests are refused. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    const left = [...this.#waiting.values()].flat();
    if (this.#running) left.push(this.#running);
    this.#waiting.clear();
    this.#running = undefined;
    for (const { reject } of left) reject(new Refusal("TOOMANYREQUESTS", "the registry is closing", { status: 503 }));
    await worker?.terminate();
  }
}

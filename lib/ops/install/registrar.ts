// Records installed specs in the database: everything since the last write in one write, so that a large database does
// not slow down many small packages.
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { Change } from "../../store/change-records.ts";
import { type UpdateOptions, updateDatabase } from "../../store/write-database.ts";

/** The least time between two writes, in milliseconds: other processes may wait for what was installed. */
const PAUSE = 250;
/** Pause after each write, as a multiple of its duration. */
const SHARE = 9;

/** Collects changes of the database and writes them together. */
export class Registrar {
  readonly #store: Store;
  readonly #options: UpdateOptions;
  #waiting: Change[] = [];
  #next: Promise<void> | undefined;
  #hurry = new AbortController();
  #last: Promise<void> = Promise.resolve();
  #pause = PAUSE;
  #failure: { readonly error: unknown } | undefined;

  constructor(store: Store, options: UpdateOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * Records a spec that this run has checked and put in place, after all earlier ones; resolves when the database has
   * it. The run must hold the lock of its prefix until then. Throws as updateDatabase, and then for all later specs,
   * because they may depend on what was not recorded.
   */
  add(node: SpecNode, explicit: boolean | undefined): Promise<void> {
    const added = { op: "add", node, isPlaced: true } as const;
    return this.#change(explicit === undefined ? added : { ...added, explicit });
  }

  /** Records that the user requested a spec that was already installed. */
  mark(hash: string): Promise<void> {
    return this.#change({ op: "mark", hash, explicit: true });
  }

  /** Writes what has been collected now, because nothing more is expected soon. */
  flush(): void {
    this.#hurry.abort();
  }

  #change(change: Change): Promise<void> {
    this.#waiting.push(change);
    this.#next ??= this.#write();
    return this.#next;
  }

  async #write(): Promise<void> {
    this.#hurry = new AbortController();
    // A flush ends the pause early.
    await this.#options.clock.sleep(this.#pause, this.#hurry.signal).catch(() => {});
    await this.#last;
    const changes = this.#waiting;
    this.#waiting = [];
    // Later changes go into the next write.
    this.#next = undefined;
    if (this.#failure) throw this.#failure.error;
    const started = this.#options.clock.now();
    const write = updateDatabase(this.#store, this.#options, () => changes);
    this.#last = write.then(
      () => {},
      (error: unknown) => {
        this.#failure = { error };
      },
    );
    await write;
    this.#pause = Math.max(PAUSE, SHARE * (this.#options.clock.now() - started));
  }
}

// Tells the install database of what was installed: all that has come together since the last write in one write, so that a
// large database does not hold up many small packages, and a kill loses little.
import type { SpecNode } from "../spack/node.ts";
import type { Store } from "../spack/store.ts";
import type { StoreLocks } from "../store/locks.ts";
import type { Change } from "../store/records.ts";
import { updateDatabase } from "../store/update.ts";
import type { Clock } from "../util/time.ts";

/** After a write it is waited for so many times as long as that took. */
const SHARE = 4;

export class Registrar {
  readonly #store: Store;
  readonly #locks: StoreLocks;
  readonly #clock: Clock;
  #waiting: Change[] = [];
  #next: Promise<void> | undefined;
  #pause = 0;

  constructor(store: Store, locks: StoreLocks, clock: Clock) {
    this.#store = store;
    this.#locks = locks;
    this.#clock = clock;
  }

  /** Records a spec that is in its place; done when the database says so. Throws as updateDatabase. */
  add(node: SpecNode, explicit: boolean | undefined): Promise<void> {
    return this.#change(explicit === undefined ? { op: "add", node } : { op: "add", node, explicit });
  }

  /** Records that the user asked for a spec that was there. */
  mark(hash: string): Promise<void> {
    return this.#change({ op: "mark", hash, explicit: true });
  }

  #change(change: Change): Promise<void> {
    this.#waiting.push(change);
    this.#next ??= this.#write();
    return this.#next;
  }

  async #write(): Promise<void> {
    await this.#clock.sleep(this.#pause);
    const changes = this.#waiting;
    this.#waiting = [];
    // Whoever comes from here on is written next.
    this.#next = undefined;
    const started = this.#clock.now();
    await updateDatabase(this.#store, { clock: this.#clock, locks: this.#locks }, () => changes);
    this.#pause = SHARE * (this.#clock.now() - started);
  }
}

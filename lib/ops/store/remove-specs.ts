// Removes installed specs from a store, in the order of locks and steps of store/protocol.ts.
import { access, constants } from "node:fs/promises";
import { aggregate, fileError, type StaveError } from "../../errors.ts";
import { topological } from "../../spack/spec/traversal.ts";
import type { Database, InstallRecord } from "../../spack/store/database.ts";
import type { Store } from "../../spack/store/store.ts";
import { LatestStore } from "../../store/latest-store.ts";
import type { SpecLock, StoreLocks } from "../../store/locks.ts";
import { readNote, removeNote, writeNote } from "../../store/notes.ts";
import { placeInStore } from "../../store/prefix-place.ts";
import { type Actions, carryOut, type UninstallStep, uninstalling } from "../../store/protocol.ts";
import { settle } from "../../store/recover.ts";
import { StagedPrefix } from "../../store/staged-prefix.ts";
import { LockedDatabase } from "../../store/write-database.ts";
import type { Clock } from "../../util/time.ts";

/** One spec that is or was removed. */
export interface UninstalledSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** Null for an external that is known only by its modules. */
  readonly prefix: string | null;
  /** Only its record is removed: Spack did not install it. */
  readonly external: boolean;
  /** It was not named, but depends on a spec that was. */
  readonly dependent: boolean;
}

/** Where specs are removed. */
export interface RemovalOptions {
  readonly store: Store;
  readonly locks: StoreLocks;
  readonly clock: Clock;
}

/** What to remove. */
export interface Removal {
  /** Dependents first. */
  readonly specs: readonly UninstalledSpec[];
  /** Decides again once the database is locked; chooses among the specs whose locks are held. */
  readonly choose: (database: Database, held: ReadonlySet<string>) => readonly UninstalledSpec[];
  /** Leaves out specs that another process has locked, instead of waiting for them. */
  readonly skipsLocked?: boolean;
}

/** Records as specs to remove, dependents first. */
export function uninstalledSpecs(
  records: readonly InstallRecord[],
  isDependent: (hash: string) => boolean = () => false,
): UninstalledSpec[] {
  const all = new Map(records.map((record) => [record.node.hash, record]));
  return topological(records.map(({ node }) => node)).flatMap((node) => {
    const record = all.get(node.hash);
    if (record === undefined) return [];
    const { name, version, hash } = node;
    const external = node.external !== undefined;
    return [{ name, version, hash, prefix: record.path, external, dependent: isDependent(hash) }];
  });
}

/**
 * Moves prefixes away, updates the database, and deletes the files. Returns the specs that were removed. Throws what
 * `choose` throws, and PARTIAL if prefixes could not be deleted.
 */
export async function removeSpecs(options: RemovalOptions, removal: Removal): Promise<readonly UninstalledSpec[]> {
  const { specs, skipsLocked = false } = removal;
  if (specs.length === 0) return [];
  const run = new UninstallRun(options, removal);
  try {
    const hashes = specs.map(({ hash }) => hash);
    await carryOut(uninstalling(hashes, { skipsLocked }), run.actions());
  } finally {
    await run.end();
  }
  if (run.failures.length > 0) throw aggregate(run.failures, "prefixes to be removed");
  return run.chosen;
}

// Carries out the steps of the protocol.
class UninstallRun {
  readonly failures: StaveError[] = [];
  chosen: readonly UninstalledSpec[] = [];
  readonly #options: RemovalOptions;
  readonly #removal: Removal;
  readonly #held = new Map<string, SpecLock[]>();
  readonly #places = new Map<string, StagedPrefix>();
  #database: LockedDatabase | undefined;

  constructor(options: RemovalOptions, removal: Removal) {
    this.#options = options;
    this.#removal = removal;
  }

  actions(): Actions<UninstallStep> {
    const { store, locks, clock } = this.#options;
    return {
      tryLocks: async (hash) => {
        const held: SpecLock[] = [];
        this.#held.set(hash, held);
        for (const kind of ["work", "prefix"] as const) {
          const lock = await locks.trySpec(kind, hash);
          if (lock !== undefined) held.push(lock);
          else this.#unlock(hash);
          if (lock === undefined) return false;
        }
        return true;
      },
      awaitLocks: async (hash) => {
        for (const kind of ["work", "prefix"] as const) (await locks.spec(kind, hash, "exclusive"))?.release();
      },
      unlock: (hash) => this.#unlock(hash),
      lockDatabase: async () => {
        const { specs, choose } = this.#removal;
        for (const { hash, prefix, external } of specs)
          if (!external && prefix !== null && this.#held.has(hash))
            this.#places.set(hash, await removable(store, hash, prefix));
        this.#database = await LockedDatabase.open(store, { locks, clock });
        this.chosen = choose(this.#database.database, new Set(this.#held.keys()));
      },
      unlockDatabase: () => this.#unlockDatabase(),
      isChosen: (hash) => this.chosen.some((spec) => spec.hash === hash),
      note: async (hash) => {
        const place = this.#places.get(hash);
        if (place) await writeNote(store, hash, place.prefix);
      },
      moveAside: async (hash) => void (await this.#places.get(hash)?.moveAside()),
      forget: async () => {
        await this.#database?.write(this.chosen.map(({ hash }) => ({ op: "remove", hash })));
      },
      clear: async (hash) => {
        const place = this.#places.get(hash);
        this.#places.delete(hash);
        try {
          await place?.clear();
          if (place) removeNote(store, hash);
        } catch (error) {
          this.failures.push(fileError(error, "remove", hash));
        }
      },
    };
  }

  /** Releases all locks, after undoing unfinished steps. */
  async end(): Promise<void> {
    try {
      const { store } = this.#options;
      if (this.#places.size > 0) {
        const latest = await new LatestStore(store).get();
        for (const [hash, place] of this.#places)
          if (readNote(store, hash) !== undefined) await settle(store, latest, hash, place);
      }
    } catch {
      // The notes stay, so the next run repairs it.
    } finally {
      await this.#unlockDatabase();
      for (const hash of this.#held.keys()) this.#unlock(hash);
    }
  }

  #unlock(hash: string): void {
    for (const lock of this.#held.get(hash) ?? []) lock.release();
    this.#held.delete(hash);
  }

  async #unlockDatabase(): Promise<void> {
    await this.#database?.[Symbol.asyncDispose]();
    this.#database = undefined;
  }
}

// The place of a prefix. The removal must be possible on disk before the database is changed.
async function removable(store: Store, hash: string, prefix: string): Promise<StagedPrefix> {
  const { parent } = await placeInStore(store, prefix);
  try {
    await access(parent, constants.W_OK);
  } catch (cause) {
    const error = fileError(cause, "write", parent);
    // A prefix that is already gone needs no permission.
    if (error.code !== "NOT_FOUND") throw error;
  }
  return await StagedPrefix.at(store, hash, prefix);
}

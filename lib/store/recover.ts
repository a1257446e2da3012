// What killed runs left in a store: found by the notes they made, and put right by the next run that writes.
import { isStaveError } from "../errors.ts";
import type { Store } from "../spack/store/store.ts";
import { LatestStore } from "./latest.ts";
import type { SpecLock, StoreLocks } from "./locks.ts";
import { notedSpecs, readNote, removeNote } from "./notes.ts";
import { carryOut, recovering } from "./protocol.ts";
import { StagedPrefix } from "./staged-prefix.ts";

/** A spec that a killed run left in between. */
export interface Interrupted {
  readonly hash: string;
  /** Its recorded prefix; empty when the run had not come that far. */
  readonly prefix: string;
}

/** The specs that runs were killed at, in order of their hashes. Changes nothing. Throws FILE_SYSTEM. */
export async function interruptedSpecs(store: Store, locks: StoreLocks): Promise<Interrupted[]> {
  const found: Interrupted[] = [];
  for (const hash of notedSpecs(store)) {
    if (await locks.isWorkedOn(hash)) continue;
    const prefix = readNote(store, hash);
    if (prefix !== undefined) found.push({ hash, prefix });
  }
  return found;
}

/**
 * Makes the places of all specs that killed runs left in between what the database says: a prefix that it has comes back, what
 * it does not have is removed. Leaves alone what others work on. Tells how many there were. Throws FILE_SYSTEM, and as
 * Store.open.
 */
export async function recoverStore(store: Store, locks: StoreLocks): Promise<number> {
  // Without locks nothing tells what is in use.
  if (!locks.isEnabled) return 0;
  const latest = new LatestStore(store);
  let count = 0;
  for (const hash of notedSpecs(store)) if (await recoverSpec(store, locks, latest, hash)) count++;
  return count;
}

async function recoverSpec(store: Store, locks: StoreLocks, latest: LatestStore, hash: string): Promise<boolean> {
  const held: SpecLock[] = [];
  const unlock = (): void => {
    for (const lock of held) lock.release();
  };
  let place: StagedPrefix | undefined;
  try {
    return await carryOut(recovering(hash), {
      tryLocks: async () => {
        for (const kind of ["work", "prefix"] as const) {
          const lock = await locks.trySpec(kind, hash);
          if (lock === undefined) return false;
          held.push(lock);
        }
        place = await noted(store, hash);
        return true;
      },
      isRecorded: async () => isRecorded(await latest.get(), hash, place),
      moveBack: () => place?.moveBack(),
      moveAside: async () => void (await place?.moveAside()),
      clear: async () => {
        await place?.clear();
        removeNote(store, hash);
      },
      unlock,
    });
  } finally {
    unlock();
  }
}

// Whether a database has a spec in a place.
function isRecorded(store: Store, hash: string, place: Pick<StagedPrefix, "prefix"> | undefined): boolean {
  const record = store.get(hash);
  return record?.installed === true && record.database === 0 && record.path === place?.prefix;
}

/**
 * Makes the place of a spec what the database says, after something failed. The caller has both locks. Throws FILE_SYSTEM, and
 * as Store.open.
 */
export async function settle(store: Store, hash: string, place: StagedPrefix): Promise<void> {
  if (isRecorded(store, hash, place)) await place.moveBack();
  else await place.moveAside();
  await place.clear();
  removeNote(store, hash);
}

// A note that was cut off, or leads out of the store, is of nothing that was made.
async function noted(store: Store, hash: string): Promise<StagedPrefix | undefined> {
  const prefix = readNote(store, hash);
  if (!prefix) return undefined;
  try {
    return await StagedPrefix.at(store, hash, prefix);
  } catch (error) {
    if (isStaveError(error, "FILE_SYSTEM")) return undefined;
    throw error;
  }
}

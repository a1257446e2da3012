// Repairs what killed runs left in a store: the next run that writes finds it by their notes.
import type { Store } from "../spack/store/store.ts";
import { LatestStore, type RecordLookup } from "./latest-store.ts";
import type { SpecLock, StoreLocks } from "./locks.ts";
import { notedSpecs, readNote, removeNote } from "./notes.ts";
import { carryOut, recovering } from "./protocol.ts";
import { StagedPrefix } from "./staged-prefix.ts";

/** A spec that a killed run left unfinished. */
export interface Interrupted {
  readonly hash: string;
  /** Its recorded prefix; empty if the note is malformed. */
  readonly prefix: string;
}

/** The specs that killed runs left unfinished, by hash. Changes nothing. Throws FILE_SYSTEM. */
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
 * Brings the places of all unfinished specs in line with the database: a prefix that it has is moved back, one that it
 * lacks is removed. Skips specs that other runs work on. Returns the number of repaired specs. Throws FILE_SYSTEM, as
 * Store.open, and between two specs the signal's reason.
 */
export async function recoverStore(store: Store, locks: StoreLocks, signal?: AbortSignal): Promise<number> {
  // Without locks, nothing shows what is in use.
  if (!locks.isEnabled) return 0;
  const latest = new LatestStore(store);
  let count = 0;
  for (const hash of notedSpecs(store)) {
    signal?.throwIfAborted();
    if (await recoverSpec(store, locks, latest, hash)) count++;
  }
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

// True if the database has a spec in this place.
function isRecorded(records: RecordLookup, hash: string, place: Pick<StagedPrefix, "prefix"> | undefined): boolean {
  const record = records.get(hash);
  return record?.installed === true && record.database === 0 && record.path === place?.prefix;
}

/**
 * Brings the place of a spec in line with the database after a failure. The caller holds both locks. Throws
 * FILE_SYSTEM.
 */
export async function settle(store: Store, records: RecordLookup, hash: string, place: StagedPrefix): Promise<void> {
  if (isRecorded(records, hash, place)) await place.moveBack();
  else await place.moveAside();
  await place.clear();
  removeNote(store, hash);
}

// A note that is malformed or points outside the store belongs to no prefix that was created. After any other failure
// the note must stay: the prefix may lie beside a place that cannot be read now.
async function noted(store: Store, hash: string): Promise<StagedPrefix | undefined> {
  const prefix = readNote(store, hash);
  return prefix ? await StagedPrefix.ifInside(store, hash, prefix) : undefined;
}

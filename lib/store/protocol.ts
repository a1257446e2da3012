// The order of locks and steps in which prefixes are installed and removed, as generators of steps. The operations
// carry out the steps; a test runs them in all interleavings and with all kills.
//
// A spec has two locks. The work lock excludes other stave runs as long as any files of the spec lie beside its place.
// The prefix lock is Spack's: shared, it protects the prefix from removal; exclusive, it allows changes.
//
// - Waiting follows the order of the DAG only: a holder of a work lock waits for dependencies, never for dependents.
// - The exclusive prefix lock is taken last, and held until the database has the spec, because Spack removes the prefix
// of a spec that is not recorded. While it is held, no other spec is waited for.
// - The shared lock is held to the end of the run, as in Spack, so that the dependencies of a new spec stay.
// - An uninstallation waits only while it holds none of its locks.

/** One step on one spec. Some steps return a boolean. */
export interface Step<Name extends string> {
  readonly name: Name;
  readonly hash: string;
}

/** The steps of an installation. */
export type InstallStep =
  /** True if the database has the spec and its prefix is in place. */
  | "isThere"
  /** Waits for the shared prefix lock. */
  | "lockShared"
  /** Waits for the work lock; false if the spec is installed by then. */
  | "lockWork"
  /** Waits for the exclusive prefix lock; false if the spec is installed by then. */
  | "lockExclusive"
  /** Writes the note that lets a later run find what a killed one left; true if there was one already. */
  | "note"
  /** Removes the note. */
  | "unnote"
  /** Creates the prefix beside its place. */
  | "place"
  /** Waits until every dependency is in place. */
  | "awaitDependencies"
  /** Finishes the new prefix, which may need its dependencies. */
  | "finish"
  /** Removes the new prefix. */
  | "discard"
  /** Moves an existing prefix out of its place. */
  | "moveAside"
  /** Moves the new prefix into its place. */
  | "commit"
  /** Adds it to the database. */
  | "record"
  /** Removes what lies beside the place, and the note. */
  | "clear"
  /** Turns the exclusive prefix lock into a shared one. */
  | "share"
  | "unlockPrefix"
  | "unlockWork";

/** Installs one spec. Ends with the shared prefix lock held; returns whether it was installed now or before. */
export function* installing(
  hash: string,
  { dependenciesFirst = false }: { dependenciesFirst?: boolean } = {},
): Generator<Step<InstallStep>, "installed" | "present", boolean> {
  const step = (name: InstallStep): Step<InstallStep> => ({ name, hash });
  for (;;) {
    if (yield step("isThere")) {
      yield step("lockShared");
      // It may have been removed before the lock was taken.
      if (yield step("isThere")) return "present";
      yield step("unlockPrefix");
    }
    // Replacing a spec waits for its users. They may wait for one of its dependents, so that must not be locked yet.
    if (dependenciesFirst) yield step("awaitDependencies");
    if (!(yield step("lockWork"))) continue;
    if (yield step("isThere")) {
      yield step("unlockWork");
      continue;
    }
    const isLeft = yield step("note");
    yield step("place");
    yield step("awaitDependencies");
    yield step("finish");
    const isLocked = yield step("lockExclusive");
    if (isLocked && !(yield step("isThere"))) {
      yield step("moveAside");
      yield step("commit");
      yield step("record");
      yield step("clear");
      yield step("unlockWork");
      yield step("share");
      return "installed";
    }
    yield step("discard");
    // Leftovers of an earlier killed run are repaired by the next run.
    if (!isLeft) yield step("unnote");
    yield step("unlockWork");
    if (isLocked) yield step("unlockPrefix");
  }
}

/** The steps of an uninstallation. */
export type UninstallStep =
  /** Takes both locks of a spec without waiting; false if either is taken. */
  | "tryLocks"
  /** Waits until both locks of a spec are free. */
  | "awaitLocks"
  /** Releases both locks, if held. */
  | "unlock"
  | "lockDatabase"
  | "unlockDatabase"
  /** True if a spec is still to be removed according to the locked database. */
  | "isChosen"
  | "note"
  /** Moves the prefix out of its place. */
  | "moveAside"
  /** Writes the database without the chosen specs. */
  | "forget"
  /** Removes what lies beside the place, and the note. */
  | "clear";

/** Uninstalls specs, dependents first; waits for those that are locked, or leaves them out. */
export function* uninstalling(
  hashes: readonly string[],
  { skipsLocked = false }: { skipsLocked?: boolean } = {},
): Generator<Step<UninstallStep>, void, boolean> {
  const held = skipsLocked ? yield* lockFree(hashes) : yield* lockAll(hashes);
  const [first] = held;
  if (first === undefined) return;
  yield { name: "lockDatabase", hash: first };
  const chosen: string[] = [];
  for (const hash of held) if (yield { name: "isChosen", hash }) chosen.push(hash);
  for (const hash of chosen) {
    yield { name: "note", hash };
    yield { name: "moveAside", hash };
  }
  yield { name: "forget", hash: first };
  yield { name: "unlockDatabase", hash: first };
  for (const hash of chosen) yield { name: "clear", hash };
  for (const hash of held) yield { name: "unlock", hash };
}

function* lockAll(hashes: readonly string[]): Generator<Step<UninstallStep>, readonly string[], boolean> {
  for (let held: string[] = []; held.length < hashes.length; ) {
    const next = hashes[held.length] ?? "";
    if (yield { name: "tryLocks", hash: next }) {
      held.push(next);
      continue;
    }
    for (const hash of held) yield { name: "unlock", hash };
    held = [];
    yield { name: "awaitLocks", hash: next };
  }
  return hashes;
}

function* lockFree(hashes: readonly string[]): Generator<Step<UninstallStep>, readonly string[], boolean> {
  const held: string[] = [];
  for (const hash of hashes) if (yield { name: "tryLocks", hash }) held.push(hash);
  return held;
}

/** The steps that repair what a killed run left of a spec. */
export type RecoverStep =
  /** Takes both locks without waiting; false if another run works on the spec. */
  | "tryLocks"
  /** True if the database has the spec in this place. */
  | "isRecorded"
  /** Moves the prefix back, if nothing took its place. */
  | "moveBack"
  /** Moves a prefix that no database has out of its place. */
  | "moveAside"
  /** Removes what lies beside the place, and the note. */
  | "clear"
  | "unlock";

/** Brings the place of a spec with a note in line with the database. Returns false if another run works on it. */
export function* recovering(hash: string): Generator<Step<RecoverStep>, boolean, boolean> {
  const step = (name: RecoverStep): Step<RecoverStep> => ({ name, hash });
  if (!(yield step("tryLocks"))) return false;
  yield step((yield step("isRecorded")) ? "moveBack" : "moveAside");
  yield step("clear");
  yield step("unlock");
  return true;
}

/** The implementations of the steps. */
export type Actions<Name extends string> = Readonly<Record<Name, (hash: string) => unknown>>;

/** Runs the steps one after the other. Throws what a step throws. */
export async function carryOut<Name extends string, T>(
  steps: Generator<Step<Name>, T, boolean>,
  actions: Actions<Name>,
): Promise<T> {
  let next = steps.next();
  while (!next.done) {
    const { name, hash } = next.value;
    next = steps.next((await actions[name](hash)) === true);
  }
  return next.value;
}

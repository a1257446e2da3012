// The order of locks and steps in which prefixes come and go. It is written as generators of steps, without the steps
// themselves: the operations carry them out for real, and a test walks through all their interleavings and kills.
//
// A spec has two locks. The work lock excludes other runs of this program for as long as something of the spec lies beside its
// place. The prefix lock is Spack's: shared keeps what is there from being removed, exclusive allows to change it.
//
// - Specs are waited for in the order of the DAG only: whoever has a work lock waits for dependencies, never for dependents.
// - The exclusive prefix lock is taken last, and kept until the database has the spec: Spack removes what is in the place of a
//   spec that is not recorded. Between the two nothing of another spec is waited for.
// - The shared lock is kept to the end of the run, as Spack does, so what a new spec needs stays.
// - An uninstallation has all its locks or none while it waits.

/** One step on one spec. Some have an answer. */
export interface Step<Name extends string> {
  readonly name: Name;
  readonly hash: string;
}

/** The steps of an installation. */
export type InstallStep =
  /** Answers whether the database has the spec, and its prefix is in its place. */
  | "isThere"
  /** Waits for the shared prefix lock. */
  | "lockShared"
  /** Waits for the work lock; false when the spec is there by then. */
  | "lockWork"
  /** Waits for the exclusive prefix lock; false when the spec is there by then. */
  | "lockExclusive"
  /** Makes the note by which a later run finds what a killed one leaves; answers whether there is one already. */
  | "note"
  /** Removes the note. */
  | "unnote"
  /** Makes the prefix beside its place. */
  | "place"
  /** Waits until every dependency is in its place. */
  | "awaitDependencies"
  /** Finishes the prefix that was made, looking at its dependencies. */
  | "finish"
  /** Removes the prefix that was made. */
  | "discard"
  /** Moves what is in its place aside, if there is anything. */
  | "moveAside"
  /** Moves the prefix into its place. */
  | "commit"
  /** Puts it into the database. */
  | "record"
  /** Removes what lies beside the place, and the note. */
  | "clear"
  /** Makes the exclusive prefix lock a shared one. */
  | "share"
  | "unlockPrefix"
  | "unlockWork";

/** Installs one spec. Ends with the shared prefix lock held; tells whether it was installed, or there already. */
export function* installing(
  hash: string,
  { dependenciesFirst = false }: { dependenciesFirst?: boolean } = {},
): Generator<Step<InstallStep>, "installed" | "present", boolean> {
  const step = (name: InstallStep): Step<InstallStep> => ({ name, hash });
  for (;;) {
    if (yield step("isThere")) {
      yield step("lockShared");
      // It may have been removed before the lock was there.
      if (yield step("isThere")) return "present";
      yield step("unlockPrefix");
    }
    // To replace a spec is to wait for those who use it. They may wait for a dependent of it, so that must not be locked yet.
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
    // What a killed run has left besides is put right by the next one.
    if (!isLeft) yield step("unnote");
    yield step("unlockWork");
    if (isLocked) yield step("unlockPrefix");
  }
}

/** The steps of an uninstallation. */
export type UninstallStep =
  /** Takes both locks of a spec without waiting; false when somebody else has one. */
  | "tryLocks"
  /** Waits until both locks of a spec are free. */
  | "awaitLocks"
  /** Lets go of both locks, if held. */
  | "unlock"
  | "lockDatabase"
  | "unlockDatabase"
  /** Answers whether a spec is still to be removed, as the locked database has it. */
  | "isChosen"
  | "note"
  /** Moves the prefix out of its place. */
  | "moveAside"
  /** Writes the database without all that was chosen. */
  | "forget"
  /** Removes what lies beside the place, and the note. */
  | "clear";

/** Uninstalls specs, dependents first. */
export function* uninstalling(hashes: readonly string[]): Generator<Step<UninstallStep>, void, boolean> {
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
  const [first = ""] = hashes;
  yield { name: "lockDatabase", hash: first };
  const chosen: string[] = [];
  for (const hash of hashes) if (yield { name: "isChosen", hash }) chosen.push(hash);
  for (const hash of chosen) {
    yield { name: "note", hash };
    yield { name: "moveAside", hash };
  }
  yield { name: "forget", hash: first };
  yield { name: "unlockDatabase", hash: first };
  for (const hash of chosen) yield { name: "clear", hash };
  for (const hash of hashes) yield { name: "unlock", hash };
}

/** The steps that put right what a killed run left of a spec. */
export type RecoverStep =
  /** Takes both locks without waiting; false when somebody works on the spec. */
  | "tryLocks"
  /** Answers whether the database has the spec in this place. */
  | "isRecorded"
  /** What was moved aside comes back, if nothing took its place. */
  | "moveBack"
  /** Moves what no database knows out of its place. */
  | "moveAside"
  /** Removes what lies beside the place, and the note. */
  | "clear"
  | "unlock";

/** Makes the place of a spec with a note what the database says. Tells whether that could be done. */
export function* recovering(hash: string): Generator<Step<RecoverStep>, boolean, boolean> {
  const step = (name: RecoverStep): Step<RecoverStep> => ({ name, hash });
  if (!(yield step("tryLocks"))) return false;
  yield step((yield step("isRecorded")) ? "moveBack" : "moveAside");
  yield step("clear");
  yield step("unlock");
  return true;
}

/** What carries the steps out. */
export type Actions<Name extends string> = Readonly<Record<Name, (hash: string) => unknown>>;

/** Carries steps out, one after the other. Throws what one of them throws. */
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

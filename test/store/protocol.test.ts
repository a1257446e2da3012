// Proves that the protocol is safe: walks through every interleaving of two runs on one store, with a kill before every
// step, and of three without kills, and checks every state. The steps are the real ones; only the store is a model.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type InstallStep,
  installing,
  type RecoverStep,
  recovering,
  type Step,
  type UninstallStep,
  uninstalling,
} from "../../lib/store/protocol.ts";

/** One spec in the model: what is in and beside its place, whether the database has it, and who holds its locks. */
interface SpecState {
  place: boolean;
  staged: boolean;
  aside: boolean;
  note: boolean;
  recorded: boolean;
  /** Recorded since the runs started, so that --force need not replace it again. */
  fresh: boolean;
  work: number | undefined;
  shared: number[];
  exclusive: number | undefined;
  /** The run that is removing it. */
  remover: number | undefined;
}

type Spec = "base" | "top";
const SPECS: readonly Spec[] = ["base", "top"];
interface World {
  base: SpecState;
  top: SpecState;
  database: number | undefined;
}

type Name = InstallStep | UninstallStep | RecoverStep;
type Steps = Generator<Step<Name>, unknown, boolean>;

/** A run: parallel tasks in one process. Spack processes are runs, too. */
interface Run {
  /** The kind of the tasks. */
  readonly kind: "install" | "force" | "uninstall" | "spack";
  readonly tasks: readonly (() => Steps)[];
}

/** A state: the world, and the answers that each task has received. */
interface State {
  readonly world: World;
  /** Undefined if the run was killed. */
  readonly runs: readonly (readonly string[] | undefined)[];
}

const absent = (): SpecState => ({
  place: false,
  staged: false,
  aside: false,
  note: false,
  recorded: false,
  fresh: false,
  work: undefined,
  shared: [],
  exclusive: undefined,
  remover: undefined,
});
const present = (): SpecState => ({ ...absent(), place: true, recorded: true });

// Spack keeps shared locks on installed specs until it exits, and builds with the exclusive lock, dependencies first.
// It removes the prefix of a spec that is not recorded as soon as it has even a shared lock.
function* spackInstalling(hash: Spec): Generator<Step<InstallStep>, void, boolean> {
  const step = (name: InstallStep): Step<InstallStep> => ({ name, hash });
  yield step("awaitDependencies");
  yield step("lockShared");
  if (!(yield step("isThere"))) yield step("discard");
  yield step("unlockPrefix");
  if (yield step("lockExclusive")) {
    yield step("moveAside");
    yield step("place");
    yield step("commit");
    yield step("record");
    yield step("share");
  } else yield step("lockShared");
}

const RUNS: Readonly<Record<string, Run>> = {
  install: { kind: "install", tasks: SPECS.map((hash) => () => installing(hash)) },
  force: { kind: "force", tasks: SPECS.map((hash) => () => installing(hash, { dependenciesFirst: true })) },
  "uninstall both": { kind: "uninstall", tasks: [() => uninstalling(["top", "base"])] },
  "uninstall the other way": { kind: "uninstall", tasks: [() => uninstalling(["base", "top"])] },
  gc: { kind: "uninstall", tasks: [() => uninstalling(["top", "base"], { skipsLocked: true })] },
  "uninstall top": { kind: "uninstall", tasks: [() => uninstalling(["top"])] },
  "uninstall base": { kind: "uninstall", tasks: [() => uninstalling(["base"])] },
  spack: { kind: "spack", tasks: SPECS.map((hash) => () => spackInstalling(hash)) },
};

const BLOCKED = Symbol("blocked");

/** Carries out one step in the world; returns its answer, or BLOCKED if it must wait. */
function perform(world: World, me: number, kind: Run["kind"], { name, hash }: Step<Name>): boolean | typeof BLOCKED {
  const spec = world[hash as Spec];
  const isThere = (): boolean => spec.recorded && spec.place && (kind !== "force" || spec.fresh);
  const free = spec.exclusive === undefined || spec.exclusive === me;
  const alone = free && spec.shared.every((holder) => holder === me);
  const isInstall = kind === "install" || kind === "force";
  switch (name) {
    case "isThere":
      return isThere();
    case "lockShared":
      if (!free) return BLOCKED;
      spec.shared.push(me);
      return true;
    case "lockWork":
      if (spec.work === undefined) spec.work = me;
      else return isThere() ? false : BLOCKED;
      return true;
    case "lockExclusive":
      if (alone) spec.exclusive = me;
      else return isThere() ? false : BLOCKED;
      if (kind !== "spack" || !isThere()) return true;
      spec.exclusive = undefined;
      return false;
    case "tryLocks":
      if (spec.work !== undefined || spec.exclusive !== undefined || spec.shared.length > 0) return false;
      spec.work = me;
      spec.exclusive = me;
      return true;
    case "awaitLocks":
      return spec.work === undefined && spec.exclusive === undefined && spec.shared.length === 0 ? true : BLOCKED;
    case "note": {
      const was = spec.note;
      spec.note = true;
      return was;
    }
    case "unnote":
      spec.note = false;
      return true;
    case "place":
      assert.ok(!isInstall || spec.work === me, "places without the work lock");
      spec.staged = true;
      return true;
    case "awaitDependencies": {
      if (hash !== "top") return true;
      const { base } = world;
      // Put in place by this run, or present and protected.
      return base.place && (base.exclusive === me || base.shared.includes(me)) ? true : BLOCKED;
    }
    case "finish":
      return true;
    case "discard":
      if (kind === "spack") spec.place = false;
      else spec.staged = false;
      return true;
    case "moveAside":
      assert.equal(spec.exclusive, me, "moves a prefix without its lock");
      if (kind === "uninstall") spec.remover = me;
      if (!spec.place) return true;
      [spec.place, spec.aside] = [false, true];
      return true;
    case "moveBack":
      assert.equal(spec.exclusive, me, "moves a prefix without its lock");
      if (spec.aside && !spec.place) [spec.place, spec.aside] = [true, false];
      return true;
    case "commit":
      assert.equal(spec.exclusive, me, "moves a prefix without its lock");
      assert.ok(spec.staged && !spec.place, "the place is taken, or nothing is staged");
      [spec.place, spec.staged] = [true, false];
      return true;
    case "record":
      // A run records its specs in the order in which they were put in place, together or one by one.
      if (world.database !== undefined || (hash === "top" && !world.base.recorded)) return BLOCKED;
      assert.ok(spec.place, "records what is not there");
      [spec.recorded, spec.fresh] = [true, true];
      return true;
    case "clear":
      assert.ok(spec.place || !spec.aside || !spec.recorded, "removes the only prefix of a recorded spec");
      [spec.staged, spec.aside, spec.note] = [false, false, false];
      return true;
    case "share":
      spec.exclusive = undefined;
      spec.shared.push(me);
      return true;
    case "unlockPrefix":
      unlock(spec, me);
      return true;
    case "unlockWork":
      spec.work = undefined;
      return true;
    case "unlock":
      unlock(spec, me);
      spec.work = undefined;
      return true;
    case "lockDatabase":
      if (world.database !== undefined) return BLOCKED;
      world.database = me;
      return true;
    case "unlockDatabase":
      world.database = undefined;
      return true;
    case "isChosen":
      // The dependencies of a recorded spec stay, unless it is removed too.
      return spec.recorded && !(hash === "base" && world.top.recorded && world.top.exclusive !== me);
    case "forget":
      for (const each of SPECS) {
        const { remover, note, aside, place } = world[each];
        if (remover === me && note && aside && !place) world[each].recorded = false;
      }
      return true;
    case "isRecorded":
      return spec.recorded;
  }
}

function unlock(spec: SpecState, me: number): void {
  if (spec.exclusive === me) spec.exclusive = undefined;
  else spec.shared = spec.shared.filter((holder) => holder !== me);
}

/** What the system does when a process ends. */
function letGo(world: World, me: number): void {
  for (const each of SPECS) {
    const spec = world[each];
    if (spec.exclusive === me) spec.exclusive = undefined;
    if (spec.work === me) spec.work = undefined;
    if (spec.remover === me) spec.remover = undefined;
    spec.shared = spec.shared.filter((holder) => holder !== me);
  }
  if (world.database === me) world.database = undefined;
}

/** The next step of a task after some answers, `t` and `f`; undefined if it has ended. */
function replay(task: () => Steps, answers: string): Step<Name> | undefined {
  const steps = task();
  let next = steps.next();
  for (const answer of answers) next = steps.next(answer === "t");
  return next.done ? undefined : next.value;
}

// Steps that affect only what the work lock protects: nothing can interleave, except a kill.
const LOCAL: ReadonlySet<Name> = new Set(["note", "place", "finish", "unnote"]);

const copyOf = ({ base, top, database }: World): World => ({
  base: { ...base, shared: [...base.shared] },
  top: { ...top, shared: [...top.shared] },
  database,
});

const keyOf = ({ world, runs }: State): string =>
  [
    ...SPECS.map((each) => {
      const { place, staged, aside, note, recorded, fresh, work, shared, exclusive, remover } = world[each];
      const flags = [place, staged, aside, note, recorded, fresh].map(Number).join("");
      return `${flags}${work ?? "-"}${exclusive ?? "-"}${remover ?? "-"}${shared.toSorted().join("")}`;
    }),
    world.database ?? "-",
    ...runs.map((answers) => answers?.join() ?? "killed"),
  ].join(" ");

// A task that is back at its start without locks is the same as a new one.
function shortened(task: () => Steps, answers: string, world: World, me: number): string {
  const [first, now] = [replay(task, ""), replay(task, answers)];
  if (first?.name !== now?.name || first?.hash !== now?.hash || first === undefined) return answers;
  const spec = world[first.hash as Spec];
  return spec.work === me || spec.exclusive === me || spec.shared.includes(me) ? answers : "";
}

/** Visits all states that runs can reach, and checks each; returns their number. */
function explore(runs: readonly Run[], start: World, withKills = true): { states: number; ends: number } {
  const seen = new Set<string>();
  const todo: State[] = [{ world: start, runs: runs.map(({ tasks }) => tasks.map(() => "")) }];
  /** The predecessors of each state. */
  const before = new Map<string, string[]>();
  const ends: string[] = [];
  for (let state = todo.pop(); state !== undefined; state = todo.pop()) {
    const key = keyOf(state);
    if (seen.has(key)) continue;
    seen.add(key);
    check(state);
    let blocked = 0;
    let moves = 0;
    for (const [me, run] of runs.entries()) {
      if (state.runs[me] === undefined) continue;
      for (let at = 0; at < run.tasks.length; at++) {
        const moved = move(state, me, run, at);
        if (moved === BLOCKED) blocked++;
        else if (moved.length > 0) moves++;
        if (moved === BLOCKED) continue;
        for (const next of moved) {
          if (!withKills && next.runs[me] === undefined) continue;
          todo.push(next);
          const nextKey = keyOf(next);
          const known = before.get(nextKey);
          if (known) known.push(key);
          else before.set(nextKey, [key]);
        }
      }
      if (!withKills || isOver(run, state.runs[me])) continue;
      const killed = kill(state, me, run);
      if (killed) todo.push(killed);
    }
    assert.ok(moves > 0 || blocked === 0, `nothing can go on: ${JSON.stringify(state)}`);
    if (moves > 0) continue;
    ends.push(key);
    checkEnd(state);
  }
  checkReach(seen, before, ends);
  return { states: seen.size, ends: ends.length };
}

// Runs cannot make each other restart forever: an end can be reached from every state.
function checkReach(states: ReadonlySet<string>, before: ReadonlyMap<string, string[]>, ends: readonly string[]): void {
  const reaching = new Set(ends);
  // Iterating over a set includes elements added meanwhile.
  for (const state of reaching) for (const earlier of before.get(state) ?? []) reaching.add(earlier);
  for (const state of states) assert.ok(reaching.has(state), `nothing leads to an end from ${state}`);
}

const isOver = (run: Run, answers: readonly string[]): boolean =>
  run.tasks.every((task, at) => replay(task, answers[at] ?? "") === undefined);

// Spack itself is not killed here: what it leaves behind, it leaves in place.
function kill(state: State, me: number, run: Run): State | undefined {
  if (run.kind === "spack") return undefined;
  const world = copyOf(state.world);
  letGo(world, me);
  return { world, runs: state.runs.with(me, undefined) };
}

/** The next step of a task, with the local ones that follow; also the kills in between. */
function move(state: State, me: number, run: Run, at: number): State[] | typeof BLOCKED {
  const task = run.tasks[at] ?? assert.fail();
  const found: State[] = [];
  let { world } = state;
  let answers = state.runs[me] ?? [];
  for (let isFirst = true; ; isFirst = false) {
    const step = replay(task, answers[at] ?? "");
    if (step === undefined || !(isFirst || LOCAL.has(step.name))) break;
    const next = copyOf(world);
    const answer = perform(next, me, run.kind, step);
    if (answer === BLOCKED) return isFirst ? BLOCKED : found;
    answers = answers.with(at, shortened(task, `${answers[at]}${answer ? "t" : "f"}`, next, me));
    // A run's locks are released at its end.
    if (isOver(run, answers)) letGo(next, me);
    world = next;
    const killed = kill({ world, runs: state.runs }, me, run);
    if (killed) found.push(killed);
  }
  return answers === state.runs[me] ? [] : [...found, { world, runs: state.runs.with(me, answers) }];
}

// The invariants of every state.
function check(state: State): void {
  const { base, top } = state.world;
  const said = keyOf(state);
  assert.ok(!top.recorded || base.recorded, `a dependency is missing: ${said}`);
  for (const spec of [base, top]) {
    const isLocked = spec.exclusive !== undefined;
    assert.ok(!isLocked || spec.shared.length === 0, `locked twice: ${said}`);
    assert.ok(isLocked || spec.note || spec.recorded === spec.place, `nothing finds what is left: ${said}`);
    assert.ok(spec.note || !spec.aside, `nothing finds what lies beside: ${said}`);
    // Spack stages elsewhere.
    assert.ok(spec.note || !spec.staged || isLocked, `nothing finds what is staged: ${said}`);
  }
}

// The invariants when nothing runs any more, and the next run has repaired everything.
function checkEnd(state: State): void {
  const world = copyOf(state.world);
  for (const each of SPECS) {
    if (!world[each].note) continue;
    const steps = recovering(each);
    for (let next = steps.next(); !next.done; ) {
      const answer = perform(world, 9, "uninstall", next.value);
      assert.notEqual(answer, BLOCKED);
      next = steps.next(answer === true);
    }
  }
  const said = `${keyOf(state)} became ${JSON.stringify(world)}`;
  for (const each of SPECS) {
    const { place, recorded, staged, aside, note, work, shared, exclusive } = world[each];
    assert.equal(place, recorded, said);
    assert.deepEqual(
      { staged, aside, note, work, shared, exclusive },
      { staged: false, aside: false, note: false, work: undefined, shared: [], exclusive: undefined },
      said,
    );
  }
  check({ ...state, world });
}

const STARTS: Readonly<Record<string, () => World>> = {
  "an empty store": () => ({ base: absent(), top: absent(), database: undefined }),
  "only the dependency": () => ({ base: present(), top: absent(), database: undefined }),
  "both there": () => ({ base: present(), top: present(), database: undefined }),
};

const PAIRS: readonly (readonly [string, string])[] = [
  ["install", "install"],
  ["install", "uninstall both"],
  ["install", "uninstall base"],
  ["install", "uninstall top"],
  ["uninstall both", "uninstall both"],
  ["uninstall both", "uninstall the other way"],
  ["uninstall top", "uninstall base"],
  ["install", "gc"],
  ["gc", "gc"],
  ["gc", "uninstall top"],
  ["install", "spack"],
  ["spack", "uninstall top"],
  ["force", "install"],
  ["force", "force"],
  ["force", "uninstall both"],
];
for (const [one, other] of PAIRS)
  for (const [name, start] of Object.entries(STARTS))
    test(`${one} beside ${other}, ${name}: every interleaving and kill leaves a store that the next run makes whole`, (t) => {
      const runs = [one, other].map((each) => RUNS[each] ?? assert.fail());
      const { states, ends } = explore(runs, start());
      t.diagnostic(`${states} states, ${ends} ends`);
      assert.ok(ends > 0);
    });

const TRIPLES: readonly (readonly string[])[] = [
  ["install", "install", "uninstall both"],
  ["install", "uninstall top", "uninstall base"],
  ["install", "uninstall both", "uninstall the other way"],
];
for (const names of TRIPLES)
  for (const [name, start] of Object.entries(STARTS))
    test(`${names.join(" beside ")}, ${name}: none waits for ever`, (t) => {
      const runs = names.map((each) => RUNS[each] ?? assert.fail());
      const { states, ends } = explore(runs, start(), false);
      t.diagnostic(`${states} states, ${ends} ends`);
      assert.ok(ends > 0);
    });

// The order of microarchitectures (archspec): which one is a special case of which other, and the family of each.
import targets from "./archspec-targets.json" with { type: "json" };

interface Known {
  readonly parents: readonly string[];
  readonly family: string;
}
const TARGETS: ReadonlyMap<string, Known> = new Map(Object.entries(targets));
const ancestry = new Map<string, ReadonlySet<string>>();

/** The generic top ancestor of a target: `icelake` is of the family `x86_64`; an unknown name is its own family. */
export function familyOf(target: string): string {
  return TARGETS.get(target)?.family ?? target;
}

/** Tells whether a name is in archspec's table. */
export function isKnownTarget(target: string): boolean {
  return TARGETS.has(target);
}

/** All targets that code for `target` may be built for, itself included; an unknown name has only itself. */
export function ancestorsOf(target: string): ReadonlySet<string> {
  const cached = ancestry.get(target);
  if (cached) return cached;
  const found = new Set([target]);
  for (const name of found) for (const parent of TARGETS.get(name)?.parents ?? []) found.add(parent);
  if (TARGETS.has(target)) ancestry.set(target, found);
  return found;
}

/** Tells whether code built for `a` runs on `b`: `a` is `b` or one of its ancestors (archspec's `a <= b`). */
export function targetAtMost(a: string, b: string): boolean {
  return ancestorsOf(b).has(a);
}

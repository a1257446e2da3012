// The order of microarchitectures: which one is a special case of which other, the family of each, and what Spack writes of
// it. The table is archspec's (Apache-2.0 OR MIT), written by scripts/archspec-table.ts.
import targets from "./archspec-targets.json" with { type: "json" };

/** What archspec says of a target, and Spack writes into specs. */
export interface TargetDescription {
  readonly vendor: string;
  readonly parents: readonly string[];
  /** Names of features as Linux has them, sorted, with spaces between. */
  readonly features: string;
  /** Of POWER processors; 0 when it is missing. */
  readonly generation?: number;
  /** Of ARM processors, `0xd0c`; empty when it is missing. */
  readonly cpupart?: string;
}

interface Known extends TargetDescription {
  readonly family: string;
  readonly earlier?: readonly TargetDescription[];
}
const TARGETS: ReadonlyMap<string, Known> = new Map(Object.entries(targets));
const ancestry = new Map<string, ReadonlySet<string>>();

/** The generic top ancestor of a target: `icelake` is of the family `x86_64`; an unknown name is its own family. */
export function familyOf(target: string): string {
  return TARGETS.get(target)?.family ?? target;
}

/** The targets of archspec's table in its order. */
export function knownTargets(): Iterable<readonly [string, TargetDescription]> {
  return TARGETS;
}

/** The features of a target with what archspec adds: Linux does not name sse3, but whatever has ssse3 has it. */
export function withImplied(features: readonly string[]): readonly string[] {
  return features.includes("ssse3") && !features.includes("sse3") ? [...features, "sse3"].sort() : features;
}

/** How releases of archspec describe a target, the newest first; nothing for an unknown name. */
export function descriptionsOf(target: string): readonly TargetDescription[] {
  const known = TARGETS.get(target);
  return known ? [known, ...(known.earlier ?? [])] : [];
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

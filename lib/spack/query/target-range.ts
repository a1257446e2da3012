// The values of `target=`: names, ranges `low:high`, comma-separated lists of these, or `*` (Spack `spec.py`,
// ArchSpec).
import { StaveError } from "../../errors.ts";
import { ancestorsOf, targetAtMost } from "../spec/microarchitecture.ts";

const ANY_TARGET = "*";

/** True if a target is among those requested. */
export function targetSatisfies(target: string, asked: string): boolean {
  return asked === ANY_TARGET || asked.split(",").some((part) => isWithin(target, part));
}

function isWithin(target: string, part: string): boolean {
  if (!part.includes(":")) return target === part;
  const { low, high } = rangeOf(part);
  return (low === "" || ancestorsOf(target).has(low)) && (high === "" || targetAtMost(target, high));
}

/** Lists are multiplied with each other; longer ones are abuse. */
const PAIR_LIMIT = 100_000;

/**
 * The intersection of two target requests; undefined if it is empty. As in Spack, ranges with incomparable ends do not
 * intersect. Throws SPEC_INVALID for lists that are too long.
 */
export function intersectTargets(a: string, b: string): string | undefined {
  if (a === b || b === ANY_TARGET) return a;
  if (a === ANY_TARGET) return b;
  const [mine, theirs] = [a.split(","), b.split(",")];
  if (mine.length * theirs.length > PAIR_LIMIT)
    throw new StaveError("SPEC_INVALID", `lists of ${mine.length} and ${theirs.length} targets are too long`);
  const common = new Set<string>();
  for (const one of mine)
    for (const other of theirs) {
      const both = intersectRanges(one, other);
      if (both !== undefined) common.add(both);
    }
  return common.size === 0 ? undefined : [...common].join(",");
}

interface Range {
  readonly low: string;
  readonly high: string;
}

function rangeOf(text: string): Range {
  const colon = text.indexOf(":");
  return { low: text.slice(0, colon), high: text.slice(colon + 1) };
}

function intersectRanges(a: string, b: string): string | undefined {
  if (!a.includes(":")) return isWithin(a, b) ? a : undefined;
  if (!b.includes(":")) return isWithin(b, a) ? b : undefined;
  const [mine, theirs] = [rangeOf(a), rangeOf(b)];
  const low = tighter(mine.low, theirs.low, (one, other) => targetAtMost(other, one));
  const high = tighter(mine.high, theirs.high, targetAtMost);
  if (low === undefined || high === undefined) return undefined;
  if (low === "" || high === "") return `${low}:${high}`;
  if (!targetAtMost(low, high)) return undefined;
  return low === high ? low : `${low}:${high}`;
}

// The tighter end; an empty one is no bound. Undefined if neither is tighter.
function tighter(a: string, b: string, isTighter: (one: string, other: string) => boolean): string | undefined {
  if (a === "" || b === "") return a || b;
  if (isTighter(a, b)) return a;
  return isTighter(b, a) ? b : undefined;
}

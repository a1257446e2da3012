// Concrete versions and their order (Spack `version_types.py`, StandardVersion). Ranges and lists are in
// version-range.ts.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";

/** A component of a version. Numbers are digits without leading zeros, so that any length compares correctly. */
export type Component =
  | { readonly kind: "word" | "number"; readonly text: string }
  /** A word that sorts above all numbers; `rank` orders such words. */
  | { readonly kind: "infinity"; readonly rank: number };

/** The release stage: alpha, beta, rc, final. */
export type Stage = 0 | 1 | 2 | 3;
const FINAL = 3;

/** One concrete version. */
export interface Version {
  /** The version as written; synthetic for the ends of unbounded ranges. */
  readonly text: string;
  readonly release: readonly Component[];
  readonly stage: Stage;
  /** The digits of the stage (`1` in `rc1`), if any. */
  readonly stageNumber: string | undefined;
}

const INFINITE = ["stable", "nightly", "trunk", "head", "master", "main", "develop"];
const STAGES: ReadonlyMap<string, Stage> = new Map([
  ["alpha", 0],
  ["beta", 1],
  ["rc", 2],
  ["final", FINAL],
]);
const VALID = /^[A-Za-z0-9_.-][=A-Za-z0-9_.-]*$/;
const SEGMENT = /[0-9]+|[a-zA-Z]+/g;
const NUMBER = /^[0-9]/;

/** The lower end of a range without a lower bound. */
export const LOWEST: Version = { text: "", release: [], stage: 0, stageNumber: undefined };

/** The upper end of a range without an upper bound. */
export const HIGHEST: Version = {
  text: "",
  release: [{ kind: "infinity", rank: INFINITE.length }],
  stage: FINAL,
  stageNumber: undefined,
};

// A store repeats the same few versions.
const KEPT = 20_000;
const kept = new Map<string, Version>();

/** Parses a concrete version. Throws SPEC_INVALID if the text has characters that no version may have. */
export function parseVersion(text: string): Version {
  const known = kept.get(text);
  if (known) return known;
  if (text !== "" && !VALID.test(text))
    throw new StaveError(
      "SPEC_INVALID",
      `"${printable(text)}" is not a version: expected letters, digits, dots, dashes and underscores`,
      { subject: text },
    );
  const version = readVersion(text);
  if (kept.size >= KEPT) kept.clear();
  if (text.length < 200) kept.set(text, version);
  return version;
}

function readVersion(text: string): Version {
  const segments = text.match(SEGMENT) ?? [];
  const last = segments.at(-1) ?? "";
  const numbered = segments.length >= 3 && NUMBER.test(last) ? STAGES.get(segments.at(-2) ?? "") : undefined;
  if (numbered !== undefined)
    return { text, release: segments.slice(0, -2).map(component), stage: numbered, stageNumber: digitsOf(last) };
  const bare = segments.length >= 2 ? STAGES.get(last) : undefined;
  const release = bare === undefined ? segments : segments.slice(0, -1);
  return { text, release: release.map(component), stage: bare ?? FINAL, stageNumber: undefined };
}

function component(segment: string): Component {
  if (NUMBER.test(segment)) return { kind: "number", text: digitsOf(segment) };
  const rank = INFINITE.indexOf(segment);
  return rank < 0 ? { kind: "word", text: segment } : { kind: "infinity", rank };
}

function digitsOf(digits: string): string {
  let start = 0;
  while (start < digits.length - 1 && digits.charAt(start) === "0") start++;
  return digits.slice(start);
}

/** Compares two versions: negative, zero or positive. Separators and leading zeros are ignored. */
export function compareVersions(a: Version, b: Version): number {
  if (a === b) return 0;
  const length = Math.min(a.release.length, b.release.length);
  for (let at = 0; at < length; at++) {
    const [mine, other] = [a.release[at], b.release[at]];
    const order = mine && other ? compareComponents(mine, other) : 0;
    if (order !== 0) return order;
  }
  return a.release.length - b.release.length || a.stage - b.stage || compareStageNumbers(a.stageNumber, b.stageNumber);
}

function compareStageNumbers(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return compareDigits(a, b);
}

const KINDS = { word: 0, number: 1, infinity: 2 };

function compareComponents(a: Component, b: Component): number {
  if (a.kind === "infinity" && b.kind === "infinity") return a.rank - b.rank;
  if (a.kind === "number" && b.kind === "number") return compareDigits(a.text, b.text);
  if (a.kind === "word" && b.kind === "word") return a.text < b.text ? -1 : Number(a.text > b.text);
  return KINDS[a.kind] - KINDS[b.kind];
}

function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

/** The first version above all that `version` covers: the open end of the range `version:version`. */
export function nextVersion(version: Version): Version {
  const { release, stage, stageNumber } = version;
  if (stage !== FINAL)
    return { text: "", release, stage, stageNumber: stageNumber === undefined ? "0" : increment(stageNumber) };
  const last = release.at(-1);
  const next: Component = last ? nextComponent(last) : { kind: "word", text: "A" };
  return { text: "", release: [...release.slice(0, -1), next], stage, stageNumber };
}

function nextComponent(last: Component): Component {
  if (last.kind === "infinity") return { kind: "infinity", rank: last.rank + 1 };
  if (last.kind === "number") return { kind: "number", text: increment(last.text) };
  let text = nextWord(last.text);
  while (INFINITE.includes(text)) text = nextWord(text);
  return { kind: "word", text };
}

// Letters are ordered A to Z, then a to z.
function nextWord(word: string): string {
  const last = word.at(-1);
  if (last === undefined || last === "z") return `${word}A`;
  return word.slice(0, -1) + (last === "Z" ? "a" : String.fromCharCode(last.charCodeAt(0) + 1));
}

function increment(digits: string): string {
  let nines = 0;
  while (nines < digits.length && digits.charAt(digits.length - 1 - nines) === "9") nines++;
  const head = digits.slice(0, digits.length - nines);
  const raised = head === "" ? "1" : head.slice(0, -1) + String(Number(head.at(-1)) + 1);
  return raised + "0".repeat(nines);
}

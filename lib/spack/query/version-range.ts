// The versions in a query: exact versions, git versions, ranges and lists of them (Spack `version_types.py`).
import { isStaveError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { compareVersions, HIGHEST, LOWEST, nextVersion, parseVersion, type Version } from "../spec/version.ts";

/** A git reference, with the version that it stands for. */
export interface GitVersion {
  readonly kind: "git";
  readonly text: string;
  readonly ref: string;
  /** Undefined if not given: only the repository knows it, so the version matches its own reference only. */
  readonly version: Version | undefined;
}
/** Exactly one version: `=1.2`. */
export interface ExactVersion {
  readonly kind: "exact";
  readonly version: Version;
}
/** All versions from `low` up to but excluding `end`, which is the first version above all that `high` covers. */
export interface VersionRange {
  readonly kind: "range";
  readonly low: Version;
  readonly high: Version;
  readonly end: Version;
}
/** One element of a version list. */
export type VersionElement = ExactVersion | GitVersion | VersionRange;

/** Sorted elements that neither overlap nor touch. */
export type VersionList = readonly VersionElement[];

// What a git reference stands for if no known version precedes it (Spack `version_types.py`, GitVersion.ref_version).
const UNKNOWN = parseVersion("0");
const COMMIT = /^[0-9a-fA-F]{40}$/;

/** Parses the text after `@`: `1.2`, `=1.2`, `1.2:1.4,1.6:`, `git.main=1.2`. Throws SPEC_INVALID naming the text. */
export function parseVersions(text: string): VersionList {
  return normalise(text.replaceAll(" ", "").split(",").map(parseElement));
}

/** Parses the version of a concrete spec, which is exact or a git version. Throws SPEC_INVALID. */
export function parseConcrete(text: string): ExactVersion | GitVersion {
  return isGit(text) ? parseGit(text) : { kind: "exact", version: parseVersion(text) };
}

// What was read from a cache or a store may have any text as its version; one that is none is undefined.
function readConcrete(text: string): ExactVersion | GitVersion | undefined {
  try {
    return parseConcrete(text);
  } catch (error) {
    if (!isStaveError(error, "SPEC_INVALID")) throw error;
    return undefined;
  }
}

/**
 * The place in an order of the version of a concrete spec, for `compareVersions`. Never throws: a text that is no
 * version is the lowest, and a git version that stands for an unknown one is `0`, as Spack has it.
 */
export function placeInOrder(text: string): Version {
  const read = readConcrete(text);
  return read === undefined ? LOWEST : (read.version ?? UNKNOWN);
}

/** Compares the versions of concrete specs, whatever their text; versions of the same place by their text. */
export function compareConcrete(a: string, b: string): number {
  if (a === b) return 0;
  return compareVersions(placeInOrder(a), placeInOrder(b)) || (a < b ? -1 : 1);
}

function isGit(text: string): boolean {
  return text.startsWith("git.") || text.includes("=", 1) || COMMIT.test(text);
}

function parseElement(text: string): VersionElement {
  const [low = "", high, more] = text.split(":", 3);
  if (more !== undefined) throw invalidVersion(text, "has more than one colon");
  if (high !== undefined)
    return rangeOf(low === "" ? LOWEST : parseVersion(low), high === "" ? HIGHEST : parseVersion(high));
  if (text.startsWith("=")) return parseConcrete(text.slice(1));
  if (isGit(text)) return parseGit(text);
  const version = parseVersion(text);
  return rangeOf(version, version);
}

function parseGit(text: string): GitVersion {
  const [ref = "", version, more] = (text.startsWith("git.") ? text.slice(4) : text).split("=", 3);
  if (ref === "" || more !== undefined) throw invalidVersion(text, "is not a git version, expected git.REF=VERSION");
  return { kind: "git", text, ref, version: version === undefined ? undefined : parseVersion(version) };
}

function invalidVersion(text: string, problem: string): StaveError {
  return new StaveError("SPEC_INVALID", `the version "${printable(text)}" ${problem}`, { subject: text });
}

function rangeOf(low: Version, high: Version): VersionRange {
  const end = nextVersion(high);
  if (compareVersions(end, low) < 0) throw invalidVersion(`${low.text}:${high.text}`, "is an empty range");
  return makeRange(low, high, end);
}

// If both ends are equal, they get one spelling (not 1.1 and 01.1), so that the printed range is parsed the same.
function makeRange(low: Version, high: Version, end: Version): VersionRange {
  return { kind: "range", low, high: compareVersions(low, high) === 0 ? low : high, end };
}

// The lower end of an element.
function lowOf(element: VersionElement): Version {
  return element.kind === "range" ? element.low : (element.version ?? UNKNOWN);
}

const TIES = { range: 0, exact: 1, git: 2 };

function compareElements(a: VersionElement, b: VersionElement): number {
  const order = compareVersions(lowOf(a), lowOf(b)) || TIES[a.kind] - TIES[b.kind];
  if (order !== 0 || a.kind !== "git" || b.kind !== "git") return order;
  return a.ref < b.ref ? -1 : Number(a.ref > b.ref);
}

function normalise(elements: readonly VersionElement[]): VersionList {
  if (elements.length < 2) return elements;
  const out: VersionElement[] = [];
  for (const element of elements.toSorted(compareElements)) {
    const last = out.at(-1);
    if (last && element.kind === "range" && last.kind === "range" && compareVersions(element.low, last.end) <= 0) {
      if (compareVersions(element.end, last.end) > 0)
        out[out.length - 1] = makeRange(last.low, element.high, element.end);
    } else if (!last || element.kind === "range" || !elementSatisfies(element, last)) out.push(element);
  }
  return out;
}

function within(version: Version, range: VersionRange): boolean {
  return compareVersions(range.low, version) <= 0 && compareVersions(version, range.end) < 0;
}

function sameGit(a: GitVersion, b: GitVersion): boolean {
  if (a.ref !== b.ref) return false;
  return a.version === undefined || b.version === undefined || compareVersions(a.version, b.version) === 0;
}

function elementSatisfies(a: VersionElement, b: VersionElement): boolean {
  if (a.kind === "range")
    return b.kind === "range" && compareVersions(a.low, b.low) >= 0 && compareVersions(a.end, b.end) <= 0;
  if (b.kind === "range") return a.version !== undefined && within(a.version, b);
  if (a.kind === "git") return b.kind === "git" && sameGit(a, b);
  return b.kind === "exact" && compareVersions(a.version, b.version) === 0;
}

function elementsIntersect(a: VersionElement, b: VersionElement): boolean {
  if (a.kind === "range" && b.kind === "range")
    return compareVersions(a.low, b.end) < 0 && compareVersions(b.low, a.end) < 0;
  return a.kind === "range" ? elementSatisfies(b, a) : elementSatisfies(a, b);
}

/** True if every version of `a` is in `b`. */
export function versionsSatisfy(a: VersionList, b: VersionList): boolean {
  return a.every((mine) => b.some((other) => elementSatisfies(mine, other)));
}

/** True if the version of a concrete spec is in `list`; a text that is no version is in none. */
export function versionSatisfies(version: string, list: VersionList): boolean {
  const mine = readConcrete(version);
  return mine !== undefined && list.some((other) => elementSatisfies(mine, other));
}

/** True if the lists have a version in common. */
export function versionsIntersect(a: VersionList, b: VersionList): boolean {
  return a.some((mine) => b.some((other) => elementsIntersect(mine, other)));
}

/** The versions in both lists. */
export function intersectVersions(a: VersionList, b: VersionList): VersionList {
  const common: VersionElement[] = [];
  // Both are sorted: the element that ends first cannot overlap later ones of the other list.
  for (let [at, other] = [0, 0]; ; ) {
    const [mine, theirs] = [a[at], b[other]];
    if (!mine || !theirs) break;
    if (elementsIntersect(mine, theirs)) common.push(mine.kind === "range" ? cut(theirs, mine) : mine);
    if (compareEnds(mine, theirs) <= 0) at++;
    else other++;
  }
  return normalise(common);
}

function compareEnds(a: VersionElement, b: VersionElement): number {
  const [mine, other] = [a, b].map((element) => (element.kind === "range" ? element.end : lowOf(element)));
  return (mine && other ? compareVersions(mine, other) : 0) || TIES[a.kind] - TIES[b.kind] || compareElements(a, b);
}

function cut(element: VersionElement, range: VersionRange): VersionElement {
  if (element.kind !== "range") return element;
  const low = compareVersions(element.low, range.low) >= 0 ? element.low : range.low;
  const { high, end } = compareVersions(element.end, range.end) <= 0 ? element : range;
  return makeRange(low, high, end);
}

/** Prints a list as Spack does; `parseVersions` reads it back. */
export function printVersions(list: VersionList): string {
  return list.map(printElement).join(",");
}

function printElement(element: VersionElement): string {
  if (element.kind === "git") return element.text;
  if (element.kind === "exact") return `=${element.version.text}`;
  const { low, high } = element;
  return low !== LOWEST && compareVersions(low, high) === 0 ? low.text : `${low.text}:${high.text}`;
}

// Modifications of environment variables as data, applied as Spack does (`util/environment.py`).
import { posix } from "node:path";

/** One modification of one variable. `separator` separates the entries of a path list, or flags. */
export type EnvModification =
  | { readonly op: "set"; readonly name: string; readonly value: string }
  | { readonly op: "unset"; readonly name: string }
  | {
      readonly op:
        | "prepend-path"
        | "append-path"
        | "remove-path"
        | "remove-first-path"
        | "remove-last-path"
        | "append-flags"
        | "remove-flags";
      readonly name: string;
      readonly value: string;
      readonly separator: string;
    }
  | { readonly op: "prune-duplicate-paths"; readonly name: string; readonly separator: string }
  | { readonly op: "deprioritize-system-paths"; readonly name: string; readonly separator: string };

/** The initial environment of a container: Spack's `PATH`, overlaid by the base image's `Env`. */
export function baseEnvironment(entries: readonly string[] = []): Map<string, string> {
  const base = new Map([["PATH", "/bin:/usr/bin"]]);
  for (const entry of entries) {
    const at = entry.indexOf("=");
    if (at > 0) base.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return base;
}

/**
 * Applies modifications to a copy of an environment: variables in alphabetical order, the modifications of each in
 * sequence. Existing variables keep their position; new ones go at the end. Removing from a missing variable does
 * nothing, but with `exact` sets it to `.`, as Spack does.
 */
export function applyModifications(
  modifications: readonly EnvModification[],
  base: ReadonlyMap<string, string>,
  exact = false,
): Map<string, string> {
  const env = new Map(base);
  const byName = Map.groupBy(modifications, ({ name }) => name);
  for (const [name, all] of [...byName].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const value = applied(all, base.get(name), exact);
    // A variable that is unset and set again moves to the end.
    if (all.some(({ op }) => op === "unset")) env.delete(name);
    if (value !== undefined) env.set(name, value);
  }
  return env;
}

// The value of one variable. Lists stay split between modifications: an environment of 20 000 specs has lists as long.
function applied(
  modifications: readonly EnvModification[],
  value: string | undefined,
  exact: boolean,
): string | undefined {
  let text = value;
  let list: PathList | undefined;
  const settle = (): void => {
    if (list) text = list.entries().join(list.separator);
    list = undefined;
  };
  for (const one of modifications) {
    if (one.op === "set" || one.op === "unset" || one.op === "append-flags") {
      settle();
      if (one.op === "append-flags") text = text ? text + one.separator + one.value : one.value;
      else text = one.op === "set" ? one.value : undefined;
      continue;
    }
    const isAdding = one.op === "prepend-path" || one.op === "append-path";
    // An added entry may contain separators and from now on counts as several.
    if (!isAdding || list?.separator !== one.separator) settle();
    if (list === undefined && text === undefined && !isAdding && !exact) continue;
    const isRemoving = one.op.startsWith("remove-") && one.op.endsWith("-path");
    list ??= new PathList(text || isRemoving ? (text ?? "").split(one.separator) : [], one.separator);
    if (one.op === "prepend-path") list.front.push(normalPath(one.value));
    else if (one.op === "append-path") list.back.push(normalPath(one.value));
    else list = new PathList(reduced(one, list.entries()), one.separator);
    if (list.isEmpty) settle();
  }
  settle();
  return text;
}

/** The entries of a list; both ends grow without moving the others. */
class PathList {
  /** The entries before `back`, the last one first. */
  readonly front: string[] = [];
  readonly back: string[];
  readonly separator: string;

  constructor(entries: string[], separator: string) {
    this.back = entries;
    this.separator = separator;
  }

  entries(): string[] {
    return [...this.front.toReversed(), ...this.back];
  }

  /** True for a list that becomes an empty text, also one with a single empty entry. */
  get isEmpty(): boolean {
    const count = this.front.length + this.back.length;
    return count === 0 || (count === 1 && (this.front[0] ?? this.back[0]) === "");
  }
}

// The entries that remain after a modification. Spack normalizes all of them when it removes or sorts.
function reduced(one: Exclude<EnvModification, { op: "set" | "unset" }>, entries: readonly string[]): string[] {
  if (one.op === "remove-flags") return entries.filter((flag) => flag !== one.value);
  const normal = entries.map(normalPath);
  if (one.op === "prune-duplicate-paths") return [...new Set(normal)];
  if (one.op === "deprioritize-system-paths")
    return [...normal.filter((path) => !isSystemPath(path)), ...normal.filter(isSystemPath)];
  const gone = normalPath(one.value);
  // This one compares before normalizing.
  if (one.op === "remove-path") return entries.filter((path) => path !== gone).map(normalPath);
  const at = one.op === "remove-first-path" ? normal.indexOf(gone) : normal.lastIndexOf(gone);
  return at < 0 ? normal : normal.toSpliced(at, 1);
}

/**
 * Python's `os.path.normpath`: removes empty, `.` and `..` folders and the trailing slash, and keeps two leading
 * slashes.
 */
export function normalPath(path: string): string {
  if (path === "") return ".";
  // Nearly all of the many paths are normal already.
  if (path.startsWith("/") && !UNUSUAL.test(path)) return path;
  const normal = posix.normalize(path);
  const plain = normal.length > 1 ? normal.replace(/\/$/, "") : normal;
  return /^\/\/(?!\/)/.test(path) ? `/${plain}` : plain;
}

const UNUSUAL = /\/(?:[/.]|$)/;

const SYSTEM = new Set(
  ["/", "/usr", "/usr/local"].flatMap((root) => [
    root,
    ...["bin", "bin64", "include", "lib", "lib64"].map((sub) => posix.join(root, sub)),
  ]),
);

/** True for folders that every system searches anyway, which Spack therefore never adds. */
export function isSystemPath(path: string): boolean {
  return path !== "" && SYSTEM.has(normalPath(path));
}

/** The entries of an image's `Env`. */
export function envList(env: ReadonlyMap<string, string>): string[] {
  return [...env].map(([name, value]) => `${name}=${value}`);
}

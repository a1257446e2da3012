// The values that a recipe's expressions have: Python's plain ones, and the few objects of Spack that describe a spec.
import type { SpecNode, VariantValue } from "../spec/node.ts";
import { compareVersions, parseVersion } from "../spec/version.ts";

/** A value. Lists stand for tuples too, and may be changed in place. */
export type Value = string | number | boolean | null | Value[] | Thing;

/** A value that is an object of Spack, or a part of one. */
export type Thing =
  /** A folder whose attributes are folders below it. */
  | { readonly kind: "prefix"; readonly path: string }
  | { readonly kind: "spec"; readonly node: SpecNode }
  | { readonly kind: "version"; readonly text: string }
  | { readonly kind: "variants"; readonly node: SpecNode }
  | { readonly kind: "variant"; readonly value: VariantValue }
  /** The package itself, or with `of` the package of another spec. */
  | { readonly kind: "package"; readonly of?: SpecNode }
  | { readonly kind: "environment" }
  /** A module or a function of one, by its dotted name. */
  | { readonly kind: "module"; readonly name: string }
  | MethodValue
  /** What `super()` gives. */
  | { readonly kind: "bases" };

/** A method of a value. */
export interface MethodValue {
  readonly kind: "method";
  readonly of: Value;
  readonly name: string;
}

/** True for an object of Spack. */
export function isThing(value: Value | undefined): value is Thing {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text of `str(value)`; undefined for values whose text is not known here. */
export function textOf(value: Value): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === null || Array.isArray(value)) return undefined;
  if (value.kind === "prefix") return value.path;
  return value.kind === "version" ? value.text : undefined;
}

/** The text of a value that is one in Python, too: a string or a folder. */
export function pathOf(value: Value): string | undefined {
  if (typeof value === "string") return value;
  return isThing(value) && value.kind === "prefix" ? value.path : undefined;
}

/** Whether a value counts as true; undefined if that is not known here. */
export function isTrue(value: Value): boolean | undefined {
  if (value === null) return false;
  if (typeof value !== "object") return Boolean(value);
  if (Array.isArray(value)) return value.length > 0;
  if (value.kind === "prefix") return value.path !== "";
  return value.kind === "spec" ? true : undefined;
}

/** Python's `==`; undefined for values that are not compared here. */
export function equals(a: Value, b: Value): boolean | undefined {
  const order = orderOfVersions(a, b);
  if (order !== undefined) return order === 0;
  const [one, other] = [pathOf(a), pathOf(b)];
  if (one !== undefined && other !== undefined) return one === other;
  const isPlain = (value: Value): boolean => value === null || typeof value !== "object" || pathOf(value) !== undefined;
  if (isPlain(a) && isPlain(b)) {
    // `1 == True` holds in Python.
    if (typeof a !== typeof b && typeof a !== "string" && typeof b !== "string" && a !== null && b !== null)
      return undefined;
    return a === b;
  }
  return undefined;
}

/** The order of two versions; undefined if one is no version. */
export function orderOfVersions(a: Value, b: Value): number | undefined {
  const [one, other] = [versionOf(a), versionOf(b)];
  return one === undefined || other === undefined ? undefined : compareVersions(parseVersion(one), parseVersion(other));
}

function versionOf(value: Value): string | undefined {
  return isThing(value) && value.kind === "version" ? value.text : undefined;
}

/**
 * The first components of a version with their separators, as Spack's `up_to` has them: numbers lose leading zeros, and
 * the stage (`rc1`) does not count. Undefined if none remain.
 */
export function versionUpTo(text: string, count: number): string | undefined {
  const total = parseVersion(text).release.length;
  const wanted = count < 0 ? total + count : Math.min(count, total);
  const parts = [...text.matchAll(/([0-9]+|[a-zA-Z]+)([^0-9a-zA-Z]*)/g)].slice(0, Math.max(wanted, 0));
  if (parts.length === 0) return undefined;
  return parts
    .map(([, word = "", separator = ""], at) => {
      const plain = /^[0-9]/.test(word) ? word.replace(/^0+(?=[0-9])/, "") : word;
      return at === parts.length - 1 ? plain : plain + separator;
    })
    .join("");
}

/** Python's `os.path.join`. */
export function joinPaths(first: string, ...others: readonly string[]): string {
  let path = first;
  for (const part of others)
    if (part.startsWith("/")) path = part;
    else path += path === "" || path.endsWith("/") ? part : `/${part}`;
  return path;
}

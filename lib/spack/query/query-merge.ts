// Merges two queries of one node (Spack `Spec.constrain`).
import { StaveError } from "../../errors.ts";
import type { SpecQuery, VariantQuery } from "./query.ts";
import { intersectTargets } from "./target-range.ts";
import { intersectVersions } from "./version-range.ts";

/** Merges two queries of a node; edges and file come from the first. Throws SPEC_INVALID if they conflict. */
export function merge(a: SpecQuery, b: SpecQuery): SpecQuery {
  const versions = a.versions && b.versions ? intersectVersions(a.versions, b.versions) : (a.versions ?? b.versions);
  if (versions?.length === 0) throw contradiction(a, "versions");
  const variants = new Map(a.variants);
  for (const [name, variant] of b.variants) {
    const known = variants.get(name);
    variants.set(name, known ? mergeVariants(a, name, known, variant) : variant);
  }
  const flags = new Map(a.flags);
  for (const [kind, more] of b.flags) {
    const known = flags.get(kind) ?? [];
    flags.set(kind, [...known, ...more.filter(({ text }) => !known.some((flag) => flag.text === text))]);
  }
  return {
    ...a,
    name: same(a, "names", a.name, b.name),
    namespace: same(a, "namespaces", a.namespace, b.namespace),
    versions,
    variants,
    flags,
    platform: same(a, "platforms", a.platform, b.platform),
    os: same(a, "operating systems", a.os, b.os),
    target: mergeTargets(a, b),
    hash: mergeHashes(a, b),
  };
}

function contradiction(query: SpecQuery, what: string): StaveError {
  return new StaveError("SPEC_INVALID", `${query.name ?? "the spec"} is requested with conflicting ${what}`);
}

function same(query: SpecQuery, what: string, a: string | undefined, b: string | undefined): string | undefined {
  if (a !== undefined && b !== undefined && a !== b) throw contradiction(query, what);
  return a ?? b;
}

function mergeTargets(a: SpecQuery, b: SpecQuery): string | undefined {
  if (a.target === undefined || b.target === undefined) return a.target ?? b.target;
  const both = intersectTargets(a.target, b.target);
  if (both === undefined) throw contradiction(a, "targets");
  return both;
}

function mergeHashes(a: SpecQuery, b: SpecQuery): string | undefined {
  if (a.hash === undefined || b.hash === undefined) return a.hash ?? b.hash;
  const [short, long] = a.hash.length <= b.hash.length ? [a.hash, b.hash] : [b.hash, a.hash];
  if (!long.startsWith(short)) throw contradiction(a, "hashes");
  return long;
}

function mergeVariants(query: SpecQuery, name: string, a: VariantQuery, b: VariantQuery): VariantQuery {
  const propagated = a.propagated && b.propagated;
  if (a.value === undefined || b.value === undefined) return { ...(a.value === undefined ? b : a), propagated };
  if (typeof a.value === "boolean" || typeof b.value === "boolean") {
    if (a.value !== b.value) throw contradiction(query, `values of ${name}`);
    return { ...a, propagated };
  }
  const values = [...new Set([...a.value, ...b.value])];
  const fits = (side: VariantQuery): boolean =>
    !side.exact || (Array.isArray(side.value) && new Set(side.value).size === values.length);
  if (!fits(a) || !fits(b)) throw contradiction(query, `values of ${name}`);
  return { value: values, exact: a.exact || b.exact, propagated };
}

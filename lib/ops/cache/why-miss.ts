// `why-miss`: explains why a spec would not be installed from a cache.

import type { CacheListing, ReadCache } from "../../cache/cache.ts";
import type { CacheIndex } from "../../cache/index-read.ts";
import { indexedSpecs } from "../../cache/index-select.ts";
import { isUnfit } from "../../cache/unusable.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { ANY } from "../../spack/query/query.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { type Difference, specDifferences } from "../../spack/spec/spec-diff.ts";
import { specTag } from "../../spack/spec/spec-name.ts";
import type { OperationOptions } from "../../target/target.ts";
import { askInOrder, throwUnasked } from "./ask-in-order.ts";
import { type TryRelocationOptions, tryRelocation } from "./try-relocation.ts";

/** The reason, or `none` if the cache would be used. */
export type MissReason =
  | "none"
  | "external"
  | "absent"
  | "other version"
  | "other architecture"
  | "other hash"
  | "not in the index"
  | "unreadable"
  | "prefix too short"
  | "not relocatable";

/** A spec of the cache that is similar to the wanted one. */
export interface NearSpec {
  name: string;
  version: string;
  hash: string;
  tag: string;
  architecture: string | undefined;
  /** The differences between the wanted spec (`left`) and the cached one (`right`), nearest to the root first. */
  differences: Difference[];
}

/** The report of `why-miss`. */
export interface WhyMissReport {
  cache: string;
  name: string;
  version: string;
  hash: string;
  tag: string;
  architecture: string;
  reason: MissReason;
  /** The reason as a sentence. */
  explanation: string;
  /** The install root for which relocation was tried; undefined if it was not. */
  root: string | undefined;
  /** Specs of the same name, the most similar first. */
  near: NearSpec[];
}

/** The options of `why-miss`. */
export interface WhyMissOptions extends OperationOptions {
  /** Where it would be installed; if given, the archive is read to check whether it can be relocated there. */
  readonly install?: Omit<TryRelocationOptions, "signal"> | undefined;
}

const NEAR = 5;
/** How many specs of the same name are compared; a cache rarely has more. */
const COMPARED = 200;

/** Finds the reason. Throws if the cache cannot be read. */
export async function whyMiss(
  cache: ReadCache,
  wanted: SpecNode,
  options: WhyMissOptions = {},
): Promise<WhyMissReport> {
  const { name, version, hash } = wanted;
  const { install } = options;
  const named = { cache: cache.name, name, version, hash, tag: specTag(wanted) };
  const base = { ...named, architecture: architectureOf(wanted), root: undefined };
  const answer = (reason: MissReason, explanation: string, near: NearSpec[] = []): WhyMissReport => {
    return { ...base, reason, explanation, near };
  };
  if (wanted.external !== undefined) return answer("external", "it is an external: Spack did not build it");
  const { signal } = options;
  const listing = cache.can.list ? await cache.list({ signal }) : undefined;
  const index = await readIndex(cache, options);
  if (listing?.specs.has(base.tag) ?? (await cache.has(base.tag, { node: wanted, signal }))) {
    const image = await orReason(() => cache.fetchSpec(base.tag, { node: wanted, signal }));
    if (typeof image === "string") return answer("unreadable", `its image cannot be used: ${image}`);
    if (typeof index === "string") return answer("not in the index", `the cache has it, but ${index}`);
    if (index.records.get(hash)?.inBuildcache !== true)
      return answer("not in the index", "the cache has it, but its index does not list it");
    const there = "the cache has it, and its index lists it";
    if (install === undefined) return answer("none", there);
    const failure = await orReason(() => tryRelocation(cache, image, { ...install, signal: options.signal }));
    if (typeof failure === "string") return answer("unreadable", `its archive cannot be used: ${failure}`);
    const { root } = install.at;
    if (failure === undefined) return { ...answer("none", `${there}; its files can be relocated to ${root}`), root };
    const { error, isLonger } = failure;
    const [first = error, ...more] = error.errors ?? [];
    const others = more.length === 0 ? "" : `, and ${more.length} more ${more.length === 1 ? "file" : "files"}`;
    const reason = isLonger ? "prefix too short" : "not relocatable";
    return { ...answer(reason, `its files do not fit ${root}: ${first.message}${others}`), root };
  }
  const near = typeof index === "string" ? taggedNear(wanted, listing) : indexedNear(wanted, index, cache.name);
  const [reason, explanation] = compare(wanted, near);
  return answer(reason, explanation, near);
}

/** The reasons of several caches. */
export interface WhyMissAllReport extends WhyMissReport {
  /** Those of the caches that were asked after the first one; only with several caches. */
  others?: WhyMissReport[];
}

/**
 * Finds the reasons of several caches, asked in order until one would be used; that one comes first in the report then.
 * Throws if a cache cannot be read and no other would be used.
 */
export async function whyMissAll(
  caches: readonly ReadCache[],
  wanted: SpecNode,
  options: WhyMissOptions = {},
): Promise<WhyMissAllReport> {
  const reports: WhyMissReport[] = [];
  const { answer, failures } = await askInOrder(caches, async (cache) => {
    const report = await whyMiss(cache, wanted, options);
    reports.push(report);
    return report.reason === "none" || report.reason === "external" ? report : undefined;
  });
  if (answer === undefined) throwUnasked(failures, caches.length);
  const first = answer ?? reports[0];
  if (first === undefined) throw new StaveError("INTERNAL", "no cache was asked");
  return caches.length === 1 ? first : { ...first, others: reports.filter((report) => report !== first) };
}

// The image, or why it cannot be used. A failed request is no reason and throws.
async function orReason<T>(read: () => Promise<T>): Promise<T | string> {
  try {
    return await read();
  } catch (error) {
    if (isUnfit(error) || isStaveError(error, "ARCHIVE_UNSAFE")) return error.message;
    throw error;
  }
}

// The index, or why it cannot be used.
async function readIndex(cache: ReadCache, options: OperationOptions): Promise<CacheIndex | string> {
  try {
    return (await cache.readIndex(options)) ?? "there is no index";
  } catch (error) {
    if (isStaveError(error, "CONTENT_INVALID", "MEDIA_TYPE", "TOO_LARGE", "UNSUPPORTED", "DIGEST_MISMATCH"))
      return `its index cannot be read: ${error.message}`;
    throw error;
  }
}

function indexedNear(wanted: SpecNode, index: CacheIndex, place: string): NearSpec[] {
  const { nodes } = indexedSpecs(index, [{ ...ANY, name: wanted.name }], place);
  const alike = nodes.filter((node) => node.name === wanted.name);
  // Compare the dependencies only of those whose own attributes are most similar.
  const scored = alike.map((node) => ({ node, score: likeness(wanted, node) })).sort((a, b) => b.score - a.score);
  return scored
    .slice(0, COMPARED)
    .map(({ node, score }) => ({ node, score, differences: specDifferences(wanted, node) }))
    .sort((a, b) => b.score - a.score || a.differences.length - b.differences.length)
    .slice(0, NEAR)
    .map(({ node, differences }) => {
      const { name, version, hash } = node;
      return { name, version, hash, tag: specTag(node), architecture: architectureOf(node), differences };
    });
}

function taggedNear(wanted: SpecNode, listing: CacheListing | undefined): NearSpec[] {
  return [...(listing?.specs.values() ?? [])]
    .filter(({ name }) => name === wanted.name)
    .sort((a, b) => Number(b.version === wanted.version) - Number(a.version === wanted.version))
    .slice(0, NEAR)
    .map(({ name, version, hash, tag }) => ({ name, version, hash, tag, architecture: undefined, differences: [] }));
}

function likeness(a: SpecNode, b: SpecNode): number {
  return 4 * Number(a.version === b.version) + 2 * Number(a.os === b.os) + Number(a.target === b.target);
}

function compare(wanted: SpecNode, near: readonly NearSpec[]): [MissReason, string] {
  const [nearest] = near;
  if (nearest === undefined) return ["absent", `the cache has no ${wanted.name}`];
  if (nearest.version !== wanted.version) {
    const versions = [...new Set(near.map(({ version }) => version))].join(", ");
    return ["other version", `the cache has ${wanted.name} in other versions: ${versions}`];
  }
  const mine = architectureOf(wanted);
  if (nearest.architecture !== undefined && nearest.architecture !== mine)
    return ["other architecture", `the cache has it for ${nearest.architecture}, not for ${mine}`];
  const [first] = nearest.differences;
  const why = first === undefined ? "" : `: ${describeDifference(first)}`;
  return ["other hash", `the cache has the same version under another hash${why}`];
}

/** A difference as a sentence. */
export function describeDifference({ path, attribute, left, right }: Difference): string {
  const shown = (text: string): string => (text === "" ? "none" : text);
  const node = path.length > 1 ? `the ${attribute} of ${path.join(" -> ")}` : `its ${attribute}`;
  const [a, b] = attribute === "variants" || attribute === "dependencies" ? changedWords(left, right) : [left, right];
  return `${node}: ${shown(a)} here, ${shown(b)} there`;
}

// For two long lists, show only the elements that one of them lacks.
function changedWords(left: string, right: string): [string, string] {
  const split = (text: string): string[] => text.match(/[+~][^+~\s]+|\S+/g) ?? [];
  const [a, b] = [split(left), split(right)];
  return [a.filter((word) => !b.includes(word)).join(" "), b.filter((word) => !a.includes(word)).join(" ")];
}

function architectureOf({ platform, os, target }: SpecNode): string {
  return `${platform}-${os}-${target}`;
}

// Finds the concrete specs that SPEC arguments name: spec files, hashes, or queries that match exactly one spec.

import { StaveError } from "../../errors.ts";
import { printQuery, type SpecQuery } from "../../spack/query/query.ts";
import { type Candidates, compareNodes, select, selectOne, selectSome } from "../../spack/query/select.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import { formatSpec } from "../../spack/spec/spec-format.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Store } from "../../spack/store/store.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { type AskedSpec, type Choose, SpackFiles, type SpackFlags } from "./spack-files.ts";

/** A concrete spec, its graph, and the store it was looked up in, if a store was needed. */
export interface ChosenSpec {
  root: SpecNode;
  graph: SpecGraph;
  store: Store | undefined;
}

/**
 * Finds the specs to work on, each once: those that the words name, or by default the roots of the environment. Queries
 * match installed specs first; in an environment they match only its specs. Throws SPEC_ABSENT, and USAGE if no spec is
 * named or a query matches several.
 */
export async function chosenRoots(files: SpackFiles, store: Store, words: readonly string[]): Promise<SpecNode[]> {
  const lock = await files.lock();
  const asked = await files.specs(words);
  if (asked.length === 0 && (words.length > 0 || lock === undefined)) throw nothingNamed();
  const mine = (node: SpecNode): SpecNode => store.get(node.hash)?.node ?? node;
  const candidates = [...store.records()].filter(({ node }) => lock === undefined || lock.graph.get(node.hash));
  const installed = candidates.filter((record) => record.installed);
  const { graph } = store.database;
  const among = (records: typeof candidates, place: string) => ({
    nodes: records.map(({ node }) => node),
    graph,
    place,
  });
  const place = `the store ${store.root}`;
  const found: SpecNode[] = words.length === 0 ? (lock?.roots ?? []).map(({ node }) => mine(node)) : [];
  for (const { query, document } of asked) {
    if (document) {
      found.push(mine(document.root));
      continue;
    }
    const isThere = select(among(installed, place), [query]).length > 0;
    found.push(await pickOne(files, among(isThere ? installed : candidates, place), query));
  }
  return once(found);
}

/** The same, but all must be installed. Throws SPEC_NOT_INSTALLED too. */
export async function installedRoots(files: SpackFiles, store: Store, words: readonly string[]): Promise<SpecNode[]> {
  const roots = await chosenRoots(files, store, words);
  for (const { name, hash } of roots)
    if (!store.get(hash)?.installed)
      throw new StaveError("SPEC_NOT_INSTALLED", `${name}/${hash.slice(0, 7)} is not installed`, { subject: hash });
  return roots;
}

/** Finds one concrete spec for each argument; there must be at least one. Opens the store only for queries. */
export async function chosenSpecs(
  context: Surroundings,
  flags: SpackFlags,
  words: readonly string[],
): Promise<[ChosenSpec, ...ChosenSpec[]]> {
  let store: Store | undefined;
  const files = new SpackFiles(context, flags);
  const chosen: ChosenSpec[] = [];
  for (const { query, document } of await files.specs(words)) {
    if (document) {
      chosen.push({ ...document, store: undefined });
      continue;
    }
    store ??= await files.store();
    const nodes = [...store.records()].filter((record) => record.installed).map((record) => record.node);
    const { graph } = store.database;
    const root = await pickOne(files, { nodes, graph, place: `the store ${store.root}` }, query);
    chosen.push({ root, graph, store });
  }
  const [first, ...rest] = chosen;
  if (first === undefined)
    throw new StaveError("USAGE", "no spec was named", { hint: "name one, for example zlib, /abc123 or ./spec.json" });
  return [first, ...rest];
}

/** The one spec that the words name. Throws USAGE for none or several, and like `chosenSpecs`. */
export async function chosenSpec(
  context: Surroundings,
  flags: SpackFlags,
  words: readonly string[],
): Promise<ChosenSpec> {
  return onlyOne(await chosenSpecs(context, flags, words), words);
}

/** The one spec argument that the words contain. Throws USAGE for none or several. */
export async function askedSpec(files: SpackFiles, words: readonly string[]): Promise<AskedSpec> {
  return onlyOne(await files.specs(words), words);
}

function onlyOne<T>(found: readonly T[], words: readonly string[]): T {
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const count = found.length === 0 ? "no spec" : `${found.length} specs`;
  throw new StaveError("USAGE", `"${words.join(" ")}" names ${count}, expected one`, {
    hint: "name one spec, for example hdf5@1.14 ^mpi, /abc123 or ./spec.json",
  });
}

/**
 * Finds specs that need not be installed: those that the words name, or by default every spec of the environment,
 * dependencies included. Looks up queries in the environment if there is one, otherwise in the store, which is opened
 * only then. Throws like `chosenRoots`.
 */
export async function knownSpecs(files: SpackFiles, words: readonly string[]): Promise<SpecNode[]> {
  const lock = await files.lock();
  if (words.length === 0 && lock !== undefined) return [...lock.graph.nodes()];
  const asked = await files.specs(words);
  if (asked.length === 0) throw nothingNamed();
  const found: SpecNode[] = [];
  let candidates: Candidates | undefined;
  for (const { query, document } of asked) {
    if (document) {
      found.push(document.root);
      continue;
    }
    candidates ??= lock
      ? { nodes: [...lock.graph.nodes()], graph: lock.graph, place: "the environment" }
      : await storeCandidates(files);
    found.push(await pickOne(files, candidates, query));
  }
  return once(found);
}

/** The one spec that the words name, installed or not. Throws USAGE for none or several, and like `knownSpecs`. */
export async function knownSpec(files: SpackFiles, words: readonly string[]): Promise<SpecNode> {
  return onlyOne(await knownSpecs(files, words), words);
}

// The only spec that satisfies a query; if there are several, the user may pick one.
async function pickOne({ choose }: SpackFiles, candidates: Candidates, query: SpecQuery): Promise<SpecNode> {
  if (choose === undefined) return selectOne(candidates, query);
  return (await chosenAmong(choose, selectSome(candidates, query), query)) ?? selectOne(candidates, query);
}

/** The most specs that a user is asked to pick from. */
const MOST_CHOICES = 200;

/** Asks for one of several specs; undefined if there are too many for a list. */
export async function chosenAmong(
  choose: Choose,
  found: readonly SpecNode[],
  query: SpecQuery,
): Promise<SpecNode | undefined> {
  if (found.length > MOST_CHOICES) return undefined;
  if (found.length === 1) return found[0];
  // The newest first.
  const sorted = found.toSorted(compareNodes).toReversed();
  const lines = sorted.map(
    (node) => `${shortName(node)}${formatSpec(node, "{variants}{ arch=architecture}{%compiler}")}`,
  );
  return sorted[await choose(`${printQuery(query)} matches ${found.length} specs; which one?`, lines)];
}

const once = (nodes: readonly SpecNode[]): SpecNode[] => [...new Map(nodes.map((node) => [node.hash, node])).values()];

/** The error if no spec was named. */
export const nothingNamed = (): StaveError =>
  new StaveError("USAGE", "no spec was named", {
    hint: "name one, for example zlib or /abc123, or an environment with `environment`",
  });

/** The specs of a store that a user asked to install, without those that Spack did not build. Throws SPEC_ABSENT. */
export function explicitSpecs(store: Store): SpecNode[] {
  const records = [...store.records()].filter(({ node, installed, explicit }) => {
    return installed && explicit && node.external === undefined;
  });
  if (records.length > 0) return records.map(({ node }) => node);
  throw new StaveError("SPEC_ABSENT", `the store ${store.root} has no spec that was installed by name`, {
    hint: "name specs, for example zlib or /abc123",
  });
}

async function storeCandidates(files: SpackFiles): Promise<Candidates> {
  if (files.discovery.store === undefined)
    throw new StaveError("CONFIG_INVALID", "there is no environment or store to look up specs in", {
      hint: "name an environment with `environment`, a store with `store`, or a spec file",
    });
  const store = await files.store();
  const nodes = [...store.records()].map(({ node }) => node);
  return { nodes, graph: store.database.graph, place: `the store ${store.root}` };
}

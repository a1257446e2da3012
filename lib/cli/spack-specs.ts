// From a SPEC argument to one concrete spec: a spec file, a hash, or a query that exactly one installed spec satisfies.

import { resolve } from "node:path";
import { StaveError } from "../errors.ts";
import type { SpecGraph, SpecNode } from "../spack/node.ts";
import { type Candidates, select, selectOne } from "../spack/select.ts";
import { readSpecFile, SPEC_FILE_LIMIT } from "../spack/spec.ts";
import type { Store } from "../spack/store.ts";
import { readBounded } from "../util/read-file.ts";
import type { Context } from "./context.ts";
import { SpackFiles, type SpackFlags } from "./spack-options.ts";

/** A concrete spec, the graph it lives in, and the store it was looked up in, when that was needed. */
export interface ChosenSpec {
  root: SpecNode;
  graph: SpecGraph;
  store: Store | undefined;
}

/**
 * Finds the specs to work on, each once: those that the texts name, or without any the roots of the environment. A query is
 * looked up among what is installed first; in an environment only among its specs. Throws USAGE when nothing says which,
 * SPEC_ABSENT, and USAGE when a query fits several.
 */
export async function chosenRoots(
  context: Context,
  files: SpackFiles,
  store: Store,
  texts: readonly string[],
): Promise<SpecNode[]> {
  const lock = await files.lock();
  if (texts.length === 0 && lock === undefined)
    throw new StaveError("USAGE", "nothing says which specs are meant", {
      hint: "name some, for instance zlib or /abc123, or an environment with -e DIR",
    });
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
  const found: SpecNode[] = texts.length === 0 ? (lock?.roots ?? []).map(({ node }) => mine(node)) : [];
  for (const text of texts) {
    if (SPEC_FILE.test(text)) {
      const { bytes } = await readBounded(resolve(context.cwd, text), SPEC_FILE_LIMIT);
      found.push(mine(readSpecFile(bytes, text).root));
      continue;
    }
    for (const query of await files.queries([text])) {
      const isThere = select(among(installed, place), [query]).length > 0;
      found.push(selectOne(among(isThere ? installed : candidates, place), query));
    }
  }
  return [...new Map(found.map((node) => [node.hash, node])).values()];
}

const SPEC_FILE = /\.json$/;

/** Finds one concrete spec for each text, at least one. The store is opened only when a text is no spec file. */
export async function chosenSpecs(
  context: Context,
  flags: SpackFlags,
  texts: readonly string[],
): Promise<[ChosenSpec, ...ChosenSpec[]]> {
  let store: Store | undefined;
  const files = new SpackFiles(context, flags);
  const one = async (text: string): Promise<ChosenSpec> => {
    if (text === "")
      throw new StaveError("USAGE", "no spec was named", {
        hint: "name one, for instance zlib, /abc123 or ./spec.json",
      });
    if (SPEC_FILE.test(text)) {
      const { bytes } = await readBounded(resolve(context.cwd, text), SPEC_FILE_LIMIT);
      return { ...readSpecFile(bytes, text), store: undefined };
    }
    store ??= await files.store();
    const opened = store;
    const [query, ...more] = await files.queries([text]);
    if (query === undefined || more.length > 0)
      throw new StaveError("USAGE", `${JSON.stringify(text)} is ${more.length + 1} specs, expected one`, {
        hint: "quote one spec as one argument",
      });
    const nodes = [...opened.records()].filter((record) => record.installed).map((record) => record.node);
    const { graph } = opened.database;
    return { root: selectOne({ nodes, graph, place: `the store ${opened.root}` }, query), graph, store: opened };
  };
  const [first = "", ...rest] = texts;
  const chosen: [ChosenSpec, ...ChosenSpec[]] = [await one(first)];
  for (const text of rest) chosen.push(await one(text));
  return chosen;
}

/**
 * Finds specs that need not be installed: those that the texts name, or without any all of the environment, what they depend
 * on included. A query is looked up in the environment when there is one, else in the store, which is opened only then.
 * Throws as `chosenRoots`.
 */
export async function knownSpecs(context: Context, files: SpackFiles, texts: readonly string[]): Promise<SpecNode[]> {
  const lock = await files.lock();
  if (texts.length === 0 && lock !== undefined) return [...lock.graph.nodes()];
  if (texts.length === 0)
    throw new StaveError("USAGE", "nothing says which specs are meant", {
      hint: "name some, for instance zlib or /abc123, or an environment with -e DIR",
    });
  const found: SpecNode[] = [];
  let candidates: Candidates | undefined;
  for (const text of texts) {
    if (SPEC_FILE.test(text)) {
      const { bytes } = await readBounded(resolve(context.cwd, text), SPEC_FILE_LIMIT);
      found.push(readSpecFile(bytes, text).root);
      continue;
    }
    candidates ??= lock
      ? { nodes: [...lock.graph.nodes()], graph: lock.graph, place: "the environment" }
      : await storeCandidates(files);
    for (const query of await files.queries([text])) found.push(selectOne(candidates, query));
  }
  return [...new Map(found.map((node) => [node.hash, node])).values()];
}

async function storeCandidates(files: SpackFiles): Promise<Candidates> {
  if (files.discovery.store === undefined)
    throw new StaveError("CONFIG_INVALID", "nothing says where specs are looked up", {
      hint: "name an environment with -e DIR, a store with --store DIR, or a spec file",
    });
  const store = await files.store();
  const nodes = [...store.records()].map(({ node }) => node);
  return { nodes, graph: store.database.graph, place: `the store ${store.root}` };
}

// Providers of virtual packages by configuration (`packages:all:providers`). A graph only knows a provider by its
// incoming edges; for specs that nothing depends on, this table is the only source.
import { isStaveError } from "../../errors.ts";
import type { Configuration } from "../config/config.ts";
import { entriesOf } from "../config/settings.ts";
import type { SpecGraph, SpecNode } from "../spec/node.ts";
import type { YamlNode } from "../text/yaml.ts";
import type { SpecQuery } from "./query.ts";
import { satisfies } from "./satisfies.ts";

/** By provider name: what it provides if it satisfies the query. */
export type Providers = ReadonlyMap<string, readonly { readonly virtual: string; readonly query: SpecQuery }[]>;

/** Reads the table; invalid specs in it provide nothing. Throws CONFIG_INVALID. */
export function readProviders(config: Configuration, parse: (text: string) => SpecQuery): Providers {
  const found = new Map<string, { virtual: string; query: SpecQuery }[]>();
  const add = (virtual: string, item: YamlNode): void => {
    const query = item.kind === "scalar" && typeof item.value === "string" ? parseIfSpec(item.value, parse) : undefined;
    if (query?.name === undefined) return;
    const known = found.get(query.name) ?? [];
    found.set(query.name, [...known, { virtual, query }]);
  };
  const table = config.get("packages:all:providers");
  for (const [virtual, specs] of table?.kind === "map" ? entriesOf(table, "packages:all:providers") : [])
    if (specs.kind === "list") for (const item of specs.items) add(virtual, item);
  return found;
}

function parseIfSpec(text: string, parse: (text: string) => SpecQuery): SpecQuery | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (isStaveError(error, "SPEC_INVALID")) return undefined;
    throw error;
  }
}

/** A graph that takes providers from its edges and the table; the table is read on first use. */
export function withProviders(graph: SpecGraph, read: () => Providers): SpecGraph {
  let providers: Providers | undefined;
  const virtualsOf = (node: SpecNode): ReadonlySet<string> => {
    providers ??= read();
    const named = graph.virtualsOf(node);
    const more = (providers.get(node.name) ?? []).filter(({ query }) => satisfies(node, graph, query));
    return more.length === 0 ? named : new Set([...named, ...more.map(({ virtual }) => virtual)]);
  };
  return { get: (hash) => graph.get(hash), nodes: () => graph.nodes(), size: graph.size, virtualsOf };
}

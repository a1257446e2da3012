// Links nodes by hash into a graph that holds each node once. Rejects cycles.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Place } from "../text/fields.ts";
import { invalid, writeJson } from "../text/json.ts";
import type { JsonValue } from "../text/json-value.ts";
import type { Edge, SpecGraph, SpecNode } from "./node.ts";
import { isDagHash, type NodeFields, type Reference, readNode, shortName } from "./node-reader.ts";

/** A dependency that a node names but that is missing. */
export interface Dangling {
  readonly parent: SpecNode;
  readonly name: string;
  readonly key: string;
}

const NO_CHILDREN: Node[] = [];

// A node whose edges are added later.
class Node implements SpecNode {
  readonly hash: string;
  readonly name: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly platform: string;
  readonly os: string;
  readonly target: string;
  readonly variants: SpecNode["variants"];
  readonly flags: SpecNode["flags"];
  readonly external: SpecNode["external"];
  readonly compiler: SpecNode["compiler"];
  readonly buildSpec: SpecNode["buildSpec"];
  readonly format: number;
  readonly raw: SpecNode["raw"];
  edges: readonly Edge[] = [];
  // Used while building: the nodes that must not lead back here, and how many nodes lead here.
  children: Node[] = NO_CHILDREN;
  waiting = 0;

  constructor(fields: NodeFields, hash: string) {
    this.hash = hash;
    this.name = fields.name;
    this.version = fields.version;
    this.namespace = fields.namespace;
    this.platform = fields.platform;
    this.os = fields.os;
    this.target = fields.target;
    this.variants = fields.variants;
    this.flags = fields.flags;
    this.external = fields.external;
    this.compiler = fields.compiler;
    this.buildSpec = fields.buildSpec;
    this.format = fields.format;
    this.raw = fields.raw;
  }
}

class Graph implements SpecGraph {
  readonly #nodes: ReadonlyMap<string, SpecNode>;
  #virtuals: Map<string, Set<string>> | undefined;

  constructor(nodes: ReadonlyMap<string, SpecNode>) {
    this.#nodes = nodes;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get(hash: string): SpecNode | undefined {
    return this.#nodes.get(hash);
  }

  nodes(): Iterable<SpecNode> {
    return this.#nodes.values();
  }

  virtualsOf(node: SpecNode): ReadonlySet<string> {
    this.#virtuals ??= this.#collectVirtuals();
    return this.#virtuals.get(node.hash) ?? NO_VIRTUALS;
  }

  #collectVirtuals(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const node of this.#nodes.values())
      for (const edge of node.edges)
        for (const virtual of edge.virtuals) {
          const known = found.get(edge.child.hash);
          if (known) known.add(virtual);
          else found.set(edge.child.hash, new Set([virtual]));
        }
    return found;
  }
}

const NO_VIRTUALS: ReadonlySet<string> = new Set();

/** Makes a graph of nodes that are already linked. */
export function graphOf(nodes: Iterable<SpecNode>): SpecGraph {
  return new Graph(new Map(Array.from(nodes, (node) => [node.hash, node])));
}

interface Entry {
  readonly node: Node;
  readonly references: readonly Reference[];
  readonly place: Place;
}

/**
 * Collects the nodes of one or more documents, then links them. Nodes are found by key: their DAG hash, or the key that
 * an old document uses instead.
 */
export class GraphBuilder {
  readonly #entries = new Map<string, Entry>();
  readonly #byName: boolean;

  /** With `byName`, keys are package names, which spec files of format 1 use as references. */
  constructor(options: { byName?: boolean } = {}) {
    this.#byName = options.byName ?? false;
  }

  /** The node with this key, if it was added. */
  get(key: string): SpecNode | undefined {
    return this.#entries.get(key)?.node;
  }

  /**
   * Adds a node dictionary. References use `key`, by default the DAG hash; it is also the node's hash if the dictionary
   * has none. Adding the same node twice is fine; a different node under the same key throws SPEC_INVALID.
   */
  add(value: JsonValue | undefined, format: number, place: Place, key?: string): SpecNode {
    const fields = readNode(value, format, place);
    const hash = fields.hash ?? key;
    if (hash === undefined || !isDagHash(hash))
      throw invalid(place.source, `has a node ${shortName(fields)} without a hash`);
    const known = this.#entries.get(key ?? hash);
    if (known === undefined) {
      const node = new Node(fields, hash);
      this.#entries.set(key ?? hash, { node, references: fields.references, place });
      return node;
    }
    if (known.node.raw === fields.raw || writeJson(known.node.raw) === writeJson(fields.raw)) return known.node;
    throw invalid(
      place.source,
      `has two different nodes under ${key ?? hash}: ${shortName(known.node)} and ${shortName({ ...fields, hash })}`,
    );
  }

  /**
   * Links all nodes. A missing dependency throws SPEC_INVALID, unless `onDangling` is given: it is called and the edge
   * is dropped, as Spack does in databases. A cycle throws SPEC_INVALID naming its nodes.
   */
  build(onDangling?: (dangling: Dangling) => void): SpecGraph {
    const miss = (entry: Entry, name: string, key: string): void => {
      if (onDangling === undefined) throw dangling(entry.place, entry.node, name, key);
      onDangling({ parent: entry.node, name, key });
    };
    for (const entry of this.#entries.values()) {
      const { node, references } = entry;
      const edges: Edge[] = [];
      node.children = [];
      for (const { name, key, types, virtuals, direct } of references) {
        const child = this.#entries.get(this.#byName ? name : key)?.node;
        if (child === undefined) miss(entry, name, key);
        else if (child.name !== name) throw misnamed(entry.place, node, name, child);
        else {
          edges.push({ child, types, virtuals, direct });
          node.children.push(child);
        }
      }
      node.edges = edges;
      // A build spec must not depend on the node either: the node's hash covers it too.
      if (node.buildSpec === undefined) continue;
      const built = this.#entries.get(node.buildSpec.hash)?.node;
      if (built === undefined) miss(entry, node.buildSpec.name, node.buildSpec.hash);
      else node.children.push(built);
    }
    const all = Array.from(this.#entries.values(), (entry) => entry.node);
    const cycle = findCycle(all);
    if (cycle !== undefined) throw cyclic(cycle, this.#entries.values().next().value?.place);
    const nodes = new Map<string, SpecNode>();
    for (const node of all) {
      node.children = NO_CHILDREN;
      if (!nodes.has(node.hash)) nodes.set(node.hash, node);
    }
    return new Graph(nodes);
  }
}

function dangling(place: Place, parent: SpecNode, name: string, key: string): StaveError {
  const child = printable(`${name}/${key}`);
  return invalid(place.source, `is not valid: ${shortName(parent)} depends on ${child}, which is not in it`);
}

function misnamed(place: Place, parent: SpecNode, name: string, child: SpecNode): StaveError {
  const problem = `${shortName(parent)} depends on ${printable(name)}, but that hash belongs to ${shortName(child)}`;
  return invalid(place.source, `is not valid: ${problem}`);
}

function cyclic(cycle: readonly SpecNode[], place: Place | undefined): StaveError {
  const shown = cycle.length > 8 ? [...cycle.slice(0, 7).map(shortName), "…"] : cycle.map(shortName);
  const path = [...shown, ...cycle.slice(0, 1).map(shortName)].join(" -> ");
  const problem = `is not valid: its dependencies form a cycle: ${path}`;
  return place ? invalid(place.source, problem) : new StaveError("SPEC_INVALID", problem);
}

// Kahn's algorithm: the nodes that cannot be removed, parents before children, contain a cycle.
function findCycle(nodes: readonly Node[]): Node[] | undefined {
  for (const node of nodes) for (const child of node.children) child.waiting++;
  const free = nodes.filter((node) => node.waiting === 0);
  let taken = 0;
  for (let node = free.pop(); node !== undefined; node = free.pop()) {
    taken++;
    for (const child of node.children) if (--child.waiting === 0) free.push(child);
  }
  return taken === nodes.length ? undefined : walkCycle(nodes.filter((node) => node.waiting > 0));
}

// Each remaining node is on a cycle or below one, so it has a remaining parent. Walking up must return to a visited
// node.
function walkCycle(remaining: readonly Node[]): Node[] {
  const parentOf = new Map<Node, Node>();
  for (const node of remaining) for (const child of node.children) if (child.waiting > 0) parentOf.set(child, node);
  const seen = new Map<Node, number>();
  const walk: Node[] = [];
  let [at] = remaining;
  while (at !== undefined && !seen.has(at)) {
    seen.set(at, walk.length);
    walk.push(at);
    at = parentOf.get(at);
  }
  return walk.slice(at === undefined ? 0 : seen.get(at)).reverse();
}

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

// Linked nodes by the fields they were made from. A dictionary that recurs has the same fields object. Weak, because a
// node holds all nodes below it, whose dictionaries would hold theirs.
const linked = new WeakMap<NodeFields, WeakRef<Node>[]>();
/** How many linked nodes to remember for one dictionary: the nodes below it may differ. */
const MOST_LINKED = 8;

/** How many different edges to a node are shared. */
const MOST_SHARED = 8;

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
  readonly #nodes: readonly SpecNode[];
  // Made on first use: of thousands of graphs, few are searched.
  #byHash: ReadonlyMap<string, SpecNode> | undefined;
  #virtuals: Map<string, Set<string>> | undefined;

  /** `nodes` must have distinct hashes. */
  constructor(nodes: Iterable<SpecNode>) {
    this.#nodes = [...nodes];
  }

  get size(): number {
    return this.#nodes.length;
  }

  get(hash: string): SpecNode | undefined {
    this.#byHash ??= byHash(this.#nodes);
    return this.#byHash.get(hash);
  }

  nodes(): Iterable<SpecNode> {
    return this.#nodes;
  }

  virtualsOf(node: SpecNode): ReadonlySet<string> {
    this.#virtuals ??= this.#collectVirtuals();
    return this.#virtuals.get(node.hash) ?? NO_VIRTUALS;
  }

  #collectVirtuals(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const node of this.#nodes)
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
  return new Graph(byHash(nodes).values());
}

// If several nodes have the same hash, the first one is kept.
function byHash(nodes: Iterable<SpecNode>): Map<string, SpecNode> {
  const found = new Map<string, SpecNode>();
  for (const node of nodes) if (!found.has(node.hash)) found.set(node.hash, node);
  return found;
}

// An edge while its graph is built.
interface Link {
  readonly reference: Reference;
  readonly child: Entry;
}

// A node while its graph is built.
class Entry {
  node: Node;
  readonly fields: NodeFields;
  readonly place: Place;
  /** The references whose target was added, each with its target. */
  readonly links: Link[] = [];
  /** These targets, and the spec it was built as, if it is spliced. */
  readonly below: Entry[] = [];
  /** How many entries lead here. */
  waiting = 0;

  // Most of the hundreds of parents of a node have equal edges to it, which they share.
  readonly #edges: Edge[] = [];

  constructor(node: Node, fields: NodeFields, place: Place) {
    this.node = node;
    this.fields = fields;
    this.place = place;
  }

  /** An edge to this node, which has its own edges. */
  edge({ types, virtuals, direct }: Reference): Edge {
    const isSame = (one: Edge): boolean =>
      one.types === types && one.direct === direct && one.virtuals === virtuals && one.child === this.node;
    const known = this.#edges.find(isSame);
    if (known !== undefined) return known;
    const edge = { child: this.node, types, virtuals, direct };
    if (this.#edges.length < MOST_SHARED) this.#edges.push(edge);
    return edge;
  }
}

/**
 * Collects the nodes of one or more documents, then links them. Nodes are found by key: their DAG hash, or the key that
 * an old document uses instead.
 */
export class GraphBuilder {
  readonly #entries = new Map<string, Entry>();
  readonly #byName: boolean;
  readonly #sharesNodes: boolean;

  /**
   * With `byName`, keys are package names, which spec files of format 1 use as references. With `sharesNodes`, `build`
   * reuses the node of an earlier graph if its dictionary and those of all nodes below it are the same objects:
   * hundreds of documents then hold each node once.
   */
  constructor(options: { byName?: boolean; sharesNodes?: boolean } = {}) {
    this.#byName = options.byName ?? false;
    this.#sharesNodes = options.sharesNodes ?? false;
  }

  /** The node with this key, if it was added. */
  get(key: string): SpecNode | undefined {
    return this.#entries.get(key)?.node;
  }

  /**
   * Adds a node dictionary. References use `key`, by default the DAG hash; it is also the node's hash if the dictionary
   * has none. Adding the same node twice is fine; a different node under the same key throws SPEC_INVALID.
   * With `sharesNodes`, take nodes from the graph: `build` may replace the one returned here.
   */
  add(value: JsonValue | undefined, format: number, place: Place, key?: string): SpecNode {
    const fields = readNode(value, format, place);
    const hash = fields.hash ?? key;
    if (hash === undefined || !isDagHash(hash))
      throw invalid(place.source, `has a node ${shortName(fields)} without a hash`);
    const known = this.#entries.get(key ?? hash);
    if (known === undefined) {
      const node = new Node(fields, hash);
      this.#entries.set(key ?? hash, new Entry(node, fields, place));
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
    const entries = [...this.#entries.values()];
    for (const entry of entries) this.#follow(entry, onDangling);
    const ordered = childrenFirst(entries);
    for (const entry of ordered) this.#link(entry);
    return graphOf(entries.map(({ node }) => node));
  }

  #follow(entry: Entry, onDangling: ((dangling: Dangling) => void) | undefined): void {
    const { node, fields, place } = entry;
    const miss = (name: string, key: string): void => {
      if (onDangling === undefined) throw dangling(place, node, name, key);
      onDangling({ parent: node, name, key });
    };
    for (const reference of fields.references) {
      const { name, key } = reference;
      const child = this.#entries.get(this.#byName ? name : key);
      if (child === undefined) miss(name, key);
      else if (child.node.name !== name) throw misnamed(place, node, name, child.node);
      else {
        entry.links.push({ reference, child });
        entry.below.push(child);
      }
    }
    // A build spec must not depend on the node either: the node's hash covers it too.
    const { buildSpec } = node;
    if (buildSpec === undefined) return;
    const built = this.#entries.get(buildSpec.hash);
    if (built === undefined) miss(buildSpec.name, buildSpec.hash);
    else entry.below.push(built);
  }

  // Gives a node its edges, or replaces it by an equal one of an earlier graph. Its children must be linked already.
  #link(entry: Entry): void {
    const { node, fields, links } = entry;
    // Only dictionaries that recur are frozen. A node that lost an edge is not the one its dictionary describes.
    const isShareable = this.#sharesNodes && Object.isFrozen(fields.raw) && links.length === fields.references.length;
    const candidates = isShareable ? (linked.get(fields) ?? []).flatMap((one) => one.deref() ?? []) : [];
    const same = candidates.find(
      ({ hash, edges }) => hash === node.hash && edges.every(({ child }, at) => child === links[at]?.child.node),
    );
    if (same !== undefined) {
      entry.node = same;
      return;
    }
    node.edges = links.map(({ reference, child }) => child.edge(reference));
    if (!isShareable) return;
    const latest = [...candidates, node].slice(-MOST_LINKED);
    linked.set(
      fields,
      latest.map((one) => new WeakRef(one)),
    );
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

// Kahn's algorithm: removes parents before children, then reverses the order. Entries that remain are on a cycle or
// below one.
function childrenFirst(entries: readonly Entry[]): Entry[] {
  for (const { below } of entries) for (const child of below) child.waiting++;
  const ordered = entries.filter((entry) => entry.waiting === 0);
  for (const { below } of ordered) for (const child of below) if (--child.waiting === 0) ordered.push(child);
  if (ordered.length < entries.length) throw cyclic(entries);
  return ordered.reverse();
}

function cyclic(entries: readonly Entry[]): StaveError {
  const cycle = walkCycle(entries.filter((entry) => entry.waiting > 0)).map(({ node }) => shortName(node));
  const shown = cycle.length > 8 ? [...cycle.slice(0, 7), "…"] : cycle;
  const path = [...shown, ...cycle.slice(0, 1)].join(" -> ");
  const problem = `is not valid: its dependencies form a cycle: ${path}`;
  const place = entries[0]?.place;
  return place ? invalid(place.source, problem) : new StaveError("SPEC_INVALID", problem);
}

// Each remaining entry is on a cycle or below one, so it has a remaining parent. Walking up must return to a visited
// entry.
function walkCycle(remaining: readonly Entry[]): Entry[] {
  const parentOf = new Map<Entry, Entry>();
  for (const entry of remaining) for (const child of entry.below) if (child.waiting > 0) parentOf.set(child, entry);
  const seen = new Map<Entry, number>();
  const walk: Entry[] = [];
  let [at] = remaining;
  while (at !== undefined && !seen.has(at)) {
    seen.set(at, walk.length);
    walk.push(at);
    at = parentOf.get(at);
  }
  return walk.slice(at === undefined ? 0 : seen.get(at)).reverse();
}

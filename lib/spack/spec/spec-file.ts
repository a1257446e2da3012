// Reads `spec.json` files of every format into a graph (Spack `spec.py`); spec-writer.ts writes them.
import { inside, listAt, objectAt, own, type Place, wrong } from "../text/fields.ts";
import { invalid, isObject, type JsonSource, parseJsonBytes } from "../text/json.ts";
import type { JsonObject, JsonValue } from "../text/json-value.ts";
import type { Recurring } from "../text/recurring.ts";
import { GraphBuilder } from "./graph.ts";
import type { SpecGraph, SpecNode } from "./node.ts";
import { type HASH_KEYS, hashOf, NEWEST_FORMAT } from "./node-reader.ts";

/** One spec with all its dependencies. */
export interface SpecDocument {
  readonly root: SpecNode;
  readonly graph: SpecGraph;
  /** The spec format of the document: 1 to 5. */
  readonly format: number;
  /** The value of `spec`, as read. */
  readonly value: JsonValue;
}

/** The size limit of a spec file, in bytes; real ones are below 4 MB. */
export const SPEC_FILE_LIMIT: number = 64 * 1024 * 1024;

/** Parses a `spec.json`. Throws CONTENT_INVALID if it is not JSON, SPEC_INVALID if it is not a spec. */
export function readSpecFile(bytes: Uint8Array, name: string): SpecDocument {
  return readSpecDocument(parseJsonBytes(bytes, { name }), { name });
}

/**
 * Reads `{"spec": {"_meta": …, "nodes": […]}}`, or the list of format 1; other keys beside `spec` are ignored. The
 * value must come from `parseJsonBytes`, or hashes cannot be verified. Throws SPEC_INVALID.
 */
export function readSpecDocument(document: JsonValue, source: JsonSource): SpecDocument {
  const place: Place = { source: { code: "SPEC_INVALID", ...source } };
  if (!isObject(document)) throw wrong(place, "", document, "an object");
  const spec = own(document, "spec");
  if (Array.isArray(spec)) return readFormat1(spec, inside(place, "spec"));
  return readNodes(objectAt(document, "spec", place), inside(place, "spec"));
}

/**
 * The DAG hash that a `spec.json` records for its root, without reading the other nodes. Throws as readSpecFile for
 * what it does read.
 */
export function readRootHash(bytes: Uint8Array, name: string, recurring?: Recurring): string {
  const document = parseJsonBytes(bytes, { name, ...(recurring && { recurring }) });
  const spec = isObject(document) ? own(document, "spec") : undefined;
  const nodes = isObject(spec) ? own(spec, "nodes") : undefined;
  const root = Array.isArray(nodes) ? nodes[0] : undefined;
  const hash = isObject(root) ? own(root, "hash") : undefined;
  const meta = isObject(spec) ? own(spec, "_meta") : undefined;
  const format = isObject(meta) ? own(meta, "version") : undefined;
  // Formats before 3 have other keys.
  return typeof hash === "string" && typeof format === "number" && format >= 3
    ? hash
    : readSpecDocument(document, { name }).root.hash;
}

/** Checks a spec format version. Throws the code of the place's source. */
export function checkFormat(version: JsonValue | undefined, oldest: number, place: Place): number {
  if (typeof version === "number" && Number.isInteger(version) && version >= oldest && version <= NEWEST_FORMAT)
    return version;
  const hint =
    typeof version === "number" && version > NEWEST_FORMAT
      ? { hint: "it was written by a newer Spack; update stave" }
      : {};
  throw wrong(place, "version", version, `a spec format from ${oldest} to ${NEWEST_FORMAT}`).with(hint);
}

function readNodes(spec: JsonObject, place: Place): SpecDocument {
  const meta = objectAt(spec, "_meta", place);
  const format = checkFormat(own(meta, "version"), 2, inside(place, "_meta"));
  const nodes = listAt(spec, "nodes", place);
  if (nodes.length === 0)
    throw invalid(place.source, "is not valid: spec.nodes is empty, expected at least the spec itself");
  const keyName = format < 3 ? keyNameOf(nodes) : "hash";
  const builder = new GraphBuilder({ sharesNodes: true });
  for (const [at, node] of nodes.entries()) {
    const where = inside(inside(place, "nodes"), at);
    const key = isObject(node) ? own(node, keyName) : undefined;
    if (keyName !== "hash" && typeof key !== "string") throw wrong(where, keyName, key, "a hash");
    builder.add(node, format, where, typeof key === "string" ? key : undefined);
  }
  return documentOf(builder, { format, value: spec }, place);
}

// In format 2, nodes are identified by the kind of hash that the first dependency uses.
function keyNameOf(nodes: readonly JsonValue[]): (typeof HASH_KEYS)[number] {
  for (const node of nodes) {
    const dependencies = isObject(node) ? own(node, "dependencies") : undefined;
    const first = Array.isArray(dependencies) ? dependencies[0] : undefined;
    const found = isObject(first) ? hashOf(first) : undefined;
    if (found) return found[0];
  }
  return "hash";
}

// In format 1, names are unique and dependency hashes may be of another kind, so names link the nodes.
function readFormat1(nodes: readonly JsonValue[], place: Place): SpecDocument {
  if (nodes.length === 0) throw invalid(place.source, "is not valid: spec is empty, expected at least the spec itself");
  const builder = new GraphBuilder({ byName: true });
  for (const [at, node] of nodes.entries()) {
    const [name] = isObject(node) ? Object.keys(node) : [];
    builder.add(node, 1, inside(place, at), name);
  }
  return documentOf(builder, { format: 1, value: [...nodes] }, place);
}

function documentOf(builder: GraphBuilder, read: Pick<SpecDocument, "format" | "value">, place: Place): SpecDocument {
  const graph = builder.build();
  const [root] = graph.nodes();
  if (root === undefined) throw invalid(place.source, "has no node");
  return { root, graph, ...read };
}

// Nodes as an index holds them: their text as it was read, and what leads from one to the next. A graph of tens of
// thousands of specs fits into memory this way, and what did not change is copied, not written anew.
import type { StaveError } from "../errors.ts";
import { originalDictionary, otherHash } from "../spack/spec/dag-hash.ts";
import type { SpecNode } from "../spack/spec/node.ts";
import { NEWEST_FORMAT, type NodeFields, readNode, shortName } from "../spack/spec/node-reader.ts";
import { nodeDictionary } from "../spack/spec/spec-writer.ts";
import { type Place, wrong } from "../spack/text/fields.ts";
import { invalid, isObject, parseJsonBytes, writeJson } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";

/** A node of an index, as text. */
export interface NodeRecord {
  readonly hash: string;
  readonly name: string;
  readonly version: string;
  /** The hashes of its dependencies of all types, one for each edge. */
  readonly dependencies: readonly string[];
  /** The hash of what a spliced spec was really built as. */
  readonly builtAs: string | undefined;
  /** The spec format that the text is written in. */
  readonly format: number;
  /** The node's dictionary as JSON. */
  readonly text: Uint8Array;
}

/** What an index says of one spec. */
export interface IndexRecord extends NodeRecord {
  /** The cache has its binary; the others are only known as dependencies. */
  readonly inBuildcache: boolean;
  readonly refCount: number | undefined;
}

/** The record of a node that was read as text. Throws the code of the place's source when its content gives another hash. */
export function recordOf(text: Uint8Array, value: JsonObject, format: number, place: Place): NodeRecord {
  const fields = readNode(value, format, place);
  const { hash } = fields;
  if (hash === undefined) throw invalid(place.source, `has a node ${shortName(fields)} without a hash`);
  const other = otherHash({ ...fields, hash });
  if (other !== undefined) throw lying(place, fields, other);
  const original = originalDictionary({ ...fields, hash });
  return {
    hash,
    name: fields.name,
    version: fields.version,
    dependencies: fields.references.map(({ key }) => key),
    builtAs: fields.buildSpec?.hash,
    format,
    text: original === fields.raw ? text : Buffer.from(writeJson(original), "latin1"),
  };
}

function lying(place: Place, fields: NodeFields, other: string): StaveError {
  return invalid(place.source, `has ${shortName(fields)}, whose content gives the DAG hash ${other}`);
}

/** The record of a node whose hash was verified already. */
export function recordOfNode(node: SpecNode): NodeRecord {
  // Formats before 4 have no database version that Spack still writes.
  const isOld = node.format < 4;
  return {
    hash: node.hash,
    name: node.name,
    version: node.version,
    dependencies: node.edges.map((edge) => edge.child.hash),
    builtAs: node.buildSpec?.hash,
    format: isOld ? NEWEST_FORMAT : node.format,
    text: Buffer.from(writeJson(isOld ? nodeDictionary(node) : originalDictionary(node)), "latin1"),
  };
}

/** Reads the dictionary of a record again. */
export function dictionaryOf({ name, hash, text }: NodeRecord): JsonObject {
  const source = { name: `${name}/${hash}` };
  const value = parseJsonBytes(text, source);
  if (!isObject(value)) throw wrong({ source }, "", value, "an object");
  return value;
}

// For what is only shown: Node's parser is several times quicker, but tells nothing of how numbers are spelled or of the
// order of keys that are numbers.
function quickDictionaryOf(record: NodeRecord): JsonObject {
  const { buffer, byteOffset, byteLength } = record.text;
  try {
    const value: JsonValue = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString("utf8"));
    if (isObject(value)) return value;
  } catch {
    // Looked at again by the parser that says what is wrong.
  }
  return dictionaryOf(record);
}

/**
 * A node alone, for lists: of its dependencies only those are there that provide something, as compilers do, and of these only
 * the hash, name and version.
 */
export function lonelyNode(
  record: NodeRecord,
  recordAt: (hash: string) => NodeRecord | undefined,
  name: string,
): SpecNode {
  const fields = readNode(quickDictionaryOf(record), record.format, { source: { name, code: "SPEC_INVALID" } });
  const edges = fields.references.flatMap(({ key, types, virtuals, direct }) => {
    const child = virtuals.length === 0 ? undefined : recordAt(key);
    return child === undefined ? [] : [{ child: { ...NAMELESS, ...named(child) }, types, virtuals, direct }];
  });
  return { ...fields, hash: record.hash, edges };
}

const named = ({ hash, name, version }: NodeRecord) => ({ hash, name, version });
const NAMELESS: Omit<SpecNode, "hash" | "name" | "version"> = {
  namespace: undefined,
  platform: "",
  os: "",
  target: "",
  variants: new Map(),
  flags: new Map(),
  external: undefined,
  compiler: undefined,
  buildSpec: undefined,
  edges: [],
  format: NEWEST_FORMAT,
  raw: {},
};

/** The records that one names: its dependencies, and what it was built as. */
export function childrenOf(record: NodeRecord): readonly string[] {
  return record.builtAs === undefined ? record.dependencies : [...record.dependencies, record.builtAs];
}

/** How the records of an index hang together. */
export interface Arrangement {
  /** Hashes of records that lack something they depend on, at any distance. */
  readonly incomplete: ReadonlySet<string>;
  /** Hashes of records on a cycle, or that depend on one. */
  readonly cyclic: ReadonlySet<string>;
}

/** Finds what is incomplete and what is cyclic, children before parents; time and memory grow with the number of edges. */
export function arrange(records: ReadonlyMap<string, NodeRecord>): Arrangement {
  // Numbers instead of hashes, because an index has a million edges: those to a record stand together, in one array.
  const all = [...records.values()];
  const numberOf = new Map(all.map((record, at) => [record.hash, at]));
  const isIncomplete = new Uint8Array(all.length);
  const waiting = new Uint32Array(all.length);
  const ends = new Uint32Array(all.length + 1);
  const children = new Int32Array(all.reduce((sum, record) => sum + childrenOf(record).length, 0));
  let edge = 0;
  for (const [at, record] of all.entries())
    for (const hash of childrenOf(record)) {
      const child = numberOf.get(hash) ?? -1;
      children[edge++] = child;
      if (child < 0) isIncomplete[at] = 1;
      else {
        waiting[at] = (waiting[at] ?? 0) + 1;
        ends[child + 1] = (ends[child + 1] ?? 0) + 1;
      }
    }
  for (let at = 1; at < ends.length; at++) ends[at] = (ends[at] ?? 0) + (ends[at - 1] ?? 0);
  const parents = new Uint32Array(ends.at(-1) ?? 0);
  const filled = ends.slice();
  edge = 0;
  for (const [at, record] of all.entries())
    for (let left = childrenOf(record).length; left > 0; left--) {
      const child = children[edge++] ?? -1;
      if (child < 0) continue;
      const place = filled[child] ?? 0;
      parents[place] = at;
      filled[child] = place + 1;
    }
  const ready = all
    .keys()
    .filter((at) => waiting[at] === 0)
    .toArray();
  for (let at = ready.pop(); at !== undefined; at = ready.pop())
    for (const parent of parents.subarray(ends[at], ends[at + 1])) {
      if (isIncomplete[at]) isIncomplete[parent] = 1;
      const left = (waiting[parent] ?? 0) - 1;
      waiting[parent] = left;
      if (left === 0) ready.push(parent);
    }
  const hashes = (marks: Uint8Array | Uint32Array): Set<string> =>
    new Set(all.filter((_, at) => marks[at] !== 0).map((record) => record.hash));
  return { incomplete: hashes(isIncomplete), cyclic: hashes(waiting) };
}

/** All records that can be reached from some hashes, those included; what is not there is left out. */
export function closure(
  from: Iterable<string>,
  recordAt: (hash: string) => NodeRecord | undefined,
): Map<string, NodeRecord> {
  const found = new Map<string, NodeRecord>();
  const stack = [...from];
  for (let hash = stack.pop(); hash !== undefined; hash = stack.pop()) {
    if (found.has(hash)) continue;
    const record = recordAt(hash);
    if (record === undefined) continue;
    found.set(hash, record);
    for (const child of childrenOf(record)) if (!found.has(child)) stack.push(child);
  }
  return found;
}

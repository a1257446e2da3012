// Nodes of an index: their original text, and the hashes they refer to. This way a graph of tens of thousands of specs
// fits into memory, and unchanged nodes are copied rather than written again.
import type { StaveError } from "../errors.ts";
import { hasTrueHash, isVerifiable, originalDictionary, otherHash } from "../spack/spec/dag-hash.ts";
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
  /** The hashes of its dependencies of all types, one per edge. */
  readonly dependencies: readonly string[];
  /** The hash of the spec from which a spliced spec was built. */
  readonly builtAs: string | undefined;
  /** The spec format of the text. */
  readonly format: number;
  /** The content gives the hash. False for nodes that say that they were hashed in an older format. */
  readonly isVerified: boolean;
  /** The node's dictionary as JSON. */
  readonly text: Uint8Array;
}

/** The record of one spec in an index. */
export interface IndexRecord extends NodeRecord {
  /** The cache has its binary; other specs are only known as dependencies. */
  readonly inBuildcache: boolean;
  readonly refCount: number | undefined;
}

/** A record whose text is elsewhere: its fields are copied, its text is not. */
export abstract class RecordWithoutText {
  readonly hash: string;
  readonly name: string;
  readonly version: string;
  readonly dependencies: readonly string[];
  readonly builtAs: string | undefined;
  readonly format: number;
  readonly isVerified: boolean;
  abstract readonly text: Uint8Array;

  constructor(record: Omit<NodeRecord, "text">) {
    this.hash = record.hash;
    this.name = record.name;
    this.version = record.version;
    this.dependencies = record.dependencies;
    this.builtAs = record.builtAs;
    this.format = record.format;
    this.isVerified = record.isVerified;
  }
}

/**
 * The record of a node that was read as text. Throws the error code of the place's source if its content does not match
 * its hash.
 */
export function recordOf(text: Uint8Array, value: JsonObject, format: number, place: Place): NodeRecord {
  return verifiedRecord(text, readNode(value, format, place), place);
}

/** The same of a node whose fields were read; `text` is its dictionary as it stands in an index. */
export function verifiedRecord(text: Uint8Array, fields: NodeFields, place: Place): NodeRecord {
  const { hash } = fields;
  if (hash === undefined) throw invalid(place.source, `has a node ${shortName(fields)} without a hash`);
  const node = { ...fields, hash };
  const other = otherHash(node);
  if (other !== undefined) throw lying(place, fields, other);
  const original = originalDictionary(node);
  const written = original === fields.raw ? text : Buffer.from(writeJson(original), "latin1");
  return { ...hashedRecord(written, node), isVerified: isVerifiable(node) || hasTrueHash(node) };
}

/** The record of a node whose text and hash were verified. */
export function hashedRecord(text: Uint8Array, fields: NodeFields & { readonly hash: string }): NodeRecord {
  const { hash, name, version, references, buildSpec, format } = fields;
  const dependencies = references.map(({ key }) => key);
  return { hash, name, version, dependencies, builtAs: buildSpec?.hash, format, isVerified: true, text };
}

function lying(place: Place, fields: NodeFields, other: string): StaveError {
  return invalid(place.source, `has ${shortName(fields)}, whose content gives the DAG hash ${other}`);
}

/** The record of a node whose hash was already verified. */
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
    isVerified: isVerifiable(node) || hasTrueHash(node),
    text: Buffer.from(writeJson(isOld ? nodeDictionary(node) : originalDictionary(node)), "latin1"),
  };
}

/** Parses the dictionary of a record. */
export function dictionaryOf({ name, hash, text }: NodeRecord): JsonObject {
  const source = { name: `${name}/${hash}` };
  const value = parseJsonBytes(text, source);
  if (!isObject(value)) throw wrong({ source }, "", value, "an object");
  return value;
}

// For display only: Node's parser is several times faster, but loses the spelling of numbers and the order of numeric
// keys.
function quickDictionaryOf(record: NodeRecord): JsonObject {
  const { buffer, byteOffset, byteLength } = record.text;
  try {
    const value: JsonValue = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString("utf8"));
    if (isObject(value)) return value;
  } catch {
    // The full parser reports the error.
  }
  return dictionaryOf(record);
}

/**
 * A node for lists: of its dependencies it has only those that provide a virtual package, as compilers do, with only
 * their hash, name and version. All others are references.
 */
export function lonelyNode(
  record: NodeRecord,
  recordAt: (hash: string) => NodeRecord | undefined,
  name: string,
): SpecNode & Pick<NodeFields, "references"> {
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

/** The records that one refers to: its dependencies, and the spec from which it was built. */
export function childrenOf(record: NodeRecord): readonly string[] {
  return record.builtAs === undefined ? record.dependencies : [...record.dependencies, record.builtAs];
}

/** The relations of an index's records. */
export interface Arrangement {
  /** Hashes of records with a missing direct or indirect dependency. */
  readonly incomplete: ReadonlySet<string>;
  /** Hashes of records on a cycle, or that depend on one. */
  readonly cyclic: ReadonlySet<string>;
}

/** Finds incomplete and cyclic records, children before parents; time and memory are linear in the number of edges. */
export function arrange(records: ReadonlyMap<string, NodeRecord>): Arrangement {
  // Numbers instead of hashes, because an index has a million edges; the parents of each record are adjacent in one
  // array.
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

/** All records reachable from some hashes, those included; missing ones are left out. */
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

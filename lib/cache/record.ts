// Nodes as an index holds them: their text as it was read, and what leads from one to the next. A graph of tens of
// thousands of specs fits into memory this way, and what did not change is copied, not written anew.
import { createHash } from "node:crypto";
import type { StaveError } from "../errors.ts";
import { base32, otherHash } from "../spack/dag-hash.ts";
import type { Place } from "../spack/fields.ts";
import { invalid, parseJsonBytes, writeJson } from "../spack/json.ts";
import type { JsonObject, SpecNode } from "../spack/node.ts";
import { NEWEST_FORMAT, type NodeFields, readNode, shortName } from "../spack/node-reader.ts";
import { nodeDictionary } from "../spack/spec-writer.ts";

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

/** Gives one string for all that are equal: hashes occur again and again, and each copy would be kept. */
export type Intern = (text: string) => string;

/** A new memory of strings. */
export function interner(): Intern {
  const known = new Map<string, string>();
  return (text) => {
    const same = known.get(text);
    if (same === undefined) known.set(text, text);
    return same ?? text;
  };
}

/** The record of a node that was read as text. Throws the code of the place's source when its content gives another hash. */
export function recordOf(
  text: Uint8Array,
  value: JsonObject,
  format: number,
  place: Place,
  intern: Intern,
): NodeRecord {
  const fields = readNode(value, format, place);
  const { hash } = fields;
  if (hash === undefined) throw invalid(place.source, `has a node ${shortName(fields)} without a hash`);
  if (!endsWithTrueHash(text, hash, fields)) {
    const other = otherHash({ ...fields, hash });
    if (other !== undefined) throw lying(place, fields, other);
  }
  return {
    hash: intern(hash),
    name: intern(fields.name),
    version: intern(fields.version),
    dependencies: fields.references.map(({ key }) => intern(key)),
    builtAs: fields.buildSpec?.hash,
    format,
    text,
  };
}

// What Spack wrote ends with the hash, so that what the hash covers need not be written again to compute it.
function endsWithTrueHash(text: Uint8Array, hash: string, { format, buildSpec }: NodeFields): boolean {
  if (format < 4 || buildSpec !== undefined) return false;
  const tail = `,"hash":"${hash}"}`;
  const start = text.byteLength - tail.length;
  if (start < 0 || Buffer.from(text.buffer, text.byteOffset + start, tail.length).toString("latin1") !== tail)
    return false;
  return base32(createHash("sha1").update(text.subarray(0, start)).update("}").digest()) === hash;
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
    text: Buffer.from(writeJson(isOld ? nodeDictionary(node) : node.raw), "latin1"),
  };
}

/** Reads the dictionary of a record again. */
export function dictionaryOf(record: NodeRecord): JsonObject {
  return parseJsonBytes(record.text, { name: `${record.name}/${record.hash}` }) as JsonObject;
}

/** The records that one names: its dependencies, and what it was built as. */
export function childrenOf(record: NodeRecord): readonly string[] {
  return record.builtAs === undefined ? record.dependencies : [...record.dependencies, record.builtAs];
}

/** How the records of an index hang together. */
export interface Arrangement {
  /** Hashes of records that have all that they depend on, at any distance. */
  readonly complete: ReadonlySet<string>;
  /** Hashes of records on a cycle, or that depend on one. */
  readonly cyclic: readonly string[];
}

/** Finds what is complete and what is cyclic, children before parents; time and memory grow with the number of edges. */
export function arrange(records: ReadonlyMap<string, NodeRecord>): Arrangement {
  const parents = new Map<string, string[]>();
  const waiting = new Map<string, number>();
  const ready: string[] = [];
  for (const record of records.values()) {
    let children = 0;
    for (const child of new Set(childrenOf(record))) {
      if (!records.has(child)) continue;
      children++;
      const known = parents.get(child);
      if (known) known.push(record.hash);
      else parents.set(child, [record.hash]);
    }
    if (children === 0) ready.push(record.hash);
    else waiting.set(record.hash, children);
  }
  const complete = new Set<string>();
  for (let hash = ready.pop(); hash !== undefined; hash = ready.pop()) {
    const record = records.get(hash);
    if (record !== undefined && childrenOf(record).every((child) => complete.has(child))) complete.add(hash);
    for (const parent of parents.get(hash) ?? []) {
      const left = (waiting.get(parent) ?? 0) - 1;
      waiting.set(parent, left);
      if (left > 0) continue;
      waiting.delete(parent);
      ready.push(parent);
    }
  }
  return { complete, cyclic: [...waiting.keys()] };
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

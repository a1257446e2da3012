// Nodes as an index holds them: their text as it was read, and what leads from one to the next. A graph of tens of
// thousands of specs fits into memory this way, and what did not change is copied, not written anew.
import { createHash } from "node:crypto";
import type { StaveError } from "../errors.ts";
import { base32, otherHash } from "../spack/dag-hash.ts";
import type { Place } from "../spack/fields.ts";
import { invalid, parseJsonBytes, writeJson } from "../spack/json.ts";
import type { JsonObject, SpecNode } from "../spack/node.ts";
import { isDagHash, NEWEST_FORMAT, type NodeFields, readNode, shortName } from "../spack/node-reader.ts";
import { nodeDictionary } from "../spack/spec-writer.ts";
import type { JsonScanner } from "./json-scanner.ts";

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
  const other = otherHash({ ...fields, hash });
  if (other !== undefined) throw lying(place, fields, other);
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

/**
 * The record of a node that is about to be read at the scanner, when its text ends with the hash it gives, as what Spack
 * writes does; undefined for any other, which `recordOf` judges. The scanner is moved over it in either case.
 */
export function scanNode(
  bytes: Uint8Array,
  scanner: JsonScanner,
  hash: string,
  format: number,
  intern: Intern,
): NodeRecord | undefined {
  const from = scanner.at;
  const dependencies: string[] = [];
  let [name, version]: (string | undefined)[] = [];
  let isSpliced = false;
  scanner.object((key) => {
    if (key === "name") name = intern(scanner.string());
    else if (key === "version") version = intern(scanner.string());
    else if (key === "dependencies")
      scanner.list(() =>
        scanner.object((part) => {
          if (part === "hash") dependencies.push(intern(scanner.string()));
          else scanner.skip();
        }),
      );
    else {
      if (key === "build_spec") isSpliced = true;
      scanner.skip();
    }
  });
  const text = bytes.subarray(from, scanner.at);
  if (name === undefined || version === undefined || isSpliced || !endsWithTrueHash(text, hash, format))
    return undefined;
  return { hash: intern(hash), name, version, dependencies, builtAs: undefined, format, text };
}

// What the hash covers need not be written again to compute it, when it stands last.
function endsWithTrueHash(text: Uint8Array, hash: string, format: number): boolean {
  if (format < 4 || !isDagHash(hash)) return false;
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

/** A node alone: of its dependencies only the hash, name and version are there, and of those that are missing nothing. */
export function lonelyNode(
  record: NodeRecord,
  recordAt: (hash: string) => NodeRecord | undefined,
  name: string,
): SpecNode {
  const fields = readNode(dictionaryOf(record), record.format, { source: { name, code: "SPEC_INVALID" } });
  const edges = fields.references.flatMap(({ key, types, virtuals, direct }) => {
    const child = recordAt(key);
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
  const edges: [from: number[], to: number[]] = [[], []];
  for (const [at, record] of all.entries())
    for (const hash of childrenOf(record)) {
      const child = numberOf.get(hash);
      if (child === undefined) isIncomplete[at] = 1;
      else {
        edges[0].push(at);
        edges[1].push(child);
        waiting[at] = (waiting[at] ?? 0) + 1;
        ends[child + 1] = (ends[child + 1] ?? 0) + 1;
      }
    }
  for (let at = 1; at < ends.length; at++) ends[at] = (ends[at] ?? 0) + (ends[at - 1] ?? 0);
  const parents = new Uint32Array(edges[0].length);
  const filled = ends.slice();
  for (const [edge, child] of edges[1].entries()) {
    const place = filled[child] ?? 0;
    parents[place] = edges[0][edge] ?? 0;
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

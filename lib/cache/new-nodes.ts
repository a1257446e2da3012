// Reads the nodes of a spec document that an index lacks. Each image holds the DAG of its spec, so the same few nodes
// occur in thousands of images; those that are known are skipped by their text, which is several times faster than
// parsing them. Anything unusual is left to the full reader, which also reports errors.
import { isStaveError } from "../errors.ts";
import { isVerifiable } from "../spack/spec/dag-hash.ts";
import type { SpecNode } from "../spack/spec/node.ts";
import { readNode } from "../spack/spec/node-reader.ts";
import { checkFormat, type SpecDocument } from "../spack/spec/spec-file.ts";
import { inside, type Place } from "../spack/text/fields.ts";
import { isObject, parseJsonBytes, writeJson } from "../spack/text/json.ts";
import { isInFile } from "./index-file.ts";
import { JsonScanner } from "./json-scanner.ts";
import { hashedRecord, type NodeRecord, recordOfNode, verifiedRecord } from "./record.ts";
import { endsWithTrueHash } from "./record-scanner.ts";

/** A spec and what is new of its DAG. */
export interface NewNodes {
  readonly root: Pick<NodeRecord, "hash" | "name" | "version">;
  /** The nodes that were not known, and those whose hashes cannot be verified. */
  readonly records: readonly NodeRecord[];
}

/** Records that the caller has. Only a verified one is taken for any node that claims its hash. A Map will do. */
export interface KnownRecords {
  /** The record of a DAG hash, if it is known. */
  get(hash: string): NodeRecord | undefined;
  /**
   * Filled by the reader, to find known nodes faster; kept between documents. By DAG hash: the records that came next
   * in other documents, the latest first.
   */
  readonly followers?: Map<string, NodeRecord[]> | undefined;
}

/** Whether a verified record of a hash is known. */
export function isVerifiedIn(known: KnownRecords): (hash: string) => boolean {
  return (hash) => known.get(hash)?.isVerified === true;
}

/** The oldest format whose nodes have DAG hashes, written last. */
const OLDEST_FORMAT = 4;
/** How many followers of a node are remembered: enough to recognise four of five nodes. */
const FOLLOWERS_KEPT = 4;
/** The number of bytes at the end of a node that hold its hash. */
const TAIL_LENGTH = `"hash": "${"x".repeat(32)}"}`.length;

/** A document with a spec: the spec's nodes and the other members. */
export interface ScannedDocument {
  readonly nodes: NewNodes;
  /** The document with null in place of `spec`. */
  readonly rest: Buffer;
}

/**
 * Reads a document with a member `spec`. Returns undefined for what only the full reader can judge: errors, old
 * formats, spliced specs.
 */
export function scanDocument(text: Buffer, known: KnownRecords, place: Place): ScannedDocument | undefined {
  try {
    const scanner = new JsonScanner(text, place.source);
    let found: { from: number; nodes: NewNodes; end: number } | undefined;
    let isUnusual = false;
    scanner.object((key) => {
      if (key !== "spec") return void scanner.skip();
      const from = scanner.at;
      const nodes = new NewNodesReader(text, scanner, known, inside(place, "spec")).read();
      if (found !== undefined || nodes === undefined) isUnusual = true;
      else found = { from, nodes, end: scanner.at };
    });
    scanner.end();
    if (found === undefined || isUnusual) return undefined;
    const rest = Buffer.concat([text.subarray(0, found.from), Buffer.from("null"), text.subarray(found.end)]);
    return { nodes: found.nodes, rest };
  } catch (error) {
    if (isStaveError(error)) return undefined;
    throw error;
  }
}

class NewNodesReader {
  readonly #text: Buffer;
  readonly #known: KnownRecords;
  readonly #place: Place;
  readonly #scanner: JsonScanner;
  readonly #found = new Map<string, NodeRecord>();
  /** The names that nodes give their dependencies, by hash. */
  readonly #named = new Map<string, string>();
  #format: number | undefined;
  #root: NodeRecord | undefined;
  #previous: NodeRecord | undefined;
  #isUnusual = false;

  constructor(text: Buffer, scanner: JsonScanner, known: KnownRecords, place: Place) {
    this.#text = text;
    this.#scanner = scanner;
    this.#known = known;
    this.#place = place;
  }

  read(): NewNodes | undefined {
    const scanner = this.#scanner;
    scanner.object((key) => {
      if (key === "nodes" && this.#format !== undefined && this.#root === undefined) return scanner.list(this.#node);
      const from = scanner.skip();
      if (key === "_meta" && this.#format === undefined) this.#format = this.#formatOf(from);
      else this.#isUnusual = true;
    });
    if (this.#root === undefined || this.#isUnusual || !this.#isWhole(this.#root)) return undefined;
    return { root: this.#root, records: [...this.#found.values()] };
  }

  #formatOf(from: number): number | undefined {
    const meta = parseJsonBytes(this.#text.subarray(from, this.#scanner.at), this.#place.source);
    return isObject(meta) ? checkFormat(meta["version"], OLDEST_FORMAT, this.#place) : undefined;
  }

  readonly #node = (): void => {
    const previous = this.#previous;
    const record = (previous && this.#follower(previous)) ?? this.#scanned();
    this.#previous = record;
    this.#root ??= record;
    // Not a record in a file: comparing would read it. Not one that is new: this document may still be refused.
    if (previous !== undefined && record?.isVerified && !isInFile(record) && !this.#found.has(record.hash))
      this.#remember(previous, record);
  };

  // Documents list the same nodes in much the same order: most nodes follow one that they have followed before.
  // Comparing their texts is several times faster than looking for the end of a text and the hash in it.
  #follower({ hash }: NodeRecord): NodeRecord | undefined {
    const kept = this.#known.followers?.get(hash);
    if (kept === undefined) return undefined;
    // A loop: this is done for millions of nodes.
    for (const record of kept) if (this.#scanner.skipIf(record.text)) return record;
    return undefined;
  }

  #remember(previous: NodeRecord, record: NodeRecord): void {
    const { followers } = this.#known;
    if (followers === undefined) return;
    const kept = followers.get(previous.hash);
    if (kept === undefined) {
      followers.set(previous.hash, [record]);
      return;
    }
    const at = kept.indexOf(record);
    if (at === 0) return;
    if (at > 0) kept.splice(at, 1);
    else if (kept.length === FOLLOWERS_KEPT) kept.pop();
    kept.unshift(record);
  }

  #scanned(): NodeRecord | undefined {
    const from = this.#scanner.skip();
    const end = this.#scanner.at;
    if (this.#isUnusual) return undefined;
    const tail = this.#text.toString("latin1", Math.max(from, end - TAIL_LENGTH), end);
    const isTail = tail.endsWith('"}') && (tail.startsWith('"hash":"', 1) || tail.startsWith('"hash": "'));
    const hash = isTail ? tail.slice(-34, -2) : "";
    const known = this.#known.get(hash);
    return (known?.isVerified ? known : undefined) ?? this.#found.get(hash) ?? this.#read(from, end, hash);
  }

  #read(from: number, end: number, hash: string): NodeRecord | undefined {
    const text = this.#text.subarray(from, end);
    const value = parseJsonBytes(text, this.#place.source);
    if (!isObject(value)) {
      this.#isUnusual = true;
      return undefined;
    }
    const fields = readNode(value, this.#format ?? 0, this.#place);
    // Copies: the text would keep that of the whole document in memory.
    const record = endsWithTrueHash(text, hash)
      ? this.#shared(hashedRecord(keptText(text), { ...fields, hash }))
      : verifiedRecord(Buffer.from(writeJson(value), "latin1"), fields, this.#place);
    // An unverifiable node that stands in the index with the same text has nothing new.
    const known = this.#known.get(record.hash);
    if (
      known !== undefined &&
      !record.isVerified &&
      Buffer.compare(known.text, record.text) === 0 &&
      this.#root !== undefined
    )
      return known;
    // Without a verified hash, only the full reader finds a cycle.
    if (!isVerifiable({ ...fields, hash: record.hash }) || this.#found.has(record.hash)) this.#isUnusual = true;
    for (const { key, name } of fields.references) {
      if ((this.#named.get(key) ?? name) !== name) this.#isUnusual = true;
      this.#named.set(key, name);
    }
    this.#found.set(record.hash, record);
    return record;
  }

  // Most dependencies are known: their hashes need not be kept again for each record that refers to them.
  #shared(record: NodeRecord): NodeRecord {
    return { ...record, dependencies: record.dependencies.map((hash) => this.#known.get(hash)?.hash ?? hash) };
  }

  // True if no dependency is missing or misnamed, and the root leads to every new node.
  #isWhole(root: NodeRecord): boolean {
    for (const [hash, name] of this.#named)
      if ((this.#found.get(hash) ?? this.#known.get(hash))?.name !== name) return false;
    const reached = new Set([root.hash]);
    for (const hash of reached)
      for (const child of this.#found.get(hash)?.dependencies ?? []) if (this.#found.has(child)) reached.add(child);
    return this.#found.keys().every((hash) => reached.has(hash));
  }
}

/** Texts of records are kept side by side in memory of this size: Node's pool of buffers would waste a third of it. */
const SHELF = 1024 * 1024;
let shelf = Buffer.alloc(0);
let filled = 0;

function keptText(text: Uint8Array): Buffer {
  if (text.byteLength > SHELF / 16) return Buffer.from(text);
  if (filled + text.byteLength > shelf.byteLength) {
    shelf = Buffer.allocUnsafeSlow(SHELF);
    filled = 0;
  }
  const kept = shelf.subarray(filled, filled + text.byteLength);
  kept.set(text);
  filled += text.byteLength;
  return kept;
}

/** The same of a document that was read and verified. A known node has all its dependencies known. */
export function newNodesOf({ root, graph }: Pick<SpecDocument, "root" | "graph">, known: KnownRecords): NewNodes {
  const found = new Map<string, NodeRecord>();
  const isVerified = isVerifiedIn(known);
  const stack: SpecNode[] = [root];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (isVerified(node.hash) || found.has(node.hash)) continue;
    found.set(node.hash, recordOfNode(node));
    for (const { child } of node.edges) stack.push(child);
    const built = node.buildSpec === undefined ? undefined : graph.get(node.buildSpec.hash);
    if (built) stack.push(built);
  }
  return { root, records: [...found.values()] };
}

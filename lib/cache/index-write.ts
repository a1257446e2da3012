// Writes a cache index as Spack does (`database.py`, `binary_distribution.py`): a pure function of the specs in the
// cache. Records are sorted, so that the same specs give the same bytes, whatever wrote them and in whatever steps.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { type Digest, Digester } from "../oci/digest.ts";
import { NEWEST_FORMAT } from "../spack/spec/node-reader.ts";
import { nodeDictionary } from "../spack/spec/spec-writer.ts";
import { writeJson } from "../spack/text/json.ts";
import { giveAway } from "../util/free-chunks.ts";
import type { Source } from "../util/stream.ts";
import { isInFile } from "./index-file.ts";
import { graphOfRecords, INDEX_LIMIT } from "./index-read.ts";
import { type NodeRecord, recordOfNode } from "./record.ts";

/** An index, ready to be stored; its text is produced while it is read. */
export interface IndexText extends Source {
  /** Costs nothing once the text has been read to its end; asking earlier produces the text for that alone. */
  readonly digest: Digest;
  /** The database version: 7 if Spack 0.x wrote all the specs, so that it can read them; otherwise 8. */
  readonly version: 7 | 8;
  /** The number of specs with a binary. */
  readonly specs: number;
  /** The record of each spec, dependencies included, by DAG hash. */
  readonly records: ReadonlyMap<string, WrittenRecord>;
}

/** A record as it is written. */
export interface WrittenRecord extends NodeRecord {
  readonly inBuildcache: boolean;
  /** The number of edges in the index that lead here. */
  readonly refCount: number;
}

// An index has many records, so nothing is copied.
class IndexedNode implements WrittenRecord {
  readonly inBuildcache: boolean;
  refCount = 0;
  readonly #node: NodeRecord;

  constructor(node: NodeRecord, inBuildcache: boolean) {
    this.inBuildcache = inBuildcache;
    this.#node = node;
  }

  get hash(): string {
    return this.#node.hash;
  }

  get name(): string {
    return this.#node.name;
  }

  get version(): string {
    return this.#node.version;
  }

  get dependencies(): readonly string[] {
    return this.#node.dependencies;
  }

  get builtAs(): string | undefined {
    return this.#node.builtAs;
  }

  get format(): number {
    return this.#node.format;
  }

  get isVerified(): boolean {
    return this.#node.isVerified;
  }

  get text(): Uint8Array {
    return this.#node.text;
  }

  /** The bytes of the text. */
  get size(): number {
    const node = this.#node;
    return isInFile(node) ? node.length : node.text.byteLength;
  }

  /** Copies the text. */
  copyTo(into: Buffer, at: number): void {
    const node = this.#node;
    if (isInFile(node)) node.file.copyText(node.hash, node.from, node.length, into, at);
    else into.set(node.text, at);
  }
}

const CHUNK = 256 * 1024;
/** An upper bound on the text around a record's own. */
const AROUND = 256;
const OLD_FORMAT = 4;

/** Creates the index of a cache that has binaries of the specs with these hashes. */
export function indexText(recordAt: (hash: string) => NodeRecord | undefined, inCache: Iterable<string>): IndexText {
  const wanted = new Set(inCache);
  let reached = withUses(wanted, recordAt);
  const isOld = reached.size > 0 && reached.values().every((record) => record.format === OLD_FORMAT);
  const newest = isOld ? reached : inNewestFormat(reached);
  if (newest !== reached) reached = withUses(wanted, (hash) => newest.get(hash));
  const records = new Map<string, IndexedNode>();
  for (const hash of [...reached.keys()].sort()) {
    const node = reached.get(hash);
    if (node) records.set(hash, node);
  }
  return new TextOfRecords(records, isOld ? 7 : 8);
}

type Stated = Pick<IndexText, "digest" | "size">;

/** True if two indexes have the same text. */
export function isSameIndex(text: Stated, other: Stated | undefined): boolean {
  // Sizes first: the digest may not have been computed yet.
  return text.size === other?.size && text.digest === other.digest;
}

class TextOfRecords implements IndexText {
  readonly records: ReadonlyMap<string, IndexedNode>;
  readonly version: 7 | 8;
  readonly specs: number;
  readonly size: number;
  readonly isVerified = true;
  readonly hasLateDigest = true;
  #digest: Digest | undefined;

  constructor(records: ReadonlyMap<string, IndexedNode>, version: 7 | 8) {
    this.records = records;
    this.version = version;
    let [size, specs] = [headOf(version).length + END.length, 0];
    for (const [hash, record] of records) {
      size += keyOf(hash).length + record.size + tailOf(record).length;
      if (record.inBuildcache) specs++;
    }
    // The last record has no comma.
    this.size = records.size === 0 ? size : size - 1;
    this.specs = specs;
    if (this.size > INDEX_LIMIT) throw tooLarge();
  }

  get digest(): Digest {
    if (this.#digest !== undefined) return this.#digest;
    let memory = Buffer.allocUnsafe(CHUNK);
    const again = (size: number): Buffer => {
      if (size > memory.byteLength) memory = Buffer.allocUnsafe(size);
      return memory;
    };
    const digester = new Digester();
    for (const chunk of chunks(this.records, this.version, again)) digester.update(chunk);
    this.#digest = digester.digest();
    return this.#digest;
  }

  open(offset = 0): Readable {
    const all = chunks(this.records, this.version, Buffer.allocUnsafe);
    // One chunk after the other: a stream of bytes would join those that wait, which copies them.
    return giveAway(Readable.from(offset > 0 ? from(all, offset) : this.#hashed(all), { highWaterMark: 1 }));
  }

  // Passes chunks through, and computes their digest.
  *#hashed(all: Iterable<Buffer>): Generator<Buffer> {
    if (this.#digest !== undefined) return yield* all;
    const digester = new Digester();
    for (const chunk of all) {
      digester.update(chunk);
      // Set before the last chunk is yielded: a reader that has all bytes may not ask for the end.
      if (digester.size === this.size) this.#digest = digester.digest();
      yield chunk;
    }
  }
}

// All records reachable from some hashes, those included, with the number of edges that lead to each; missing ones are
// left out.
function withUses(
  wanted: ReadonlySet<string>,
  recordAt: (hash: string) => NodeRecord | undefined,
): ReadonlyMap<string, IndexedNode> {
  const found = new Map<string, IndexedNode>();
  const stack: IndexedNode[] = [];
  const reach = (hash: string): IndexedNode | undefined => {
    const known = found.get(hash);
    if (known !== undefined) return known;
    const record = recordAt(hash);
    if (record === undefined) return undefined;
    const made = new IndexedNode(record, wanted.has(hash));
    found.set(hash, made);
    stack.push(made);
    return made;
  };
  for (const hash of wanted) reach(hash);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const child of node.dependencies) {
      const reached = reach(child);
      if (reached !== undefined) reached.refCount++;
    }
    if (node.builtAs !== undefined) reach(node.builtAs);
  }
  return found;
}

// It would be unreadable, and replace one that can be read.
function tooLarge(): StaveError {
  return new StaveError("TOO_LARGE", `the index of the cache would have more than ${INDEX_LIMIT} bytes`, {
    hint: "remove specs that are not needed with `stave prune`, or push to a second cache",
  });
}

// An index has one format: if specs of both generations occur, the older ones are written as in Spack 1.x.
function inNewestFormat(records: ReadonlyMap<string, NodeRecord>): ReadonlyMap<string, NodeRecord> {
  const old = [...records.values()].filter((record) => record.format < NEWEST_FORMAT);
  if (old.length === 0) return records;
  const hashes = old.map((record) => record.hash);
  const graph = graphOfRecords(hashes, (hash) => records.get(hash), "the cache index");
  const out = new Map(records);
  for (const hash of hashes) {
    const node = graph.get(hash);
    if (node === undefined) continue;
    const text = Buffer.from(writeJson(nodeDictionary(node)), "latin1");
    out.set(hash, { ...recordOfNode(node), format: NEWEST_FORMAT, isVerified: false, text });
  }
  return out;
}

const headOf = (version: number): string => `{"database":{"version":"${version}","installs":{`;
const END = "}}}";

// What surrounds the text of a record: its key, and everything up to the next key, with the comma.
const keyOf = (hash: string): string => `"${hash}":{"spec":`;
const tailOf = ({ refCount, inBuildcache }: WrittenRecord): string =>
  `,"ref_count":${refCount},"in_buildcache":${inBuildcache}},`;

// The text in chunks; `make` provides the memory of each, which may be the same each time.
function* chunks(
  records: ReadonlyMap<string, IndexedNode>,
  version: number,
  make: (size: number) => Buffer,
): Iterable<Buffer> {
  let chunk = make(CHUNK);
  let filled = chunk.write(headOf(version), "latin1");
  // What comes before the next record, with the end of the one before.
  let before = "";
  for (const [hash, record] of records) {
    const { size } = record;
    const most = size + AROUND;
    if (filled + most > chunk.byteLength) {
      yield chunk.subarray(0, filled);
      chunk = make(Math.max(CHUNK, most));
      filled = 0;
    }
    filled += chunk.write(before + keyOf(hash), filled, "latin1");
    record.copyTo(chunk, filled);
    filled += size;
    before = tailOf(record);
  }
  // The end has no comma.
  filled += chunk.write(before.slice(0, -1), filled, "latin1");
  yield chunk.subarray(0, filled);
  yield Buffer.from(END);
}

function* from(all: Iterable<Buffer>, offset: number): Iterable<Buffer> {
  let left = offset;
  for (const chunk of all) {
    if (left >= chunk.byteLength) left -= chunk.byteLength;
    else {
      yield left > 0 ? chunk.subarray(left) : chunk;
      left = 0;
    }
  }
}

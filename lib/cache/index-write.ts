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
  const version = isOld ? 7 : 8;
  const digester = new Digester();
  let memory = Buffer.allocUnsafe(CHUNK);
  const again = (size: number): Buffer => {
    if (size > memory.byteLength) memory = Buffer.allocUnsafe(size);
    return memory;
  };
  for (const chunk of chunks(records, version, again)) {
    digester.update(chunk);
    if (digester.size > INDEX_LIMIT) throw tooLarge();
  }
  const { size } = digester;
  const specs = records.values().reduce((sum, record) => sum + Number(record.inBuildcache), 0);
  return {
    digest: digester.digest(),
    size,
    version,
    specs,
    records,
    isVerified: true,
    open: (offset = 0) =>
      // One chunk after the other: a stream of bytes would join those that wait, which copies them.
      giveAway(Readable.from(from(chunks(records, version, Buffer.allocUnsafe), offset), { highWaterMark: 1 })),
  };
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

// The text in chunks; `make` provides the memory of each, which may be the same each time.
function* chunks(
  records: ReadonlyMap<string, IndexedNode>,
  version: number,
  make: (size: number) => Buffer,
): Iterable<Buffer> {
  let chunk = make(CHUNK);
  let filled = chunk.write(`{"database":{"version":"${version}","installs":{`, "latin1");
  // What comes before the next record, with the end of the one before.
  let before = "";
  for (const [hash, record] of records) {
    const { size, refCount, inBuildcache } = record;
    const most = size + AROUND;
    if (filled + most > chunk.byteLength) {
      yield chunk.subarray(0, filled);
      chunk = make(Math.max(CHUNK, most));
      filled = 0;
    }
    filled += chunk.write(`${before}"${hash}":{"spec":`, filled, "latin1");
    record.copyTo(chunk, filled);
    filled += size;
    before = `,"ref_count":${refCount},"in_buildcache":${inBuildcache}},`;
  }
  // The end has no comma.
  filled += chunk.write(before.slice(0, -1), filled, "latin1");
  yield chunk.subarray(0, filled);
  yield Buffer.from("}}}");
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

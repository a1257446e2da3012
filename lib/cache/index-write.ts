// Writes a cache index as Spack does (`database.py`, `binary_distribution.py`): a pure function of the specs in the
// cache. Records are sorted, so that the same specs give the same bytes, whatever wrote them and in whatever steps.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { type Digest, Digester } from "../oci/digest.ts";
import { NEWEST_FORMAT } from "../spack/spec/node-reader.ts";
import { nodeDictionary } from "../spack/spec/spec-writer.ts";
import { writeJson } from "../spack/text/json.ts";
import type { Source } from "../util/stream.ts";
import { graphOfRecords, INDEX_LIMIT } from "./index-read.ts";
import { closure, type NodeRecord, RecordWithoutText, recordOfNode } from "./record.ts";

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

// The text may be in a file, so it is not copied.
class IndexedNode extends RecordWithoutText implements WrittenRecord {
  readonly inBuildcache: boolean;
  readonly refCount: number;
  readonly #node: NodeRecord;

  constructor(node: NodeRecord, inBuildcache: boolean, refCount: number) {
    super(node);
    this.inBuildcache = inBuildcache;
    this.refCount = refCount;
    this.#node = node;
  }

  get text(): Uint8Array {
    return this.#node.text;
  }
}

const CHUNK = 256 * 1024;
/** An upper bound on the text around a record's own. */
const AROUND = 256;
const OLD_FORMAT = 4;

/** Creates the index of a cache that has binaries of the specs with these hashes. */
export function indexText(recordAt: (hash: string) => NodeRecord | undefined, inCache: Iterable<string>): IndexText {
  const wanted = new Set(inCache);
  const reached = closure(wanted, recordAt);
  const isOld = reached.size > 0 && reached.values().every((record) => record.format === OLD_FORMAT);
  const nodes = isOld ? reached : inNewestFormat(reached);
  const counts = new Map<string, number>();
  for (const { dependencies } of nodes.values())
    for (const child of dependencies) counts.set(child, (counts.get(child) ?? 0) + 1);
  const records = new Map<string, WrittenRecord>();
  for (const hash of [...nodes.keys()].sort()) {
    const node = nodes.get(hash);
    if (node) records.set(hash, new IndexedNode(node, wanted.has(hash), counts.get(hash) ?? 0));
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
      Readable.from(from(chunks(records, version, Buffer.allocUnsafe), offset), { objectMode: false }),
  };
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
  records: ReadonlyMap<string, WrittenRecord>,
  version: number,
  make: (size: number) => Buffer,
): Iterable<Buffer> {
  let chunk = make(CHUNK);
  let filled = chunk.write(`{"database":{"version":"${version}","installs":{`, "latin1");
  let separator = "";
  for (const { hash, text, refCount, inBuildcache } of records.values()) {
    const most = text.byteLength + AROUND;
    if (filled + most > chunk.byteLength) {
      yield chunk.subarray(0, filled);
      chunk = make(Math.max(CHUNK, most));
      filled = 0;
    }
    filled += chunk.write(`${separator}"${hash}":{"spec":`, filled, "latin1");
    chunk.set(text, filled);
    filled += text.byteLength;
    filled += chunk.write(`,"ref_count":${refCount},"in_buildcache":${inBuildcache}}`, filled, "latin1");
    separator = ",";
  }
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

// Reads a cache index as records (Spack `database.py`). Each record is parsed and verified separately and kept as text,
// or as the place of its text in a file, so that a damaged one affects nothing else, and memory stays near the size of
// the text, or far below it.
import { isStaveError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { GraphBuilder } from "../spack/spec/graph.ts";
import type { SpecGraph } from "../spack/spec/node.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";
import { NEWEST_DATABASE, nodeFormat, readVersion } from "../spack/store/database.ts";
import { booleanAt, inside, own, type Place, wrong } from "../spack/text/fields.ts";
import { invalid, isObject, type JsonSource, parseJsonBytes } from "../spack/text/json.ts";
import { FileRecord, IndexFile } from "./index-file.ts";
import { JsonScanner } from "./json-scanner.ts";
import { arrange, closure, dictionaryOf, type IndexRecord, type NodeRecord, recordOf } from "./record.ts";
import { RecordScanner } from "./record-scanner.ts";

/** Maximum number of bytes of an index; one of 50 000 specs has 118 MB. */
export const INDEX_LIMIT = 1_000_000_000;

/** A record that was left out, and why. */
export interface IndexProblem {
  readonly hash: string;
  readonly reason: string;
}

/** The image that stores an index. */
export interface StoredIndex {
  readonly digest: Digest;
  readonly configDigest: Digest;
  /** The cache supports replacing it only if it has not changed. */
  readonly obeysConditions: boolean;
}

/** A cache index. */
export interface CacheIndex {
  /** The database version: 5 to 8. */
  readonly version: number;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** By DAG hash, in the order of the text. */
  readonly records: ReadonlyMap<string, IndexRecord>;
  readonly problems: readonly IndexProblem[];
  /** Hashes of records with a direct or indirect dependency that is missing or was left out. */
  readonly incomplete: ReadonlySet<string>;
  /** The image that stores it, if any. */
  readonly stored?: StoredIndex;
  /** In a mirror, identifies the state of the manifest that names it. */
  readonly token?: string;
}

/** The text of an index, with its name for messages. */
export interface IndexSource extends JsonSource {
  /** In memory, or in a file that has them. */
  readonly bytes: Uint8Array | IndexFile;
  readonly digest: Digest;
}

/**
 * Reads an index. Records that are invalid, do not match their hash or lie on a cycle are left out and listed in
 * `problems`. Throws CONTENT_INVALID for truncated text or anything that is not an index, UNSUPPORTED for one written
 * by a newer Spack.
 */
export function readIndexText(source: IndexSource): CacheIndex {
  const { bytes, digest } = source;
  const problems: IndexProblem[] = [];
  const place = inside({ source }, "database");
  const scanner = new JsonScanner(bytes, source);
  let version: number | undefined;
  let installs: number | undefined;
  let records: Map<string, IndexRecord> | undefined;
  scanner.object((key) => {
    if (key !== "database") return scanner.pass();
    return scanner.object((member) => {
      // Readers could disagree about which of the two counts.
      const isSecond = member === "version" ? version !== undefined : (installs ?? records) !== undefined;
      if (isSecond && (member === "version" || member === "installs")) throw invalid(source, `has ${member} twice`);
      if (member === "installs" && version !== undefined) {
        records = readRecords(scanner, source, version, problems);
        return;
      }
      if (member === "version") {
        const from = scanner.skip();
        version = checkVersion(scanner.since(from), place);
        return;
      }
      if (member === "installs") installs = scanner.offsetOf(scanner.at);
      scanner.pass();
    });
  });
  scanner.end();
  if (version === undefined) throw wrong(place, "version", undefined, "a database version");
  if (records === undefined) {
    // Records cannot be read before the version is known; Spack writes them after it.
    if (installs === undefined) throw wrong(place, "installs", undefined, "an object");
    scanner.seek(installs);
    records = readRecords(scanner, source, version, problems);
  }
  const { cyclic, incomplete } = arrange(records);
  for (const hash of cyclic) {
    records.delete(hash);
    problems.push({ hash, reason: "its dependencies form a cycle" });
  }
  const size = bytes instanceof IndexFile ? bytes.size : bytes.byteLength;
  return { version, digest, size, records, problems, incomplete };
}

function readRecords(
  scanner: JsonScanner,
  source: IndexSource,
  version: number,
  problems: IndexProblem[],
): Map<string, IndexRecord> {
  const { bytes } = source;
  const file = bytes instanceof IndexFile ? bytes : undefined;
  const format = nodeFormat(version);
  const place = inside(inside({ source }, "database"), "installs");
  const records = new Map<string, IndexRecord>();
  const fast = new RecordScanner(scanner, source, format);
  scanner.object((hash) => {
    if (records.has(hash)) throw invalid(source, `has two records for ${printable(hash)}`);
    scanner.release();
    const from = scanner.at;
    const found = fast.read(hash);
    if (found !== undefined) {
      const at = scanner.offsetOf(fast.textFrom);
      records.set(hash, file === undefined ? found : new FileRecord(found, file, at, found.text.byteLength));
      return;
    }
    scanner.at = from;
    scanner.skip();
    try {
      const text = scanner.since(from);
      const record = readRecord(text, hash, format, place);
      records.set(hash, file === undefined ? record : kept(record, text, file, scanner.offsetOf(from)));
    } catch (error) {
      if (!isStaveError(error)) throw error;
      problems.push({ hash, reason: error.message });
    }
  });
  return records;
}

// The memory of the window is used again, so a record that refers to it must not be kept as it is.
function kept(record: IndexRecord, text: Uint8Array, file: IndexFile, offset: number): IndexRecord {
  if (record.text.buffer !== text.buffer) return record;
  return new FileRecord(record, file, offset + record.text.byteOffset - text.byteOffset, record.text.byteLength);
}

// An index of a newer Spack is valid for others; it must not count as damaged.
function checkVersion(text: Uint8Array, place: Place): number {
  const value = parseJsonBytes(text, place.source);
  const number = Number(value);
  if (!Number.isInteger(number) || number <= NEWEST_DATABASE) return readVersion(value, place);
  const problem = `has database version ${number}, expected at most ${NEWEST_DATABASE}`;
  const hint = "it was written by a newer Spack; update stave";
  throw invalid({ ...place.source, code: "UNSUPPORTED", hint }, problem);
}

function readRecord(text: Uint8Array, hash: string, format: number, installs: Place): IndexRecord {
  const place = inside(installs, hash);
  const value = parseJsonBytes(text, place.source);
  if (!isDagHash(hash)) throw wrong(installs, hash, value, "only DAG hashes as keys");
  if (!isObject(value)) throw wrong(installs, hash, value, "an object");
  const spec = own(value, "spec");
  if (!isObject(spec)) throw wrong(place, "spec", spec, "an object");
  const node = recordOf(memberText(text, "spec", place.source), spec, format, inside(place, "spec"));
  if (node.hash !== hash) throw wrong(inside(place, "spec"), "hash", node.hash, `the key of the record, ${hash}`);
  const refCount = own(value, "ref_count");
  return {
    ...node,
    inBuildcache: booleanAt(value, "in_buildcache", place, false),
    refCount: typeof refCount === "number" ? refCount : undefined,
  };
}

// The text of a member of an object whose text is known to be well-formed.
function memberText(text: Uint8Array, name: string, source: JsonSource): Uint8Array {
  const scanner = new JsonScanner(text, source);
  let found = text.subarray(0, 0);
  scanner.object((key) => {
    const from = scanner.skip();
    if (key === name) found = text.subarray(from, scanner.at);
  });
  return found;
}

/** The graph of some records and all their dependencies; missing ones are left out. */
export function graphOfRecords(
  hashes: Iterable<string>,
  recordAt: (hash: string) => NodeRecord | undefined,
  name: string,
): SpecGraph {
  const builder = new GraphBuilder();
  const source: JsonSource = { name, code: "SPEC_INVALID" };
  for (const record of closure(hashes, recordAt).values()) builder.add(dictionaryOf(record), record.format, { source });
  return builder.build(() => {});
}

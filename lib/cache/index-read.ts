// Reads a cache index as records (Spack `database.py`): each is parsed and checked by itself and kept as text, so that one
// that is damaged costs nothing but itself, and memory stays near the size of the text.
import { isStaveError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { NEWEST_DATABASE, nodeFormat, readVersion } from "../spack/database.ts";
import { booleanAt, inside, own, type Place, wrong } from "../spack/fields.ts";
import { GraphBuilder } from "../spack/graph.ts";
import { invalid, isObject, type JsonSource, parseJson, parseJsonBytes } from "../spack/json.ts";
import type { SpecGraph } from "../spack/node.ts";
import { isDagHash } from "../spack/node-reader.ts";
import { arrange, closure, dictionaryOf, type Intern, interner, type NodeRecord, recordOf } from "./record.ts";

/** What an index says of one spec. */
export interface IndexRecord extends NodeRecord {
  /** The cache has its binary; the others are only known as dependencies. */
  readonly inBuildcache: boolean;
  readonly refCount: number | undefined;
}

/** A record that was left out, and why. */
export interface IndexProblem {
  readonly hash: string;
  readonly reason: string;
}

/** An index as it was read. */
export interface CacheIndex {
  /** The database version: 5 to 8. */
  readonly version: number;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** By DAG hash, in the order of the text. */
  readonly records: ReadonlyMap<string, IndexRecord>;
  readonly problems: readonly IndexProblem[];
  /** The digest of the config it is stored with, where it is stored as an image. */
  readonly configDigest?: Digest;
}

/** The text of an index with what messages call it. */
export interface IndexSource extends JsonSource {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
}

/**
 * Reads an index. Records that are no valid specs, that lie about their hash or that lie on a cycle are left out and told of.
 * Throws CONTENT_INVALID for a text that is cut off or is no index, UNSUPPORTED for one that a newer Spack wrote.
 */
export function readIndexText(source: IndexSource): CacheIndex {
  const { bytes, digest } = source;
  const records = new Map<string, IndexRecord>();
  const problems: IndexProblem[] = [];
  const intern = interner();
  const root: Place = { source };
  const place = inside(root, "database");
  const scanner = new Scanner(bytes, source);
  let version: number | undefined;
  let installs: [from: number, to: number] | undefined;
  scanner.object((key) => {
    if (key !== "database") {
      scanner.skip();
      return;
    }
    scanner.object((member) => {
      const from = scanner.skip();
      if (member === "version") version = checkVersion(bytes.subarray(from, scanner.at), place);
      else if (member === "installs") installs = [from, scanner.at];
    });
  });
  scanner.end();
  if (version === undefined) throw wrong(place, "version", undefined, "a database version");
  if (installs === undefined) throw wrong(place, "installs", undefined, "an object");
  const format = nodeFormat(version);
  const entries = new Scanner(bytes, source, installs[0]);
  entries.object((hash) => {
    const from = entries.skip();
    const text = bytes.subarray(from, entries.at);
    if (records.has(hash)) throw invalid(source, `has two records of ${hash.slice(0, 40)}`);
    try {
      records.set(intern(hash), readRecord(text, hash, format, inside(place, "installs"), intern));
    } catch (error) {
      if (!isStaveError(error)) throw error;
      problems.push({ hash, reason: error.message });
    }
  });
  for (const hash of arrange(records).cyclic) {
    records.delete(hash);
    problems.push({ hash, reason: "its dependencies form a cycle" });
  }
  return { version, digest, size: bytes.byteLength, records, problems };
}

// An index of a newer Spack is fit for others: it must not be taken for a damaged one.
function checkVersion(text: Uint8Array, place: Place): number {
  const value = parseJsonBytes(text, place.source);
  const number = Number(value);
  if (!Number.isInteger(number) || number <= NEWEST_DATABASE) return readVersion(value, place);
  const problem = `has database version ${number}, expected at most ${NEWEST_DATABASE}`;
  const hint = "it was written by a newer Spack; update stave";
  throw invalid({ ...place.source, code: "UNSUPPORTED", hint }, problem);
}

function readRecord(text: Uint8Array, hash: string, format: number, installs: Place, intern: Intern): IndexRecord {
  const place = inside(installs, hash);
  const value = parseJsonBytes(text, place.source);
  if (!isDagHash(hash)) throw wrong(installs, hash, value, "no key but DAG hashes");
  if (!isObject(value)) throw wrong(installs, hash, value, "an object");
  const spec = own(value, "spec");
  if (!isObject(spec)) throw wrong(place, "spec", spec, "an object");
  const node = recordOf(memberText(text, "spec", place.source), spec, format, inside(place, "spec"), intern);
  if (node.hash !== hash) throw wrong(inside(place, "spec"), "hash", node.hash, `the key of the record, ${hash}`);
  const refCount = own(value, "ref_count");
  return {
    ...node,
    inBuildcache: booleanAt(value, "in_buildcache", place, false),
    refCount: typeof refCount === "number" ? refCount : undefined,
  };
}

// Where a member of an object stands in its text, which is known to be well-formed.
function memberText(text: Uint8Array, name: string, source: JsonSource): Uint8Array {
  const scanner = new Scanner(text, source);
  let found = text.subarray(0, 0);
  scanner.object((key) => {
    const from = scanner.skip();
    if (key === name) found = text.subarray(from, scanner.at);
  });
  return found;
}

/** The specs of some records and all that they depend on, tied together; dependencies that are not there are left out. */
export function graphOfRecords(
  hashes: Iterable<string>,
  recordAt: (hash: string) => NodeRecord | undefined,
  name: string,
): SpecGraph {
  const builder = new GraphBuilder();
  for (const record of closure(hashes, recordAt).values())
    builder.add(dictionaryOf(record), record.format, { source: { name, code: "SPEC_INVALID" } });
  return builder.build(() => {});
}

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

// Finds where values begin and end in a JSON text, several times faster than parsing it. It does not see every mistake:
// what it finds is parsed afterwards.
class Scanner {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #source: JsonSource;

  constructor(bytes: Uint8Array, source: JsonSource, at = 0) {
    this.#bytes = bytes;
    this.#source = source;
    this.at = at;
  }

  /** Calls `visit` for each member of the object that follows; it must pass over the value. */
  object(visit: (key: string) => void): void {
    this.#expect(OPEN_OBJECT, "an object");
    if (this.#peek() === CLOSE_OBJECT) {
      this.at++;
      return;
    }
    for (;;) {
      if (this.#peek() !== QUOTE) throw this.#error("a key in double quotes");
      const key = this.#key();
      this.#expect(COLON, '":"');
      this.#peek();
      visit(key);
      const code = this.#peek();
      this.at++;
      if (code === CLOSE_OBJECT) return;
      if (code !== COMMA) throw this.#error('"," or "}"');
    }
  }

  /** Passes over the value that follows, and returns where it begins. */
  skip(): number {
    this.#peek();
    const from = this.at;
    const bytes = this.#bytes;
    let depth = 0;
    for (;;) {
      const code = bytes[this.at];
      if (code === undefined) throw this.#error("the rest");
      if (code === QUOTE) this.#string();
      else if (code === OPEN || code === OPEN_OBJECT) {
        depth++;
        this.at++;
      } else if (code === CLOSE || code === CLOSE_OBJECT) {
        if (depth === 0) break;
        depth--;
        this.at++;
      } else if (depth === 0 && (code === COMMA || code <= SPACE)) break;
      else {
        this.at++;
        continue;
      }
      if (depth === 0) break;
    }
    if (this.at === from) throw this.#error("a value");
    return from;
  }

  /** Makes sure that nothing follows. */
  end(): void {
    if (this.#peek() !== 0) throw this.#error("the end of the document");
  }

  #key(): string {
    const from = this.at;
    this.#string();
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, this.at - from).toString("utf8");
    const key = text.includes("\\") ? parseJson(text, this.#source) : text.slice(1, -1);
    return String(key);
  }

  #string(): void {
    const bytes = this.#bytes;
    let at = this.at + 1;
    for (let code = bytes[at]; code !== QUOTE; code = bytes[at]) {
      if (code === undefined) throw this.#error("the rest");
      at += code === BACKSLASH ? 2 : 1;
    }
    this.at = at + 1;
  }

  #expect(code: number, what: string): void {
    if (this.#peek() !== code) throw this.#error(what);
    this.at++;
  }

  // The next code that is no white space, 0 at the end.
  #peek(): number {
    let code = this.#bytes[this.at];
    while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) code = this.#bytes[++this.at];
    return code ?? 0;
  }

  #error(expected: string): Error {
    const isCut = this.at >= this.#bytes.byteLength;
    const where = isCut ? "it is cut off at its end" : `at byte ${this.at}`;
    return invalid(this.#source, `is not valid JSON: ${where}, expected ${expected}`);
  }
}

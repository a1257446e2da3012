// What a large index says without the texts of its records: remembered between runs, so that a query reads only the
// records that it needs. Each of those is verified by its hash when it is read. directory-writer.ts makes directories.
import * as z from "zod";
import { type Digest, digestOf } from "../oci/digest.ts";
import { COLUMN, type DirectoryHead, FORM, usesIn, WIDTH } from "./directory-form.ts";
import type { IndexFile, RecordInFile } from "./index-file.ts";
import type { CacheIndex } from "./index-read.ts";
import type { IndexRecord } from "./record.ts";
import { HASH_LENGTH } from "./spec-tag.ts";

const count = z.int().min(0);
// Lists are read at once, which is several times faster than parsing an object per record. A checksum proves that they
// are what was written.
const headSchema: z.ZodType<DirectoryHead> = z.object({
  ...{ form: z.literal(FORM), version: z.int(), format: z.int() },
  ...{ names: z.array(z.string()), versions: z.array(z.string()) },
  ...{ hashes: count, records: count, edges: count, incomplete: count },
});

/** The index that a directory describes; undefined if it is damaged, or was written by another version of stave. */
export function readDirectory(directory: Uint8Array, file: IndexFile, digest: Digest): CacheIndex | undefined {
  const bytes = Buffer.from(directory.buffer, directory.byteOffset, directory.byteLength);
  const end = bytes.indexOf("\n");
  const headEnd = bytes.indexOf("\n", end + 1);
  if (end < 0 || headEnd < 0 || bytes.toString("latin1", 0, end) !== digestOf(bytes.subarray(end + 1)))
    return undefined;
  const parsed = headSchema.safeParse(JSON.parse(bytes.toString("utf8", end + 1, headEnd)));
  if (!parsed.success) return undefined;
  const { version, format, names, versions, ...counts } = parsed.data;
  let at = headEnd + 1;
  const text = bytes.toString("latin1", at, at + counts.hashes * HASH_LENGTH);
  at += counts.hashes * HASH_LENGTH;
  const numbers = (count: number): Int32Array => {
    const from = bytes.byteOffset + at;
    at += 4 * count;
    return new Int32Array(bytes.buffer.slice(from, bytes.byteOffset + at));
  };
  const hashes: string[] = [];
  for (let each = 0; each < text.length; each += HASH_LENGTH) hashes.push(text.slice(each, each + HASH_LENGTH));
  const table = { file, format, hashes, numbers: numbers(counts.records * WIDTH), edges: numbers(counts.edges) };
  const incomplete = new Set<string>();
  for (const hash of numbers(counts.incomplete)) incomplete.add(hashes[hash] ?? "");
  const records = new Map<string, IndexRecord>();
  for (let record = 0; record < counts.records; record++) {
    const place = record * WIDTH;
    const hash = hashes[table.numbers[place + COLUMN.hash] ?? 0] ?? "";
    const name = names[table.numbers[place + COLUMN.name] ?? 0] ?? "";
    records.set(
      hash,
      new ListedRecord(table, place, hash, name, versions[table.numbers[place + COLUMN.version] ?? 0] ?? ""),
    );
  }
  return { version, digest, size: file.size, records, problems: [], incomplete };
}

/** The lists of a directory. */
interface Table {
  readonly file: IndexFile;
  readonly format: number;
  readonly hashes: readonly string[];
  readonly numbers: Int32Array;
  readonly edges: Int32Array;
}

/** A record of a directory. Most of it is looked up when it is asked for: a query needs few of many. */
class ListedRecord implements RecordInFile {
  readonly hash: string;
  readonly name: string;
  readonly version: string;
  readonly #table: Table;
  readonly #place: number;

  constructor(table: Table, place: number, hash: string, name: string, version: string) {
    this.#table = table;
    this.#place = place;
    this.hash = hash;
    this.name = name;
    this.version = version;
  }

  #number(column: number): number {
    return this.#table.numbers[this.#place + column] ?? 0;
  }

  get dependencies(): readonly string[] {
    const { edges, hashes } = this.#table;
    const from = this.#place === 0 ? 0 : this.#number(COLUMN.edgesEnd - WIDTH);
    const found = new Array<string>(this.#number(COLUMN.edgesEnd) - from);
    // A loop: this is done for a million edges.
    for (let at = 0; at < found.length; at++) found[at] = hashes[edges[from + at] ?? 0] ?? "";
    return found;
  }

  get builtAs(): undefined {
    return undefined;
  }

  get format(): number {
    return this.#table.format;
  }

  get isVerified(): boolean {
    return true;
  }

  get inBuildcache(): boolean {
    return this.#number(COLUMN.uses) >= 0;
  }

  get refCount(): number | undefined {
    return usesIn(this.#number(COLUMN.uses));
  }

  get file(): IndexFile {
    return this.#table.file;
  }

  get from(): number {
    return this.#number(COLUMN.from);
  }

  get length(): number {
    return this.#number(COLUMN.length);
  }

  get text(): Uint8Array {
    return this.file.textOf(this.hash, this.from, this.length);
  }
}

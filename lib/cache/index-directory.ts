// What a large index says without the texts of its records: remembered between runs, so that a query reads only the
// records that it needs. Each of those is verified by its hash when it is read.
import { endianness } from "node:os";
import * as z from "zod";
import { type Digest, digestOf } from "../oci/digest.ts";
import { FileRecord, type IndexFile } from "./index-file.ts";
import type { CacheIndex } from "./index-read.ts";
import type { IndexRecord } from "./record.ts";

/** Changes with the form of the text below; numbers have the byte order of the machine. */
const FORM = `1 ${endianness()}`;
const HASH_LENGTH = 32;
/** The numbers of each record, before those of its dependencies. */
const WIDTH = 7;

// The texts and numbers of all records are in one list each, which is parsed several times faster than an object per
// record. A checksum proves that they are what was written.
const directorySchema = z.object({
  form: z.literal(FORM),
  version: z.int(),
  format: z.int(),
  names: z.array(z.string()),
  versions: z.array(z.string()),
  /** The hashes of records, then those of missing dependencies, without separators. */
  hashes: z.string(),
  count: z.int().min(0),
  incomplete: z.array(z.string()),
  /** Of each record: name, version, where its text starts, length, flag, references, dependencies; base64. */
  numbers: z.string(),
});

/** The directory of an index; undefined if it has records that their hashes alone cannot verify. */
export function writeDirectory(index: CacheIndex, file: IndexFile): Buffer | undefined {
  const { records, problems, incomplete, version } = index;
  if (file.hasOddRecords || problems.length > 0) return undefined;
  const [names, versions, hashes] = [new Numbering(), new Numbering(), new Numbering()];
  for (const hash of records.keys()) hashes.of(hash);
  const edges = records.values().reduce((sum, { dependencies }) => sum + dependencies.length, 0);
  const numbers = new Int32Array(records.size * WIDTH + edges);
  let format = 0;
  let at = 0;
  for (const record of records.values()) {
    if (!(record instanceof FileRecord)) return undefined;
    format = record.format;
    numbers[at++] = names.of(record.name);
    numbers[at++] = versions.of(record.version);
    numbers[at++] = record.from;
    numbers[at++] = record.length;
    numbers[at++] = Number(record.inBuildcache);
    numbers[at++] = record.refCount ?? -1;
    numbers[at++] = record.dependencies.length;
    for (const hash of record.dependencies) numbers[at++] = hashes.of(hash);
  }
  if (hashes.texts.some(({ length }) => length !== HASH_LENGTH)) return undefined;
  const text = JSON.stringify({
    ...{ form: FORM, version, format, names: names.texts, versions: versions.texts, hashes: hashes.texts.join("") },
    ...{ count: records.size, incomplete: [...incomplete] },
    numbers: Buffer.from(numbers.buffer).toString("base64"),
  });
  return Buffer.from(`${digestOf(text)}\n${text}`);
}

/** The index that a directory describes; undefined if it is damaged, or was written by another version of stave. */
export function readDirectory(directory: Buffer, file: IndexFile, digest: Digest): CacheIndex | undefined {
  const end = directory.indexOf("\n");
  const text = directory.subarray(end + 1);
  if (end < 0 || directory.toString("latin1", 0, end) !== digestOf(text)) return undefined;
  const parsed = directorySchema.safeParse(JSON.parse(text.toString("utf8")));
  if (!parsed.success) return undefined;
  const { version, format, names, versions, count, incomplete } = parsed.data;
  const hashes: string[] = [];
  for (let at = 0; at < parsed.data.hashes.length; at += HASH_LENGTH)
    hashes.push(parsed.data.hashes.slice(at, at + HASH_LENGTH));
  const bytes = Buffer.from(parsed.data.numbers, "base64");
  const numbers = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const records = new Map<string, IndexRecord>();
  let at = 0;
  const next = (): number => numbers[at++] ?? 0;
  for (const hash of hashes.slice(0, count)) {
    const [name, ofVersion, from, length, flag, references] = [next(), next(), next(), next(), next(), next()];
    const dependencies = Array.from({ length: next() }, () => hashes[next()] ?? "");
    const record = {
      ...{
        hash,
        name: names[name] ?? "",
        version: versions[ofVersion] ?? "",
        dependencies,
        builtAs: undefined,
        format,
        isVerified: true,
      },
      ...{ inBuildcache: flag === 1, refCount: references < 0 ? undefined : references },
    };
    records.set(hash, new FileRecord(record, file, from, length));
  }
  return { version, digest, size: file.size, records, problems: [], incomplete: new Set(incomplete) };
}

/** Numbers texts in the order in which they first occur. */
class Numbering {
  readonly #numbers = new Map<string, number>();

  of(text: string): number {
    const found = this.#numbers.get(text);
    if (found !== undefined) return found;
    this.#numbers.set(text, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  get texts(): string[] {
    return [...this.#numbers.keys()];
  }
}

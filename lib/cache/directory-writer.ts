// Makes the directory of a large index from its text, in one pass and without an object per record. An index that is
// unusual in any way has none: only the general reader knows what to do with it.
import { digestOf } from "../oci/digest.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";
import { nodeFormat, readVersion } from "../spack/store/database.ts";
import { type JsonSource, parseJsonBytes } from "../spack/text/json.ts";
import { COLUMN, type DirectoryHead, FORM, storedUses, UNKNOWN_USES, WIDTH } from "./directory-form.ts";
import { JsonScanner, type LongText } from "./json-scanner.ts";
import { RecordScanner } from "./record-scanner.ts";

/** The directory of the index that a text is; undefined if the text is unusual, or no index. */
export function writeDirectory(text: LongText, source: JsonSource): Buffer<ArrayBuffer> | undefined {
  try {
    return new DirectoryWriter(text, source).write();
  } catch {
    // The general reader finds the error again, and reports it.
    return undefined;
  }
}

class DirectoryWriter {
  readonly #scanner: JsonScanner;
  readonly #source: JsonSource;
  #version: number | undefined;
  readonly #hashes = new Numbering();
  readonly #names = new Numbering();
  readonly #versions = new Numbering();
  readonly #records = new Numbers();
  readonly #edges = new Numbers();

  constructor(text: LongText, source: JsonSource) {
    this.#scanner = new JsonScanner(text, source);
    this.#source = source;
  }

  write(): Buffer<ArrayBuffer> | undefined {
    const scanner = this.#scanner;
    let hasRecords = false;
    scanner.object((key) => {
      if (key !== "database") return scanner.pass();
      return scanner.object((member) => {
        if (member === "version" && this.#version === undefined) {
          const from = scanner.skip();
          this.#version = readVersion(parseJsonBytes(scanner.since(from), this.#source), { source: this.#source });
        } else if (member === "installs" && this.#version !== undefined && !hasRecords) {
          hasRecords = true;
          this.#readRecords(nodeFormat(this.#version));
        } else if (member === "version" || member === "installs") throw new Error("unusual");
        else scanner.pass();
      });
    });
    scanner.end();
    if (!this.#hashes.texts.every(isDagHash)) return undefined;
    return hasRecords ? this.#finish(this.#version ?? 0) : undefined;
  }

  #readRecords(format: number): void {
    const scanner = this.#scanner;
    const fast = new RecordScanner(scanner, this.#source, format);
    scanner.object((hash) => {
      scanner.release();
      const record = fast.read(hash);
      const uses = record?.refCount ?? 0;
      if (record === undefined || uses < 0 || uses >= UNKNOWN_USES || !Number.isInteger(uses))
        throw new Error("unusual");
      for (const child of record.dependencies) this.#edges.add(this.#hashes.of(child));
      this.#records.add(this.#hashes.of(hash));
      this.#records.add(this.#names.of(record.name));
      this.#records.add(this.#versions.of(record.version));
      this.#records.add(scanner.offsetOf(fast.textFrom));
      this.#records.add(record.text.byteLength);
      this.#records.add(storedUses(record.refCount, record.inBuildcache));
      this.#records.add(this.#edges.count);
    });
  }

  #finish(version: number): Buffer<ArrayBuffer> | undefined {
    const [records, edges] = [this.#records.all, this.#edges.all];
    const incomplete = incompleteOf(records, edges, this.#hashes.texts.length);
    if (incomplete === undefined) return undefined;
    const head: DirectoryHead = {
      ...{ form: FORM, version, format: nodeFormat(version), names: this.#names.texts, versions: this.#versions.texts },
      ...{ hashes: this.#hashes.texts.length, records: records.length / WIDTH },
      ...{ edges: edges.length, incomplete: incomplete.length },
    };
    const lists = [records, edges, incomplete].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength),
    );
    const hashes = Buffer.from(this.#hashes.texts.join(""), "latin1");
    const rest = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), hashes, ...lists]);
    return Buffer.concat([Buffer.from(`${digestOf(rest)}\n`), rest]);
  }
}

/** The hashes of records with a direct or indirect dependency that is missing; undefined for cycles and copies. */
function incompleteOf(records: Int32Array, edges: Int32Array, hashes: number): Int32Array | undefined {
  const placeOf = new Int32Array(hashes).fill(-1);
  for (let place = 0; place < records.length; place += WIDTH) {
    const hash = records[place + COLUMN.hash] ?? 0;
    if (placeOf[hash] !== -1) return undefined;
    placeOf[hash] = place;
  }
  const endOf = (place: number): number => records[place + COLUMN.edgesEnd] ?? 0;
  const startOf = (place: number): number => (place === 0 ? 0 : endOf(place - WIDTH));
  // The next edge to follow of each hash, 0 before the first; those in progress are on the stack.
  const [UNSEEN, OPEN, WHOLE, INCOMPLETE] = [0, 1, 2, 3];
  const states = new Uint8Array(hashes);
  const next = new Int32Array(hashes);
  for (let first = 0; first < hashes; first++) {
    if (states[first] !== UNSEEN) continue;
    const stack = [first];
    for (let hash = stack.at(-1); hash !== undefined; hash = stack.at(-1)) {
      const place = placeOf[hash] ?? -1;
      if (place < 0) {
        states[hash] = INCOMPLETE;
        stack.pop();
        continue;
      }
      if (states[hash] === UNSEEN) {
        states[hash] = OPEN;
        next[hash] = startOf(place);
      }
      const end = endOf(place);
      let at = next[hash] ?? 0;
      while (at < end && (states[edges[at] ?? 0] ?? 0) >= WHOLE) at++;
      next[hash] = at;
      const child = edges[at] ?? 0;
      if (at < end && states[child] === OPEN) return undefined;
      if (at < end) stack.push(child);
      else {
        const isWhole = edges.subarray(startOf(place), end).every((each) => states[each] === WHOLE);
        states[hash] = isWhole ? WHOLE : INCOMPLETE;
        stack.pop();
      }
    }
  }
  const found: number[] = [];
  for (let place = 0; place < records.length; place += WIDTH) {
    const hash = records[place + COLUMN.hash] ?? 0;
    if (states[hash] === INCOMPLETE) found.push(hash);
  }
  return Int32Array.from(found);
}

/** Numbers texts in the order in which they first occur. */
class Numbering {
  readonly #numbers = new Map<string, number>();
  readonly texts: string[] = [];

  of(text: string): number {
    const found = this.#numbers.get(text);
    if (found !== undefined) return found;
    this.#numbers.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }
}

/** A list of numbers that grows. */
class Numbers {
  #memory = new Int32Array(1 << 16);
  count = 0;

  add(number: number): void {
    if (this.count === this.#memory.length) {
      const larger = new Int32Array(2 * this.count);
      larger.set(this.#memory);
      this.#memory = larger;
    }
    this.#memory[this.count++] = number;
  }

  get all(): Int32Array {
    return this.#memory.subarray(0, this.count);
  }
}

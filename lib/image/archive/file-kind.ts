// What kind of file it is, told from its bytes in one pass: which files Spack lists for relocation depends on that
// (Spack `binary_distribution.py`, file_type). The rules of Spack before 1.0 are in classify-legacy.ts.
import { isAscii, isUtf8 } from "node:buffer";
import { PrefixSearch } from "./prefix-search.ts";

/** How a file takes part in relocation: not at all, by its headers and C strings, or by its text. */
export type Relocation = "none" | "binary" | "text";

/** Looks at the pieces of one file, in order, and tells at its end what it is. Pieces are not kept. */
export interface Classifier {
  add(piece: Buffer): void;
  end(): Relocation;
}

/** The largest number of bytes that decide whether a file is a program or library; pieces but the last hold more. */
const MAGIC_LENGTH = 8;

/** Classifies as Spack 1.x does; texts count when they mention one of the terms (see searchTerms). */
export class FileClassifier implements Classifier {
  readonly #search: PrefixSearch;
  #head: Buffer = Buffer.alloc(0);
  #isBinary = false;
  #isUtf8 = true;
  #isLatin1 = true;
  // A UTF-8 sequence that the end of a piece has cut.
  #cut: Buffer = Buffer.alloc(0);

  constructor(terms: readonly Buffer[]) {
    this.#search = new PrefixSearch(terms);
  }

  add(piece: Buffer): void {
    if (this.#isBinary || (!this.#isUtf8 && !this.#isLatin1)) return;
    if (this.#head.length < MAGIC_LENGTH) {
      this.#head = Buffer.concat([this.#head, piece.subarray(0, MAGIC_LENGTH - this.#head.length)]);
      this.#isBinary = isProgram(this.#head);
      if (this.#isBinary) return;
    }
    const plain = isAscii(piece);
    if (this.#isUtf8) this.#checkUtf8(piece, plain);
    if (this.#isLatin1) this.#isLatin1 = hasNoControls(piece, plain);
    if (this.#isUtf8 || this.#isLatin1) this.#search.add(piece);
  }

  end(): Relocation {
    if (this.#isBinary) return "binary";
    if (this.#head.length < MAGIC_LENGTH) return "none";
    const isText = (this.#isUtf8 && this.#cut.length === 0) || this.#isLatin1;
    return isText && this.#search.found ? "text" : "none";
  }

  #checkUtf8(piece: Buffer, plain: boolean): void {
    if (plain && this.#cut.length === 0) return;
    let rest = piece;
    if (this.#cut.length > 0) {
      const missing = sequenceLength(this.#cut[0] ?? 0) - this.#cut.length;
      const sequence = Buffer.concat([this.#cut, piece.subarray(0, missing)]);
      rest = piece.subarray(missing);
      if (piece.length < missing) {
        this.#cut = sequence;
        return;
      }
      if (!isUtf8(sequence)) this.#isUtf8 = false;
    }
    const whole = rest.length - cutLength(rest);
    this.#cut = Buffer.from(rest.subarray(whole));
    if (!isUtf8(rest.subarray(0, whole))) this.#isUtf8 = false;
  }
}

/** ELF, or Mach-O of one architecture or of several; a Java class differs from the latter by its larger number. */
export function isProgram(head: Buffer): boolean {
  if (head.length < MAGIC_LENGTH) return false;
  switch (head.readUInt32BE(0)) {
    case 0x7f454c46:
    case 0xcffaedfe:
    case 0xfeedfacf:
    case 0xcefaedfe:
    case 0xfeedface:
      return true;
    case 0xcafebabe:
      return head.readUInt32BE(4) < 10;
    case 0xbebafeca:
      return head.readUInt32LE(4) < 10;
    default:
      return false;
  }
}

/** The length of the UTF-8 sequence that a byte begins; 1 for what begins none. */
function sequenceLength(first: number): number {
  return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

// How many bytes at the end begin a sequence that is not complete; 0 to 3.
function cutLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

// Latin-1 text has neither NUL nor DEL nor C1 control characters; the other C0 ones are let through.
function hasNoControls(piece: Buffer, plain: boolean): boolean {
  if (piece.includes(0) || piece.includes(0x7f)) return false;
  if (plain) return true;
  for (const byte of piece) if (byte >= 0x80 && byte <= 0x9f) return false;
  return true;
}

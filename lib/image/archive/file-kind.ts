// Classifies a file from its bytes in one pass: this decides which files Spack lists for relocation (Spack
// `binary_distribution.py`, file_type). The rules of Spack before 1.0 are in file-kind-legacy.ts.
import { isAscii, isUtf8 } from "node:buffer";
import { PrefixSearch } from "./prefix-search.ts";

/** How a file is relocated: not at all, by its headers and C strings, or as text. */
export type Relocation = "none" | "binary" | "text";

/** Reads the pieces of one file in order and classifies it at the end. Keeps no piece. */
export interface Classifier {
  add(piece: Buffer): void;
  end(): Relocation;
}

/** How many bytes identify a program or library; every piece but the last has more. */
const MAGIC_LENGTH = 8;

/** Classifies as Spack 1.x does; a text counts if it contains one of the terms (see searchTerms). */
export class FileClassifier implements Classifier {
  readonly #search: PrefixSearch;
  #head: Buffer = Buffer.alloc(0);
  #isBinary = false;
  #isUtf8 = true;
  #isLatin1 = true;
  // A UTF-8 sequence cut off at the end of a piece.
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

/**
 * True for ELF and for Mach-O with one or several architectures; a Java class differs from the latter by a larger
 * number.
 */
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

/** The length of the UTF-8 sequence that starts with a byte; 1 if none does. */
function sequenceLength(first: number): number {
  if (first >= 0xf0) return 4;
  if (first >= 0xe0) return 3;
  return first >= 0xc0 ? 2 : 1;
}

// How many bytes at the end belong to an incomplete sequence; 0 to 3.
function cutLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

// Latin-1 text contains no NUL, DEL or C1 control characters; other C0 characters are allowed.
function hasNoControls(piece: Buffer, plain: boolean): boolean {
  if (piece.includes(0) || piece.includes(0x7f)) return false;
  if (plain) return true;
  for (const byte of piece) if (byte >= 0x80 && byte <= 0x9f) return false;
  return true;
}

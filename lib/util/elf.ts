// Reads the headers of ELF files of either size and byte order (System V ABI, chapters 4 and 5). Trusts no value of the
// file; every read is within it.

/** The bytes of a file, of which parts may be unavailable. */
export interface FileParts {
  readonly size: number;
  /** Exactly these bytes; undefined if they are unavailable. */
  read(offset: number, length: number): Buffer | undefined;
}

/** A part of a file: its offset and length. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/** A part of a file that is loaded, or described by its program headers otherwise. */
export interface ElfSegment extends FileRange {
  readonly type: number;
  readonly address: number;
}

/** A section. Its name is an offset into the section that `nameSection` names. */
export interface ElfSection extends FileRange {
  readonly name: number;
  readonly type: number;
}

/** Types of files. */
export const ET = { exec: 2, dyn: 3 } as const;
/** Types of segments. */
export const PT = { load: 1, dynamic: 2, interp: 3 } as const;
/** Types of sections: a string table, and one without bytes in the file. */
export const SHT = { strtab: 3, nobits: 8 } as const;

/** The file is no ELF file, or is inconsistent, or a needed part is unavailable. */
export class UnreadableElf extends Error {}

/** Ends reading. Throws UnreadableElf. */
export function unreadable(): never {
  throw new UnreadableElf();
}

/** What `read` returns; undefined if it throws UnreadableElf. */
export function unlessUnreadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof UnreadableElf) return undefined;
    throw error;
  }
}

/** True for the first bytes of an ELF file. */
export function isElf(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === ELF_MAGIC;
}

/** The first four bytes, big-endian. */
export const ELF_MAGIC = 0x7f454c46;

/** An ELF file. All members throw UnreadableElf. */
export class ElfFile {
  readonly #file: FileParts;
  readonly is64: boolean;
  readonly isLittle: boolean;
  readonly type: number;
  readonly machine: number;
  readonly #header: Buffer;

  constructor(file: FileParts) {
    this.#file = file;
    const ident = this.read(0, 16);
    if (!isElf(ident)) unreadable();
    const [kind, order] = [ident[4], ident[5]];
    if ((kind !== 1 && kind !== 2) || (order !== 1 && order !== 2)) unreadable();
    this.is64 = kind === 2;
    this.isLittle = order === 1;
    this.#header = this.read(16, this.is64 ? 48 : 36);
    this.type = this.u16(this.#header, 0);
    this.machine = this.u16(this.#header, 2);
  }

  get size(): number {
    return this.#file.size;
  }

  /** The segments, at most 65535. Empty ones are left out: files with only debug symbols have them. */
  segments(): ElfSegment[] {
    const size = this.is64 ? 56 : 32;
    const count = this.u16(this.#header, this.is64 ? 40 : 28);
    const table = this.read(this.word(this.#header, this.is64 ? 16 : 12), count * size);
    const found: ElfSegment[] = [];
    for (let at = 0; at < table.length; at += size) {
      const length = this.word(table, at + (this.is64 ? 32 : 16));
      if (length === 0) continue;
      found.push({
        type: this.u32(table, at),
        offset: this.word(table, at + (this.is64 ? 8 : 4)),
        address: this.word(table, at + (this.is64 ? 16 : 8)),
        length,
      });
    }
    return found;
  }

  /** Where the table of sections is. */
  get sectionTable(): FileRange {
    const count = this.u16(this.#header, this.is64 ? 44 : 32);
    return { offset: this.word(this.#header, this.is64 ? 24 : 16), length: count * (this.is64 ? 64 : 40) };
  }

  /** The sections, at most 65535. */
  sections(): ElfSection[] {
    const { offset, length } = this.sectionTable;
    const size = this.is64 ? 64 : 40;
    const table = this.read(offset, length);
    const found: ElfSection[] = [];
    for (let at = 0; at < table.length; at += size)
      found.push({
        name: this.u32(table, at),
        type: this.u32(table, at + 4),
        offset: this.word(table, at + (this.is64 ? 24 : 16)),
        length: this.word(table, at + (this.is64 ? 32 : 20)),
      });
    return found;
  }

  /** The number of the section that holds the names of sections. */
  get nameSection(): number {
    return this.u16(this.#header, this.is64 ? 46 : 34);
  }

  /** The address at which the program starts. */
  get entry(): number {
    return this.word(this.#header, 8);
  }

  read(offset: number, length: number): Buffer {
    if (!(offset >= 0 && offset + length <= this.#file.size)) unreadable();
    return this.#file.read(offset, length) ?? unreadable();
  }

  u16(bytes: Buffer, at: number): number {
    return this.isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  u32(bytes: Buffer, at: number): number {
    return this.isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  /** A value of address size. Above 2^53 it is inexact, and no offset in a file. */
  word(bytes: Buffer, at: number): number {
    if (!this.is64) return this.u32(bytes, at);
    return Number(this.isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  }
}

// What the dynamic loader reads of a program or library (System V ABI, chapter 5; the GNU extensions for symbol
// versions): needed libraries, search paths, defined and required versions. Trusts no value of the file.
import type { ByteString } from "../util/byte-string.ts";

/** Versions that an object requires of one library. */
export interface RequiredVersions {
  /** The NEEDED name. */
  readonly file: ByteString;
  readonly versions: readonly ByteString[];
}

/** What the loader reads of an ELF file. */
export interface ElfFacts {
  /** e_machine, for example 62 for x86-64. */
  readonly machine: number;
  readonly bits: 32 | 64;
  readonly isLittle: boolean;
  /** ET_EXEC: linked to a fixed address, so it cannot be loaded as a library. */
  readonly isFixed?: boolean | undefined;
  readonly interpreter?: ByteString | undefined;
  readonly soname?: ByteString | undefined;
  readonly needed?: readonly ByteString[] | undefined;
  readonly rpath?: ByteString | undefined;
  readonly runpath?: ByteString | undefined;
  /** DF_1_NODEFLIB: the loader's cache and folders are not searched for it. */
  readonly skipsDefaults?: boolean | undefined;
  /** Undefined if it has no versions at all. */
  readonly defines?: readonly ByteString[] | undefined;
  /** Weak requirements are left out: the loader ignores them. */
  readonly requires?: readonly RequiredVersions[] | undefined;
  /** The folders that are compiled into it, if it is glibc's loader. */
  readonly folders?: readonly ByteString[] | undefined;
  /** The release of glibc, if it is its C library: not every release defines a version of its own. */
  readonly release?: string | undefined;
}

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

const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT = {
  needed: 1,
  strings: 5,
  stringsSize: 10,
  soname: 14,
  rpath: 15,
  runpath: 29,
  flags1: 0x6ffffffb,
  verdef: 0x6ffffffc,
  verneed: 0x6ffffffe,
} as const;
const DF_1_NODEFLIB = 0x800;
const VER_FLG_WEAK = 2;

// Limits far above what linkers write; larger values count as unreadable.
const MOST_SEGMENTS = 256;
const MOST_DYNAMIC_BYTES = 1 << 20;
const MOST_NAMES = 10_000;
const MOST_STRING = 64 * 1024;
const WHOLE_STRINGS = 256 * 1024;
const LARGEST_SEARCHED = 16 * 1024 * 1024;

/** True for the first bytes of an ELF file. */
export function isElf(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === 0x7f454c46;
}

/**
 * Reads an executable or shared library. Undefined for other files (object files, core dumps), files that are
 * inconsistent, and files of which a needed part is unavailable.
 */
export function readElfFacts(file: FileParts): ElfFacts | undefined {
  try {
    return new ElfImage(file).facts();
  } catch (error) {
    if (error instanceof UnreadableElf) return undefined;
    throw error;
  }
}

/** The parts of a file that `readElfFacts` may read, given its first bytes; undefined if they do not tell. */
export function neededRanges(head: Buffer, size: number): FileRange[] | undefined {
  const read = (offset: number, length: number): Buffer | undefined =>
    offset + length <= head.length ? head.subarray(offset, offset + length) : undefined;
  try {
    return new ElfImage({ size, read }).segments
      .filter(({ type }) => type === PT_LOAD || type === PT_DYNAMIC || type === PT_INTERP)
      .map(({ offset, length }) => ({ offset, length }));
  } catch (error) {
    if (error instanceof UnreadableElf) return undefined;
    throw error;
  }
}

class UnreadableElf extends Error {}

function unreadable(): never {
  throw new UnreadableElf();
}

interface Segment extends FileRange {
  readonly type: number;
  readonly address: number;
}

class ElfImage {
  readonly #file: FileParts;
  readonly #is64: boolean;
  readonly #isLittle: boolean;
  readonly #type: number;
  readonly #machine: number;
  readonly segments: readonly Segment[];
  #strings: { readonly offset: number; readonly length: number; readonly bytes: Buffer | undefined } | undefined;

  constructor(file: FileParts) {
    this.#file = file;
    const ident = this.#read(0, 16);
    if (!isElf(ident)) unreadable();
    const [kind, order] = [ident[4], ident[5]];
    if ((kind !== 1 && kind !== 2) || (order !== 1 && order !== 2)) unreadable();
    this.#is64 = kind === 2;
    this.#isLittle = order === 1;
    const header = this.#read(16, this.#is64 ? 48 : 36);
    this.#type = this.#u16(header, 0);
    this.#machine = this.#u16(header, 2);
    const count = this.#u16(header, this.#is64 ? 40 : 28);
    if (count > MOST_SEGMENTS) unreadable();
    this.segments = this.#readSegments(this.#word(header, this.#is64 ? 16 : 12), count);
  }

  facts(): ElfFacts {
    if (this.#type !== ET_EXEC && this.#type !== ET_DYN) unreadable();
    const interpreter = this.segments.findLast(({ type }) => type === PT_INTERP);
    const common = {
      machine: this.#machine,
      bits: this.#is64 ? (64 as const) : (32 as const),
      isLittle: this.#isLittle,
      ...(this.#type === ET_EXEC && { isFixed: true }),
      ...(interpreter && { interpreter: this.#text(interpreter.offset, interpreter.length) }),
    };
    const dynamic = this.segments.findLast(({ type }) => type === PT_DYNAMIC);
    return dynamic === undefined ? common : { ...common, ...this.#dynamicFacts(dynamic) };
  }

  #readSegments(offset: number, count: number): Segment[] {
    const size = this.#is64 ? 56 : 32;
    const table = this.#read(offset, count * size);
    const found: Segment[] = [];
    for (let at = 0; at < table.length; at += size) {
      const length = this.#word(table, at + (this.#is64 ? 32 : 16));
      // Files with only debug symbols have empty segments.
      if (length === 0) continue;
      found.push({
        type: this.#u32(table, at),
        offset: this.#word(table, at + (this.#is64 ? 8 : 4)),
        address: this.#word(table, at + (this.#is64 ? 16 : 8)),
        length,
      });
    }
    return found;
  }

  #dynamicFacts({ offset, length }: Segment): Partial<ElfFacts> {
    if (length > MOST_DYNAMIC_BYTES) unreadable();
    const size = this.#is64 ? 16 : 8;
    const table = this.#read(offset, length - (length % size));
    const one = new Map<number, number>();
    const neededAt: number[] = [];
    for (let at = 0; at < table.length; at += size) {
      const tag = this.#word(table, at);
      if (tag === 0) break;
      const value = this.#word(table, at + size / 2);
      if (tag === DT.needed) neededAt.push(value);
      else one.set(tag, value);
    }
    const strings = one.get(DT.strings);
    if (strings === undefined) return {};
    const room = one.get(DT.stringsSize) ?? unreadable();
    const stringsAt = this.#offsetOf(strings);
    this.#strings = {
      offset: stringsAt,
      length: room,
      bytes: room <= WHOLE_STRINGS ? this.#read(stringsAt, room) : undefined,
    };
    if (neededAt.length > MOST_NAMES) unreadable();
    const named = (tag: number): ByteString | undefined => {
      const at = one.get(tag);
      return at === undefined ? undefined : this.#string(at);
    };
    const soname = named(DT.soname);
    const [rpath, runpath] = [named(DT.rpath), named(DT.runpath)];
    const [verdef, verneed] = [one.get(DT.verdef), one.get(DT.verneed)];
    const folders = soname !== undefined && LOADER_NAME.test(soname) ? this.#compiledFolders() : undefined;
    const release = soname === "libc.so.6" ? this.#find(/ release version (\d+\.\d+)[.\d]*\.\s/)?.[1] : undefined;
    return {
      ...(soname !== undefined && { soname }),
      ...(neededAt.length > 0 && { needed: neededAt.map((at) => this.#string(at)) }),
      ...(rpath !== undefined && { rpath }),
      ...(runpath !== undefined && { runpath }),
      ...(((one.get(DT.flags1) ?? 0) & DF_1_NODEFLIB) !== 0 && { skipsDefaults: true }),
      ...(verdef !== undefined && { defines: this.#definitions(this.#offsetOf(verdef)) }),
      ...(verneed !== undefined && { requires: this.#requirements(this.#offsetOf(verneed)) }),
      ...(folders && { folders }),
      ...(release !== undefined && { release }),
    };
  }

  #definitions(start: number): ByteString[] {
    const names: ByteString[] = [];
    for (let at = start; ; ) {
      const entry = this.#read(at, 20);
      const aux = this.#read(at + this.#u32(entry, 12), 8);
      names.push(this.#string(this.#u32(aux, 0)));
      const next = this.#u32(entry, 16);
      if (next === 0) return names;
      if (names.length > MOST_NAMES) unreadable();
      at += next;
    }
  }

  #requirements(start: number): RequiredVersions[] {
    const found: RequiredVersions[] = [];
    let count = 0;
    for (let at = start; ; ) {
      const entry = this.#read(at, 16);
      const versions: ByteString[] = [];
      for (let auxAt = at + this.#u32(entry, 8); ; ) {
        const aux = this.#read(auxAt, 16);
        if (++count > MOST_NAMES) unreadable();
        if ((this.#u16(aux, 4) & VER_FLG_WEAK) === 0) versions.push(this.#string(this.#u32(aux, 8)));
        const next = this.#u32(aux, 12);
        if (next === 0) break;
        auxAt += next;
      }
      if (versions.length > 0) found.push({ file: this.#string(this.#u32(entry, 4)), versions });
      const next = this.#u32(entry, 12);
      if (next === 0) return found;
      at += next;
    }
  }

  // glibc keeps them as consecutive strings that end in a slash.
  #compiledFolders(): ByteString[] {
    const found = this.#find(/(?:\/(?:usr\/)?lib[\w./-]{0,100}\/\0){2,16}/)?.[0] ?? "";
    return found.split("\0").flatMap((one) => (one === "" ? [] : [one.slice(0, -1)]));
  }

  // The first match in what is loaded into memory.
  #find(pattern: RegExp): RegExpExecArray | undefined {
    for (const { type, offset, length } of this.segments) {
      if (type !== PT_LOAD || length > LARGEST_SEARCHED) continue;
      const found = pattern.exec(this.#read(offset, length).toString("latin1"));
      if (found) return found;
    }
    return undefined;
  }

  // A string of the string table.
  #string(at: number): ByteString {
    const { offset, length, bytes } = this.#strings ?? unreadable();
    if (at >= length) unreadable();
    if (bytes === undefined) return this.#text(offset + at, length - at);
    const end = bytes.indexOf(0, at);
    return end < 0 ? unreadable() : bytes.toString("latin1", at, end);
  }

  // A string that ends within `room` bytes.
  #text(offset: number, room: number): ByteString {
    for (let size = 256; ; size *= 16) {
      const bytes = this.#read(offset, Math.min(room, size));
      const end = bytes.indexOf(0);
      if (end >= 0) return bytes.toString("latin1", 0, end);
      if (size >= room || size > MOST_STRING) unreadable();
    }
  }

  #offsetOf(address: number): number {
    for (const { type, offset, address: start, length } of this.segments)
      if (type === PT_LOAD && address >= start && address < start + length) return offset + (address - start);
    return unreadable();
  }

  #read(offset: number, length: number): Buffer {
    if (offset + length > this.#file.size) unreadable();
    return this.#file.read(offset, length) ?? unreadable();
  }

  #u16(bytes: Buffer, at: number): number {
    return this.#isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  // A value of address size. Above 2^53 it is inexact, and no offset of a file.
  #word(bytes: Buffer, at: number): number {
    if (!this.#is64) return this.#u32(bytes, at);
    return Number(this.#isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  }
}

const LOADER_NAME = /^ld(?:-linux|64)?[\w.-]*\.so\.\d+$/;

// Reads the two paths of an ELF file: the library search path and the interpreter. Reads only as much of the file as
// needed (System V ABI, chapters 4 and 5; Spack `util/elf.py`) and trusts none of its values.
import type { OpenFile } from "./open-file.ts";

/** A string in the file, without its NUL. */
export interface ElfString {
  readonly value: Buffer;
  /** Its offset in the file. */
  readonly offset: number;
}

/** The paths in a program or library. */
export interface ElfPaths {
  /** The search path, RPATH or RUNPATH. */
  readonly rpath: ElfString | undefined;
  readonly interpreter: ElfString | undefined;
}

/** The first four bytes, big-endian. */
export const ELF_MAGIC = 0x7f454c46;

const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0;
const DT_STRTAB = 5;
const DT_RPATH = 15;
const DT_RUNPATH = 29;
const SHT_STRTAB = 3;

// Limits far above what linkers write; larger values count as unreadable.
const MOST_DYNAMIC_BYTES = 1 << 20;
const MOST_STRING_BYTES = 1 << 20;

/**
 * Reads the strings of an executable or shared library, 32 or 64 bits, either byte order. Undefined for other files and
 * inconsistent ones: as in Spack, their headers need no relocation.
 */
export function readElfPaths(file: OpenFile): ElfPaths | undefined {
  try {
    return new ElfReader(file).paths();
  } catch (error) {
    if (error instanceof MalformedElf) return undefined;
    throw error;
  }
}

class MalformedElf extends Error {}

function malformed(): never {
  throw new MalformedElf();
}

interface Segment {
  readonly type: number;
  readonly offset: bigint;
  readonly address: bigint;
  readonly size: bigint;
}

class ElfReader {
  readonly #file: OpenFile;
  readonly #is64: boolean;
  readonly #isLittle: boolean;
  readonly #header: Buffer;

  constructor(file: OpenFile) {
    this.#file = file;
    const ident = this.#read(0, 16);
    if (ident.readUInt32BE(0) !== ELF_MAGIC) malformed();
    const [kind, order] = [ident[4], ident[5]];
    if ((kind !== 1 && kind !== 2) || (order !== 1 && order !== 2)) malformed();
    this.#is64 = kind === 2;
    this.#isLittle = order === 1;
    this.#header = this.#read(16, this.#is64 ? 48 : 36);
  }

  paths(): ElfPaths {
    const type = this.#u16(this.#header, 0);
    if (type !== ET_EXEC && type !== ET_DYN) malformed();
    const segments = this.#segments();
    const last = (wanted: number): Segment | undefined => segments.findLast((segment) => segment.type === wanted);
    const interpreter = last(PT_INTERP);
    const dynamic = last(PT_DYNAMIC);
    const loads = segments.filter((segment) => segment.type === PT_LOAD);
    return {
      interpreter: interpreter && this.#string(this.#offset(interpreter.offset), this.#offset(interpreter.size)),
      rpath: dynamic && loads.length > 0 ? this.#rpath(dynamic, loads) : undefined,
    };
  }

  // Empty segments count as missing: files of debug symbols have them.
  #segments(): Segment[] {
    const size = this.#is64 ? 56 : 32;
    const count = this.#u16(this.#header, this.#is64 ? 40 : 28);
    const table = this.#read(this.#offset(this.#word(this.#header, this.#is64 ? 16 : 12)), count * size);
    const segments: Segment[] = [];
    for (let at = 0; at < table.length; at += size) {
      const bytes = this.#word(table, at + (this.#is64 ? 32 : 16));
      if (bytes === 0n) continue;
      segments.push({
        type: this.#u32(table, at),
        offset: this.#word(table, at + (this.#is64 ? 8 : 4)),
        address: this.#word(table, at + (this.#is64 ? 16 : 8)),
        size: bytes,
      });
    }
    return segments;
  }

  #rpath(dynamic: Segment, loads: readonly Segment[]): ElfString | undefined {
    const tables: bigint[] = [];
    const paths: bigint[] = [];
    const size = this.#is64 ? 16 : 8;
    const bytes = this.#offset(dynamic.size);
    if (bytes > MOST_DYNAMIC_BYTES) malformed();
    const table = this.#read(this.#offset(dynamic.offset), bytes - (bytes % size));
    for (let at = 0; at < table.length; at += size) {
      const tag = this.#word(table, at);
      const value = this.#word(table, at + size / 2);
      if (tag === BigInt(DT_NULL)) break;
      if (tag === BigInt(DT_STRTAB)) tables.push(value);
      if (tag === BigInt(DT_RPATH) || tag === BigInt(DT_RUNPATH)) paths.push(value);
    }
    const [address, ...moreTables] = tables;
    const [path, ...morePaths] = paths;
    if (address === undefined || moreTables.length > 0 || morePaths.length > 0) malformed();
    if (path === undefined) return undefined;
    const strings = this.#offset(fileOffset(loads, address));
    const length = this.#stringTableSize(strings);
    const from = this.#offset(path);
    if (from >= length) malformed();
    return this.#string(strings + from, length - from);
  }

  // The dynamic section gives the size of its string table too; Spack trusts the section header of the same place.
  #stringTableSize(offset: number): number {
    const size = this.#is64 ? 64 : 40;
    const count = this.#u16(this.#header, this.#is64 ? 44 : 32);
    const table = this.#read(this.#offset(this.#word(this.#header, this.#is64 ? 24 : 16)), count * size);
    for (let at = 0; at < table.length; at += size) {
      if (this.#u32(table, at + 4) !== SHT_STRTAB) continue;
      const start = this.#word(table, at + (this.#is64 ? 24 : 16));
      if (start !== BigInt(offset)) continue;
      const length = this.#offset(this.#word(table, at + (this.#is64 ? 32 : 20)));
      if (offset + length > this.#file.size) malformed();
      return length;
    }
    return malformed();
  }

  // A string that ends within `room` bytes.
  #string(offset: number, room: number): ElfString {
    if (offset + room > this.#file.size) malformed();
    const bytes = this.#read(offset, Math.min(room, MOST_STRING_BYTES));
    const end = bytes.indexOf(0);
    return end < 0 ? malformed() : { value: bytes.subarray(0, end), offset };
  }

  #read(offset: number, length: number): Buffer {
    if (offset < 0 || offset + length > this.#file.size) malformed();
    const bytes = Buffer.alloc(length);
    return this.#file.read(bytes, offset) === length ? bytes : malformed();
  }

  // An offset or size beyond the end of the file is invalid in any case.
  #offset(value: bigint): number {
    return value >= 0n && value <= BigInt(this.#file.size) ? Number(value) : malformed();
  }

  #u16(bytes: Buffer, at: number): number {
    return this.#isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  // Reads a value of address size.
  #word(bytes: Buffer, at: number): bigint {
    if (!this.#is64) return BigInt(this.#u32(bytes, at));
    return this.#isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at);
  }
}

// The file offset of an address, by the last segment that starts at or before it.
function fileOffset(loads: readonly Segment[], address: bigint): bigint {
  let found: Segment | undefined;
  for (const load of loads) if (load.address <= address && load.address >= (found?.address ?? 0n)) found = load;
  return found === undefined ? malformed() : found.offset - found.address + address;
}

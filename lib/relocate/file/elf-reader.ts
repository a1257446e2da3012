// Reads the two paths of an ELF file: the library search path and the interpreter. Reads only as much of the file as
// needed (System V ABI, chapters 4 and 5; Spack `util/elf.py`) and trusts none of its values.
import { ElfFile, type ElfSegment, ET, PT, SHT, unlessUnreadable, unreadable } from "../../util/elf.ts";
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

const DT_NULL = 0;
const DT_STRTAB = 5;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

// Limits far above what linkers write; larger values count as unreadable.
const MOST_DYNAMIC_BYTES = 1 << 20;
const MOST_STRING_BYTES = 1 << 20;

/**
 * Reads the strings of an executable or shared library, 32 or 64 bits, either byte order. Undefined for other files and
 * inconsistent ones: as in Spack, their headers need no relocation.
 */
export function readElfPaths(file: OpenFile): ElfPaths | undefined {
  return unlessUnreadable(() => new PathReader(file).paths());
}

class PathReader {
  readonly #elf: ElfFile;

  constructor(file: OpenFile) {
    const read = (offset: number, length: number): Buffer | undefined => {
      const bytes = Buffer.alloc(length);
      return file.read(bytes, offset) === length ? bytes : undefined;
    };
    this.#elf = new ElfFile({ size: file.size, read });
  }

  paths(): ElfPaths {
    const { type: kind } = this.#elf;
    if (kind !== ET.exec && kind !== ET.dyn) unreadable();
    const segments = this.#elf.segments();
    const interpreter = segments.findLast(({ type }) => type === PT.interp);
    const dynamic = segments.findLast(({ type }) => type === PT.dynamic);
    const loads = segments.filter(({ type }) => type === PT.load);
    return {
      interpreter: interpreter && this.#string(interpreter.offset, interpreter.length),
      rpath: dynamic && loads.length > 0 ? this.#rpath(dynamic, loads) : undefined,
    };
  }

  #rpath(dynamic: ElfSegment, loads: readonly ElfSegment[]): ElfString | undefined {
    const elf = this.#elf;
    const tables: number[] = [];
    const paths: number[] = [];
    const size = elf.is64 ? 16 : 8;
    if (dynamic.length > MOST_DYNAMIC_BYTES) unreadable();
    const table = elf.read(dynamic.offset, dynamic.length - (dynamic.length % size));
    for (let at = 0; at < table.length; at += size) {
      const tag = elf.word(table, at);
      const value = elf.word(table, at + size / 2);
      if (tag === DT_NULL) break;
      if (tag === DT_STRTAB) tables.push(value);
      if (tag === DT_RPATH || tag === DT_RUNPATH) paths.push(value);
    }
    const [address, ...moreTables] = tables;
    const [path, ...morePaths] = paths;
    if (address === undefined || moreTables.length > 0 || morePaths.length > 0) unreadable();
    if (path === undefined) return undefined;
    const strings = fileOffset(loads, address);
    const length = this.#stringTableSize(strings);
    if (path >= length) unreadable();
    return this.#string(strings + path, length - path);
  }

  // The dynamic section gives the size of its string table too; Spack trusts the section header of the same place.
  #stringTableSize(place: number): number {
    const table = this.#elf.sections().find(({ type, offset }) => type === SHT.strtab && offset === place);
    if (table === undefined || place + table.length > this.#elf.size) unreadable();
    return table.length;
  }

  // A string that ends within `room` bytes.
  #string(offset: number, room: number): ElfString {
    if (offset + room > this.#elf.size) unreadable();
    const bytes = this.#elf.read(offset, Math.min(room, MOST_STRING_BYTES));
    const end = bytes.indexOf(0);
    return end < 0 ? unreadable() : { value: bytes.subarray(0, end), offset };
  }
}

// The file offset of an address, by the last segment that starts at or before it.
function fileOffset(loads: readonly ElfSegment[], address: number): number {
  let found: ElfSegment | undefined;
  for (const load of loads) if (load.address <= address && load.address >= (found?.address ?? 0)) found = load;
  return found === undefined ? unreadable() : found.offset - found.address + address;
}

// What the dynamic loader reads of a program or library (System V ABI, chapter 5; the GNU extensions for symbol
// versions): needed libraries, search paths, defined and required versions. Trusts no value of the file.
import type { ByteString } from "../util/byte-string.ts";
import { debugSections } from "../util/debug-sections.ts";
import {
  ElfFile,
  type ElfSegment,
  ET,
  type FileParts,
  type FileRange,
  PT,
  unlessUnreadable,
  unreadable,
} from "../util/elf.ts";

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
  /** The bytes of its debug sections; undefined for none, and if their names are far from the table of sections. */
  readonly debug?: number | undefined;
  /** The release of glibc, if it is its C library: not every release defines a version of its own. */
  readonly release?: string | undefined;
}

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
/** Linkers put the names of sections in front of the table of sections; they are looked for in this many bytes. */
const SECTION_NAMES = 64 * 1024;

/**
 * Reads an executable or shared library. Undefined for other files (object files, core dumps), files that are
 * inconsistent, and files of which a needed part is unavailable.
 */
export function readElfFacts(file: FileParts): ElfFacts | undefined {
  return unlessUnreadable(() => new ElfImage(file).facts());
}

/** The parts of a file that `readElfFacts` may read, given its first bytes; undefined if they do not tell. */
export function neededRanges(head: Buffer, size: number): FileRange[] | undefined {
  const read = (offset: number, length: number): Buffer | undefined =>
    offset + length <= head.length ? head.subarray(offset, offset + length) : undefined;
  return unlessUnreadable(() => {
    const { segments, sectionTable } = new ElfImage({ size, read });
    const loaded = segments.filter(({ type }) => type === PT.load || type === PT.dynamic || type === PT.interp);
    const { offset: end, length } = sectionTable;
    const names = Math.max(0, end - SECTION_NAMES);
    const sections = length === 0 || end > size ? [] : [{ offset: names, length: end - names }, sectionTable];
    return [...sections, ...loaded.map(({ offset, length }) => ({ offset, length }))];
  });
}

class ElfImage {
  readonly #elf: ElfFile;
  readonly segments: readonly ElfSegment[];
  #strings: { readonly offset: number; readonly length: number; readonly bytes: Buffer | undefined } | undefined;

  constructor(file: FileParts) {
    this.#elf = new ElfFile(file);
    this.segments = this.#elf.segments();
    if (this.segments.length > MOST_SEGMENTS) unreadable();
  }

  get sectionTable(): FileRange {
    return this.#elf.sectionTable;
  }

  facts(): ElfFacts {
    const { type: kind, machine, is64, isLittle } = this.#elf;
    if (kind !== ET.exec && kind !== ET.dyn) unreadable();
    const interpreter = this.segments.findLast(({ type }) => type === PT.interp);
    const common = {
      ...{ machine, bits: is64 ? (64 as const) : (32 as const), isLittle },
      ...(kind === ET.exec && { isFixed: true }),
      ...(interpreter && { interpreter: this.#text(interpreter.offset, interpreter.length) }),
    };
    const dynamic = this.segments.findLast(({ type }) => type === PT.dynamic);
    const debug = unlessUnreadable(() => debugSections(this.#elf).reduce((sum, { length }) => sum + length, 0)) ?? 0;
    return {
      ...common,
      ...(dynamic && this.#dynamicFacts(dynamic)),
      ...(debug > 0 && { debug }),
    };
  }

  #dynamicFacts({ offset, length }: ElfSegment): Partial<ElfFacts> {
    if (length > MOST_DYNAMIC_BYTES) unreadable();
    const size = this.#elf.is64 ? 16 : 8;
    const table = this.#elf.read(offset, length - (length % size));
    const one = new Map<number, number>();
    const neededAt: number[] = [];
    for (let at = 0; at < table.length; at += size) {
      const tag = this.#elf.word(table, at);
      if (tag === 0) break;
      const value = this.#elf.word(table, at + size / 2);
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
      bytes: room <= WHOLE_STRINGS ? this.#elf.read(stringsAt, room) : undefined,
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
      const entry = this.#elf.read(at, 20);
      const aux = this.#elf.read(at + this.#elf.u32(entry, 12), 8);
      names.push(this.#string(this.#elf.u32(aux, 0)));
      const next = this.#elf.u32(entry, 16);
      if (next === 0) return names;
      if (names.length > MOST_NAMES) unreadable();
      at += next;
    }
  }

  #requirements(start: number): RequiredVersions[] {
    const found: RequiredVersions[] = [];
    let count = 0;
    for (let at = start; ; ) {
      const entry = this.#elf.read(at, 16);
      const versions: ByteString[] = [];
      for (let auxAt = at + this.#elf.u32(entry, 8); ; ) {
        const aux = this.#elf.read(auxAt, 16);
        if (++count > MOST_NAMES) unreadable();
        if ((this.#elf.u16(aux, 4) & VER_FLG_WEAK) === 0) versions.push(this.#string(this.#elf.u32(aux, 8)));
        const next = this.#elf.u32(aux, 12);
        if (next === 0) break;
        auxAt += next;
      }
      if (versions.length > 0) found.push({ file: this.#string(this.#elf.u32(entry, 4)), versions });
      const next = this.#elf.u32(entry, 12);
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
      if (type !== PT.load || length > LARGEST_SEARCHED) continue;
      const found = pattern.exec(this.#elf.read(offset, length).toString("latin1"));
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
      const bytes = this.#elf.read(offset, Math.min(room, size));
      const end = bytes.indexOf(0);
      if (end >= 0) return bytes.toString("latin1", 0, end);
      if (size >= room || size > MOST_STRING) unreadable();
    }
  }

  #offsetOf(address: number): number {
    for (const { type, offset, address: start, length } of this.segments)
      if (type === PT.load && address >= start && address < start + length) return offset + (address - start);
    return unreadable();
  }
}

const LOADER_NAME = /^ld(?:-linux|64)?[\w.-]*\.so\.\d+$/;

// Creates small ELF files that a real dynamic loader loads: names, search paths and versions, but no code.

/** The content of the file. */
export interface LoadableElf {
  /** For a program. */
  interpreter?: string;
  soname?: string;
  needed?: string[];
  rpath?: string;
  runpath?: string;
  /** DF_1_NODEFLIB. */
  skipsDefaults?: boolean;
  /** Versions that it defines. */
  defines?: string[];
  /** Versions that it requires, by NEEDED name; a name that starts with `?` is a weak requirement. */
  requires?: Record<string, string[]>;
  /** e_machine; default: x86-64. */
  machine?: number;
  bits?: 32 | 64;
  /** Text in the file. */
  text?: string;
}

const PAGE = 0x1000;

/** Creates the file. */
export function loadableElf(content: LoadableElf): Buffer {
  const { interpreter, soname, needed = [], rpath, runpath, skipsDefaults, defines, requires, machine = 62 } = content;
  const is64 = (content.bits ?? 64) === 64;
  let strings = Buffer.from([0]);
  const text = (value: string): number => {
    const at = strings.length;
    strings = Buffer.concat([strings, Buffer.from(`${value}\0`, "latin1")]);
    return at;
  };
  const word = is64 ? 8 : 4;
  const dynamic: [number, number][] = needed.map((name) => [1, text(name)]);
  if (soname !== undefined) dynamic.push([14, text(soname)]);
  if (rpath !== undefined) dynamic.push([15, text(rpath)]);
  if (runpath !== undefined) dynamic.push([29, text(runpath)]);
  if (skipsDefaults) dynamic.push([0x6ffffffb, 0x800]);
  // The file itself is the first version that it defines.
  const verdef = defines && versionDefinitions([soname ?? "", ...defines], text);
  const verneed = requires && versionNeeds(requires, text);

  const segments = interpreter === undefined ? 3 : 4;
  const [headerSize, segmentSize, symbolSize] = is64 ? [64, 56, 24] : [52, 32, 16];
  let at = headerSize + segments * segmentSize;
  const place = (bytes: Buffer): { at: number; bytes: Buffer } => {
    at = Math.ceil(at / 8) * 8;
    const placed = { at, bytes };
    at += bytes.length;
    return placed;
  };
  const interpreterAt = place(Buffer.from(`${interpreter ?? ""}\0`));
  const symbols = place(Buffer.alloc(symbolSize));
  // One bucket, one symbol: none is found in it.
  const hashes = place(Buffer.from(Uint32Array.of(1, 1, 0, 0).buffer));
  const versions = place(Buffer.alloc(2));
  const definitions = verdef && place(verdef);
  const needs = verneed && place(verneed);
  const stringsAt = place(strings);
  dynamic.push([5, stringsAt.at], [10, strings.length], [6, symbols.at], [11, symbolSize], [4, hashes.at]);
  if (definitions && defines) dynamic.push([0x6ffffffc, definitions.at], [0x6ffffffd, defines.length + 1]);
  if (needs && requires) dynamic.push([0x6ffffffe, needs.at], [0x6fffffff, Object.keys(requires).length]);
  if (definitions || needs) dynamic.push([0x6ffffff0, versions.at]);
  dynamic.push([0, 0]);
  const table = Buffer.alloc(dynamic.length * 2 * word);
  const put = (bytes: Buffer, value: number, offset: number): void => {
    if (is64) bytes.writeBigUInt64LE(BigInt(value), offset);
    else bytes.writeUInt32LE(value, offset);
  };
  for (const [index, [tag, value]] of dynamic.entries()) {
    put(table, tag, index * 2 * word);
    put(table, value, index * 2 * word + word);
  }
  const dynamicAt = place(table);
  const textAt = place(Buffer.from(content.text ?? ""));

  const out = Buffer.alloc(Math.ceil(at / PAGE) * PAGE);
  for (const part of [interpreterAt, symbols, hashes, definitions, needs, stringsAt, dynamicAt, textAt])
    if (part) part.bytes.copy(out, part.at);
  out.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  out.writeUInt16LE(3, 16);
  out.writeUInt16LE(machine, 18);
  out.writeUInt32LE(1, 20);
  put(out, headerSize, 24 + word);
  let header = 24 + 3 * word + 4;
  for (const value of [headerSize, segmentSize, segments, 0, 0, 0]) {
    out.writeUInt16LE(value, header);
    header += 2;
  }
  let segment = headerSize;
  const addSegment = (type: number, flags: number, offset: number, size: number, align: number): void => {
    out.writeUInt32LE(type, segment);
    out.writeUInt32LE(flags, segment + (is64 ? 4 : 24));
    let next = segment + (is64 ? 8 : 4);
    for (const value of [offset, offset, offset, size, size]) {
      put(out, value, next);
      next += word;
    }
    put(out, align, segment + (is64 ? 48 : 28));
    segment += segmentSize;
  };
  if (interpreter !== undefined) addSegment(3, 4, interpreterAt.at, interpreterAt.bytes.length, 1);
  addSegment(1, 6, 0, out.length, PAGE);
  addSegment(2, 6, dynamicAt.at, table.length, 8);
  // The stack need not be executable.
  addSegment(0x6474e551, 6, 0, 0, 16);
  return out;
}

function versionDefinitions(names: readonly string[], text: (value: string) => number): Buffer {
  const out = Buffer.alloc(names.length * 28);
  for (const [index, name] of names.entries()) {
    const at = index * 28;
    out.writeUInt16LE(1, at);
    out.writeUInt16LE(index === 0 ? 1 : 0, at + 2);
    out.writeUInt16LE(index + 1, at + 4);
    out.writeUInt16LE(1, at + 6);
    out.writeUInt32LE(elfHash(name), at + 8);
    out.writeUInt32LE(20, at + 12);
    out.writeUInt32LE(index === names.length - 1 ? 0 : 28, at + 16);
    out.writeUInt32LE(text(name), at + 20);
  }
  return out;
}

function versionNeeds(requires: Record<string, string[]>, text: (value: string) => number): Buffer {
  const files = Object.entries(requires);
  const parts = files.map(([file, versions], index) => {
    const out = Buffer.alloc(16 + versions.length * 16);
    out.writeUInt16LE(1, 0);
    out.writeUInt16LE(versions.length, 2);
    out.writeUInt32LE(text(file), 4);
    out.writeUInt32LE(16, 8);
    out.writeUInt32LE(index === files.length - 1 ? 0 : out.length, 12);
    for (const [position, version] of versions.entries()) {
      const at = 16 + position * 16;
      const name = version.replace(/^\?/, "");
      out.writeUInt32LE(elfHash(name), at);
      out.writeUInt16LE(name === version ? 0 : 2, at + 4);
      out.writeUInt16LE(position + 2, at + 6);
      out.writeUInt32LE(text(name), at + 8);
      out.writeUInt32LE(position === versions.length - 1 ? 0 : 16, at + 12);
    }
    return out;
  });
  return Buffer.concat(parts);
}

// System V ABI, "Hash Table".
function elfHash(name: string): number {
  let hash = 0;
  for (const char of name) {
    hash = (hash << 4) + char.charCodeAt(0);
    const high = hash & 0xf0000000;
    if (high !== 0) hash ^= high >>> 24;
    hash &= ~high;
  }
  return hash >>> 0;
}

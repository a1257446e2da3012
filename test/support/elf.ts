// Creates small ELF files of either size and byte order that contain only paths.

/** The content of the file; strings without their NUL. */
export interface ElfContent {
  bits?: 32 | 64;
  endian?: "little" | "big";
  /** e_type: 2 for executables, 3 for shared libraries. */
  type?: number;
  interpreter?: string;
  rpath?: string;
  /** DT_RPATH or DT_RUNPATH. */
  tag?: 15 | 29;
  /** Additional entries at the start of the dynamic section. */
  dynamic?: [number, number][];
  /** Bytes at the end of the file. */
  data?: string;
}

const ADDRESS = 0x10000;

/** Creates the file, and returns the offsets of its parts. */
export function makeElf(content: ElfContent): {
  bytes: Buffer;
  at: Record<"interpreter" | "dynamic" | "strings" | "sections", number>;
} {
  const { bits = 64, endian = "little", type = 3, interpreter, rpath, tag = 15, dynamic = [], data = "" } = content;
  const is64 = bits === 64;
  const out = Buffer.alloc(8192);
  const put = (size: 2 | 4 | 8, value: number, at: number): number => {
    if (size === 8)
      endian === "little" ? out.writeBigUInt64LE(BigInt(value), at) : out.writeBigUInt64BE(BigInt(value), at);
    else endian === "little" ? out.writeUIntLE(value, at, size) : out.writeUIntBE(value, at, size);
    return at + size;
  };
  const word = is64 ? 8 : 4;
  const headerSize = is64 ? 64 : 52;
  const segmentSize = is64 ? 56 : 32;
  const segments = 3;

  let at = headerSize + segments * segmentSize;
  const text = (value: string): number => {
    const start = at;
    at += out.write(`${value}\0`, at, "latin1");
    return start;
  };
  const interpreterAt = interpreter === undefined ? 0 : text(interpreter);
  const stringsAt = at;
  text("");
  const rpathAt = rpath === undefined ? 0 : text(rpath) - stringsAt;
  const stringsSize = at - stringsAt;
  at = Math.ceil(at / 8) * 8;
  const dynamicAt = at;
  const entries = [
    ...dynamic,
    [5, ADDRESS + stringsAt],
    ...(rpath === undefined ? [] : [[tag, rpathAt]]),
    [10, stringsSize],
    [0, 0],
  ];
  for (const [kind = 0, value = 0] of entries) {
    at = put(word, kind, at);
    at = put(word, value, at);
  }
  const dynamicSize = at - dynamicAt;
  text(data);
  const sectionsAt = Math.ceil(at / 8) * 8;
  const sectionSize = is64 ? 64 : 40;
  const size = sectionsAt + 2 * sectionSize;

  out.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, endian === "little" ? 1 : 2, 1], 0);
  at = put(2, type, 16);
  at = put(2, is64 ? 62 : 3, at);
  at = put(4, 1, at);
  at = put(word, 0, at);
  at = put(word, headerSize, at);
  at = put(word, sectionsAt, at);
  at = put(4, 0, at);
  for (const value of [headerSize, segmentSize, segments, sectionSize, 2, 0]) at = put(2, value, at);

  const segment = (kind: number, offset: number, length: number): void => {
    const start = at;
    put(4, kind, start);
    let next = start + word;
    for (const value of [offset, ADDRESS + offset, ADDRESS + offset, length, length]) next = put(word, value, next);
    if (is64) put(4, 4, start + 4);
    else put(4, 4, next);
    at = start + segmentSize;
  };
  segment(1, 0, size);
  segment(3, interpreterAt, interpreter === undefined ? 0 : interpreter.length + 1);
  segment(2, dynamicAt, dynamicSize);

  const strings = sectionsAt + sectionSize;
  put(4, 3, strings + 4);
  put(word, ADDRESS + stringsAt, strings + (is64 ? 16 : 12));
  put(word, stringsAt, strings + (is64 ? 24 : 16));
  put(word, stringsSize, strings + (is64 ? 32 : 20));
  const places = { interpreter: interpreterAt, dynamic: dynamicAt, strings: stringsAt, sections: sectionsAt };
  return { bytes: out.subarray(0, size), at: places };
}

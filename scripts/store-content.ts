// Generates file contents that compress like real ones: sources, programs, byte code, and compressed data. Calibrated
// against files of a Debian system; the same seed gives the same bytes.
import { dice } from "./dice.ts";

/** Creates contents for one package: its files share a vocabulary, as in real packages. */
export interface Maker {
  /** Creates exactly `size` bytes; `mention` is a path that occurs a few times in them. */
  make(size: number, mention: string): Buffer;
}

const SYLLABLES =
  "ab ac al an ar as at ba be bi bo bu ca ce ci co cu da de di do du ed el em en er es et ex fa fi fo ge gi go ha he hi id il im in io is it ki la le li lo lu ma me mi mo mu na ne ni no nu ob oc of ol om on op or os pa pe pi po pr qu ra re ri ro ru sa se si so st su ta te ti to tr tu ul um un up ur us ut va ve vi vo wa we wi ze".split(
    " ",
  );

// Tokens in order of frequency: the index of a throw follows Zipf's law.
class Vocabulary {
  readonly #tokens: Buffer[];
  readonly #random: () => number;

  constructor(tokens: readonly Buffer[], random: () => number) {
    this.#tokens = [...tokens];
    this.#random = random;
  }

  pick(): Buffer {
    const { length } = this.#tokens;
    return this.#tokens[Math.floor(length ** this.#random()) - 1] ?? NOTHING;
  }
}

const NOTHING = Buffer.alloc(0);

function words(count: number, random: () => number): string[] {
  const out = new Set<string>();
  while (out.size < count) {
    const parts = 1 + Math.floor(random() * 2.6);
    let word = "";
    for (let n = 0; n <= parts; n++) word += SYLLABLES[Math.floor(random() * SYLLABLES.length)] ?? "";
    out.add(word);
  }
  return [...out];
}

/** Sources: lines of identifiers and punctuation, many of which resemble an earlier line. */
export function textMaker(seed: number): Maker {
  const random = dice(seed);
  const plain = words(1200, random);
  const names = plain.map((word, at) => (at % 5 === 4 ? `${plain[at - 2]}_${word}` : word));
  const keywords =
    "return if else for const int self def import from the of and void static = == ( ) , ; : . -> { } [ ] 0 1 #include * & + -".split(
      " ",
    );
  const tokens = keywords
    .flatMap((word, at) => [word, names[at * 2] ?? "", names[at * 2 + 1] ?? ""])
    .concat(names.slice(80));
  const vocabulary = new Vocabulary(
    tokens.map((word) => Buffer.from(`${word}${/\w/.test(word) ? " " : ""}`)),
    random,
  );
  const licence = `# ${Array.from({ length: 50 }, (_, at) => `${plain[at * 7] ?? ""}${at % 11 === 10 ? "\n#" : ""}`).join(" ")}\n`;
  return {
    make(size, mention) {
      const out = Buffer.allocUnsafe(size + 8192);
      const lines: number[] = [0];
      let at = out.write(random() < 0.7 ? licence : `# ${mention}/share\n`, 0);
      while (at < size) {
        lines.push(at);
        const back = lines[Math.max(0, lines.length - 2 - Math.floor(random() ** 2 * 300))] ?? 0;
        if (random() < SAME_LINE && at - back > 0) {
          // The earlier line, except for one word.
          const end = out.indexOf(10, back);
          const length = Math.min(end - back, 200);
          const change = Math.floor(random() * length);
          out.copy(out, at, back, back + change);
          at += change;
          at += vocabulary.pick().copy(out, at);
          const rest = Math.min(length, change + 5);
          out.copy(out, at, back + rest, back + length);
          at += length - rest;
        } else {
          const indent = Math.floor(random() * 4) * 2;
          out.fill(32, at, at + indent);
          at += indent;
          const count = 2 + Math.floor(random() * 9);
          for (let n = 0; n < count; n++) at += vocabulary.pick().copy(out, at);
        }
        out[at++] = 10;
        if (random() < 0.003) at += out.write(`path = "${mention}/lib"\n`, at);
      }
      return out.subarray(0, size);
    },
  };
}

const SAME_LINE = 0.56;

/** Machine code with its tables: instructions with operands, symbols, strings; starts with an ELF header. */
export function programMaker(seed: number): Maker {
  const random = dice(seed);
  const byte = (): number => Math.floor(random() * 256);
  const instruction = (): Buffer => {
    const length = 1 + Math.floor(random() * 4);
    return Buffer.from(
      Array.from({ length }, (_, n) =>
        n === 0 ? ([0x48, 0x89, 0x8b, 0xe8, 0x0f, 0x83, 0x44, 0xc3][byte() & 7] ?? 0) : byte(),
      ),
    );
  };
  const instructions = new Vocabulary(Array.from({ length: 600 }, instruction), random);
  const names = words(1200, random);
  return {
    make(size, mention) {
      const out = Buffer.alloc(size + 8192);
      let at = 64;
      const starts: number[] = [];
      const code = Math.floor(size * 0.62);
      while (at < code) {
        starts.push(at);
        const back = starts[starts.length - 1 - Math.floor(random() ** 2 * Math.min(starts.length, 200))] ?? 0;
        const from = random() < 0.3 ? back : at;
        const length = 24 + Math.floor(random() * 200);
        if (from < at && at - from < 30_000) at += out.copy(out, at, from, Math.min(from + length, at));
        else
          for (const end = at + length; at < end; ) {
            at += instructions.pick().copy(out, at);
            const operand = random();
            if (operand < 0.2) out[at++] = byte() & byte() & 0xf8;
            else if (operand < 0.27)
              at = out.writeInt32LE(Math.floor((random() - 0.5) * 2 ** (6 + random() * 12)) * 4, at);
          }
        at = (at + 15) & ~15;
      }
      for (let address = 0x1000; at < size * 0.8; ) {
        address += 16 * Math.floor(1 + random() * 40);
        at = out.writeUInt32LE(Math.floor(random() * 40_000), at);
        at = out.writeUInt32LE(0x0d0012, at);
        at = out.writeUInt32LE(address, at) + 4;
        at = out.writeUInt32LE(Math.floor(random() * 300) * 4, at) + 4;
      }
      const name = (): string => names[Math.floor(names.length ** random()) - 1] ?? "";
      while (at < size)
        at += out.write(
          `_ZN${name().length}${name()}${byte() % 20}${name()}E${"iPKcbjlS0_Rm".slice(0, byte() % 9)}\0`,
          at,
        );
      out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 62, 0, 1]);
      out.write(`${mention}/lib\0`, Math.max(64, Math.floor(size * 0.7)));
      return out.subarray(0, size);
    },
  };
}

/** Byte code: short opcodes between names and constants. */
export function byteCodeMaker(seed: number): Maker {
  const random = dice(seed);
  const names = words(400, random);
  return {
    make(size, mention) {
      const out = Buffer.alloc(size + 4096);
      let at = out.write("\xa7\r\r\n", 0, "latin1") + 12;
      const functions: number[] = [];
      while (at < size) {
        functions.push(at);
        if (random() < 0.45) {
          // Much of a function resembles an earlier one.
          const back = functions[Math.floor(random() * functions.length)] ?? 0;
          at += out.copy(out, at, back, Math.min(back + 40 + Math.floor(random() * 120), at));
        }
        const operations = 8 + Math.floor(random() * 40);
        for (let n = 0; n < operations; n++) {
          out[at++] =
            [0x64, 0x7c, 0x6a, 0xa6, 0xab, 0x00, 0x83, 0x01, 0x72, 0x6e, 0x53, 0x97][Math.floor(12 ** random()) - 1] ??
            0;
          out[at++] = Math.floor(12 ** random()) - 1;
        }
        const count = Math.floor(random() * 9);
        for (let n = 0; n < count; n++) {
          const name = names[Math.floor(names.length ** random()) - 1] ?? "";
          out[at++] = 0xda;
          out[at++] = name.length;
          at += out.write(name, at);
        }
        if (random() < 0.02) at += out.write(`\xfa${mention}/lib/python3`, at, "latin1");
      }
      return out.subarray(0, size);
    },
  };
}

/** Already compressed data: archives of Java classes, images, manual pages. */
export function packedMaker(seed: number): Maker {
  let [a, b] = [seed | 1, 0x9e3779b9];
  const next = (): number => {
    // xorshift of 64 bits in two halves; fast, and without patterns that a compressor could find.
    let mixed = a ^ (a << 10);
    a = b;
    mixed ^= mixed >>> 17;
    b = (b ^ (b << 5) ^ mixed ^ (mixed << 13)) | 0;
    return b;
  };
  return {
    make(size) {
      const out = new Int32Array(Math.ceil(size / 4));
      for (let at = 0; at < out.length; at++) out[at] = next();
      const bytes = Buffer.from(out.buffer, 0, size);
      // An archive member's header every few KiB.
      for (let at = 0; at + 64 < size; at += 3000 + (next() & 4095))
        bytes.write("PK\x03\x04\x14\0\x08\x08\x08\0", at, "latin1");
      return bytes;
    },
  };
}

// The byte mutator: input number N of a target depends only on the seed, the target's name and N, so that each input
// can be reproduced alone.
import { crc32 } from "node:zlib";
import { dice } from "../../scripts/dice.ts";

const NUMBERS = ["0", "-1", "1", "255", "256", "65536", "2147483648", "4294967296", "9007199254740993", "1e999", "-0"];
const BYTES = [0, 1, 0x0a, 0x20, 0x22, 0x27, 0x2f, 0x3a, 0x5c, 0x7f, 0x80, 0xc0, 0xed, 0xfe, 0xff];
/** One of this many inputs is grown to the size limit by repetition. */
const GROWN = 400;

/** The material for inputs. */
export interface Material {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  readonly words: readonly string[];
  /** The largest size in bytes. */
  readonly largest: number;
}

/** Creates input number `index`. */
export function makeInput(material: Material, seed: number, index: number): Buffer {
  const random = dice(crc32(`${material.name} ${index}`) ^ seed);
  const below = (bound: number): number => Math.floor(random() * bound);
  const pick = <T>(items: readonly T[]): T | undefined => items[below(items.length)];
  const seedBytes = (): Buffer => pick(material.seeds) ?? Buffer.alloc(0);
  const word = (): Buffer => Buffer.from(pick([...material.words, ...NUMBERS]) ?? "");

  if (index < material.seeds.length) return Buffer.from(material.seeds[index] ?? []);
  if (index % 29 === 0) return Buffer.concat(Array.from({ length: 1 + below(12) }, word));
  if (index % 97 === 0) return Buffer.from(Array.from({ length: below(64) }, () => below(256)));
  let bytes: Buffer = Buffer.from(seedBytes());
  for (let steps = 1 + below(6); steps > 0; steps--) bytes = change(bytes);
  return index % GROWN === 0 ? grow(bytes) : bytes.subarray(0, material.largest);

  function change(input: Buffer): Buffer {
    const at = below(input.length + 1);
    const to = at + below(Math.min(input.length - at + 1, 64));
    const splice = (...parts: Uint8Array[]): Buffer => Buffer.concat([input.subarray(0, at), ...parts]);
    switch (below(9)) {
      case 0:
        if (at < input.length) input[at] = (input[at] ?? 0) ^ (1 << below(8));
        return input;
      case 1:
        if (at < input.length) input[at] = pick(BYTES) ?? 0;
        return input;
      case 2:
        if (at < input.length) input[at] = below(256);
        return input;
      case 3:
        return splice(input.subarray(to));
      case 4:
        return splice(word(), input.subarray(to));
      case 5:
        return splice(word(), input.subarray(at));
      case 6:
        return splice(input.subarray(at, to), input.subarray(at));
      case 7: {
        const other = seedBytes();
        const from = below(other.length + 1);
        return splice(other.subarray(from, from + below(256)), input.subarray(to));
      }
      default:
        return below(4) === 0 ? splice() : splice(Buffer.from([below(256)]), input.subarray(at));
    }
  }

  // Long repetitions reveal superlinear time.
  function grow(input: Buffer): Buffer {
    const at = below(input.length);
    const part = input.subarray(at, at + 1 + below(pick([1, 4, 32, 256]) ?? 1));
    if (part.length === 0) return input;
    const times = Math.floor(Math.max(0, material.largest - input.length) / part.length);
    return Buffer.concat([input.subarray(0, at), ...new Array<Buffer>(times).fill(part), input.subarray(at)]);
  }
}

/** Shrinks a failing input while it still fails, by leaving parts out. */
export async function minimise(input: Buffer, fails: (input: Buffer) => Promise<boolean>): Promise<Buffer> {
  let smallest = input;
  for (let size = input.length >> 1; size > 0; size >>= 1)
    for (let at = 0; at < smallest.length; ) {
      const shorter = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)]);
      if (await fails(shorter)) smallest = shorter;
      else at += size;
    }
  return smallest;
}

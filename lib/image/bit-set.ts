// Sets of small numbers.

/** A set of numbers from 0 up to a size. */
export class BitSet {
  readonly #words: Uint32Array;
  #count: number | undefined = 0;

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32));
  }

  /** How many numbers are in the set. */
  get count(): number {
    if (this.#count === undefined) {
      this.#count = 0;
      for (const word of this.#words) this.#count += ones(word);
    }
    return this.#count;
  }

  has(at: number): boolean {
    return (((this.#words[at >>> 5] ?? 0) >>> (at & 31)) & 1) === 1;
  }

  add(at: number): void {
    this.#words[at >>> 5] = (this.#words[at >>> 5] ?? 0) | (1 << (at & 31));
    this.#count = undefined;
  }

  delete(at: number): void {
    this.#words[at >>> 5] = (this.#words[at >>> 5] ?? 0) & ~(1 << (at & 31));
    this.#count = undefined;
  }

  /** Adds what another set of the same size has. */
  addAll(other: BitSet): void {
    const words = this.#words;
    const more = other.#words;
    for (let at = 0; at < more.length; at++) words[at] = (words[at] ?? 0) | (more[at] ?? 0);
    this.#count = undefined;
  }

  /** How many numbers are in this set or another of the same size. */
  countWith(other: BitSet): number {
    const words = this.#words;
    const more = other.#words;
    let count = 0;
    for (let at = 0; at < words.length; at++) count += ones((words[at] ?? 0) | (more[at] ?? 0));
    return count;
  }

  /** True if this set and another of the same size have a number in common. */
  meets(other: BitSet): boolean {
    const words = this.#words;
    const more = other.#words;
    for (let at = 0; at < words.length; at++) if (((words[at] ?? 0) & (more[at] ?? 0)) !== 0) return true;
    return false;
  }

  *[Symbol.iterator](): Generator<number> {
    for (let at = 0; at < this.#words.length; at++)
      for (let word = this.#words[at] ?? 0; word !== 0; word &= word - 1) yield at * 32 + 31 - Math.clz32(word & -word);
  }
}

// The number of bits that are set in a word of 32.
function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

// Memory for documents of one kind that are made one after the other. Each lives until it is sent, which is long enough
// for V8 to keep it until the next large collection: without a pool, a hundred megabytes of them pile up.

/** The smallest buffer, in bytes. */
const SMALLEST = 64 * 1024;
/** How many bytes of buffers that are not in use are kept, unless a pool is told otherwise. */
const SPARE = 4 * 1024 * 1024;

/** Lends buffers and takes them back. */
export class BufferPool {
  // Weak, so that memory that is never given back is collected.
  readonly #lent = new WeakMap<ArrayBufferLike, Buffer>();
  readonly #spare: Buffer[] = [];
  readonly #most: number;

  /** `most` is the number of bytes that are kept while they are not lent. */
  constructor(most: number = SPARE) {
    this.#most = most;
  }

  /** Lends `size` bytes with any content. The garbage collector frees those that are never given back. */
  take(size: number): Buffer {
    const at = this.#spare.findIndex(({ length }) => length >= size);
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    const whole = spare ?? Buffer.allocUnsafeSlow(Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(size))));
    this.#lent.set(whole.buffer, whole);
    return whole.subarray(0, size);
  }

  /** Takes back what was lent, to be lent again. Other bytes are left alone. */
  give({ buffer }: Uint8Array): void {
    const whole = this.#lent.get(buffer);
    if (whole === undefined) return;
    this.#lent.delete(buffer);
    const kept = this.#spare.reduce((sum, { length }) => sum + length, whole.length);
    if (kept <= this.#most) this.#spare.push(whole);
  }
}

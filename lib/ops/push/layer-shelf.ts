// Keeps small layers in memory to be joined with others: those that were just packed, with their archives, so that
// nothing is decompressed for the diffID of the joined layer; and those that were just read.
import type { Digest } from "../../oci/digest.ts";
import { release } from "../../util/free-chunks.ts";

/** How many bytes of layers and archives are kept, and of archives alone. */
const SHELF = 16 * 1024 * 1024;
const ARCHIVES = 8 * 1024 * 1024;

/** Small layers and their archives, at most SHELF bytes together. Large ones go first: small ones are joined. */
export class LayerShelf {
  readonly #layers = new Shelf();
  readonly #archives = new Shelf();

  /** Keeps a copy of a layer, and takes its uncompressed archive if that is at hand. */
  put(digest: Digest, bytes: Buffer, archive?: Buffer): void {
    if (!this.#layers.has(digest)) this.#layers.take(digest, copyOf(bytes));
    if (archive !== undefined) this.#archives.take(digest, archive);
    while (this.#archives.size > ARCHIVES) this.#archives.dropLargest();
    // An archive can be had from its layer.
    while (this.#layers.size + this.#archives.size > SHELF) this.#archives.dropLargest() || this.#layers.dropLargest();
  }

  /** A copy of the layer, if it is kept. */
  get(digest: Digest): Buffer | undefined {
    return this.#layers.get(digest);
  }

  /** A copy of the uncompressed archive of a layer, if it is kept. */
  archiveOf(digest: Digest): Buffer | undefined {
    return this.#archives.get(digest);
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

// Its bytes have memory of their own that is freed as soon as they are dropped: V8 would keep it until it collects the
// whole heap, and a part of a pool would keep the pool.
class Shelf {
  readonly #kept = new Map<Digest, Buffer>();
  /** Digests by the number of bits of their sizes: a look through thousands of layers would take long. */
  readonly #bySize: Set<Digest>[] = Array.from({ length: 33 }, () => new Set());
  size = 0;

  has(digest: Digest): boolean {
    return this.#kept.has(digest);
  }

  /** Keeps these very bytes, and frees them if it has the same already. */
  take(digest: Digest, bytes: Buffer): void {
    if (this.#kept.has(digest)) {
      release(bytes);
      return;
    }
    this.#kept.set(digest, bytes);
    this.#classOf(bytes)?.add(digest);
    this.size += bytes.length;
  }

  /** A copy. */
  get(digest: Digest): Buffer | undefined {
    const kept = this.#kept.get(digest);
    return kept && Buffer.from(kept);
  }

  /** Drops one of the largest. False if there is none. */
  dropLargest(): boolean {
    const largest = this.#bySize.findLast(({ size }) => size > 0);
    const [digest] = largest ?? [];
    const bytes = digest && this.#kept.get(digest);
    if (digest === undefined || bytes === undefined) return false;
    this.size -= bytes.length;
    this.#kept.delete(digest);
    largest?.delete(digest);
    release(bytes);
    return true;
  }

  #classOf({ length }: Buffer): Set<Digest> | undefined {
    return this.#bySize[32 - Math.clz32(length)];
  }
}

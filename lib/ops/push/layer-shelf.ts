// Keeps small layers in memory to be joined with others: those that were just packed, with their archives, so that
// nothing is decompressed for the diffID of the joined layer; and those that were just read.
import type { Digest } from "../../oci/digest.ts";
import { ownCopy, release } from "../../util/free-chunks.ts";

/** How many bytes of layers and archives are kept, and of archives alone. */
const SHELF = 16 * 1024 * 1024;
const ARCHIVES = 8 * 1024 * 1024;

/** Small layers and their archives, at most SHELF bytes together. Large ones go first: small ones are joined. */
export class LayerShelf {
  readonly #layers = new Shelf();
  readonly #archives = new Shelf();

  /** Keeps a copy of a layer; its uncompressed archive, if that is at hand, must not be used by the caller any more. */
  put(digest: Digest, bytes: Buffer, archive?: Buffer): void {
    if (!this.#layers.has(digest)) this.#layers.keep(digest, ownCopy(bytes));
    if (archive !== undefined) this.#archives.keep(digest, archive);
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

// Each buffer owns its memory, so that it is freed as soon as it is dropped. V8 would free it only when it collects the
// whole heap, and a part of Node's pool would keep the pool.
class Shelf {
  readonly #kept = new Map<Digest, Buffer>();
  /** Digests by the number of bits of their sizes: a look through thousands of layers would take long. */
  readonly #bySize: Set<Digest>[] = Array.from({ length: 33 }, () => new Set());
  size = 0;

  has(digest: Digest): boolean {
    return this.#kept.has(digest);
  }

  /** Keeps these very bytes, which have memory of their own; frees them if the digest is already kept. */
  keep(digest: Digest, bytes: Buffer): void {
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

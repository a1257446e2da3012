// Keeps small layers in memory to be joined with others: those that were just packed, with their archives, so that
// nothing is decompressed for the diffID of the joined layer; and those that were just read.
import type { Digest } from "../../oci/digest.ts";

/** How many bytes of layers and archives are kept. */
const SHELF = 32 * 1024 * 1024;

/** Small layers and their archives, up to 32 MiB together. The largest go first: small ones are joined. */
export class LayerShelf {
  readonly #layers = new Shelf();
  readonly #archives = new Shelf();

  /** Keeps a layer, and its uncompressed archive if that is at hand. */
  put(digest: Digest, bytes: Buffer, archive?: Buffer): void {
    this.#layers.put(digest, bytes);
    if (archive !== undefined) this.#archives.put(digest, archive);
    // An archive can be had from its layer.
    while (this.#layers.size + this.#archives.size > SHELF) this.#archives.dropLargest() || this.#layers.dropLargest();
  }

  /** The layer, if it is kept. */
  get(digest: Digest): Buffer | undefined {
    return this.#layers.get(digest);
  }

  /** The uncompressed archive of a layer, if it is kept. */
  archiveOf(digest: Digest): Buffer | undefined {
    return this.#archives.get(digest);
  }
}

class Shelf {
  readonly #kept = new Map<Digest, Buffer>();
  size = 0;

  put(digest: Digest, bytes: Buffer): void {
    if (this.#kept.has(digest)) return;
    this.#kept.set(digest, bytes);
    this.size += bytes.length;
  }

  get(digest: Digest): Buffer | undefined {
    return this.#kept.get(digest);
  }

  /** False if there is none. */
  dropLargest(): boolean {
    let largest: Digest | undefined;
    for (const [digest, { length }] of this.#kept)
      if (largest === undefined || length > (this.#kept.get(largest)?.length ?? 0)) largest = digest;
    if (largest === undefined) return false;
    this.size -= this.#kept.get(largest)?.length ?? 0;
    return this.#kept.delete(largest);
  }
}

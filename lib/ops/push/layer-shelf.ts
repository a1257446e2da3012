// Keeps small layers that were just packed in memory, since they are the ones that are joined with others.
import type { Digest } from "../../oci/digest.ts";

/** How many bytes of layers are kept. */
const SHELF = 32 * 1024 * 1024;

/** The layers that were packed last, up to 32 MiB. */
export class LayerShelf {
  readonly #layers = new Map<Digest, Buffer>();
  #size = 0;

  put(digest: Digest, bytes: Buffer): void {
    if (this.#layers.has(digest) || bytes.length > SHELF) return;
    this.#layers.set(digest, bytes);
    this.#size += bytes.length;
    for (const [oldest, { length }] of this.#layers) {
      if (this.#size <= SHELF) break;
      this.#layers.delete(oldest);
      this.#size -= length;
    }
  }

  get(digest: Digest): Buffer | undefined {
    return this.#layers.get(digest);
  }
}

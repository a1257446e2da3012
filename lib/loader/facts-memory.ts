// Remembers the facts of layers between runs, by the digest of the layer.
import type { Digest } from "../oci/digest.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { type LayerFacts, parseLayerFacts, writeLayerFacts } from "./layer-facts.ts";

const KIND = "layer-facts";

/** The remembered facts of layers. */
export class FactsMemory {
  readonly #cache: DiskCache;

  constructor(cache: DiskCache) {
    this.#cache = cache;
  }

  /** The facts of a layer that was read before. */
  async recall(digest: Digest): Promise<LayerFacts | undefined> {
    const bytes = await this.#cache.get(KIND, digest);
    return bytes && parseLayerFacts(bytes);
  }

  /** Remembers the facts of a layer whose content was verified. */
  remember(digest: Digest, facts: LayerFacts): void {
    this.#cache.set(KIND, digest, writeLayerFacts(facts));
  }
}

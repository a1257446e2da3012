// Remembers the facts of layers between runs, by the digest of the layer.
import type { Digest } from "../oci/digest.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { type LayerFacts, parseLayerFacts, writeLayerFacts } from "./layer-facts.ts";

/** The origin of facts: a layer, or the prefix that it was packed from. */
export type FactsOrigin = "layer" | "prefix";

/** The remembered facts of layers. */
export class FactsMemory {
  readonly #cache: DiskCache;

  constructor(cache: DiskCache) {
    this.#cache = cache;
  }

  /** The facts of a layer that was read before. */
  recall(digest: Digest, origin: FactsOrigin = "layer"): LayerFacts | undefined {
    const bytes = this.#cache.get(`${origin}-facts`, digest);
    return bytes && parseLayerFacts(bytes);
  }

  /** Remembers the facts of a layer, whose content was verified. */
  remember(digest: Digest, facts: LayerFacts, origin: FactsOrigin = "layer"): void {
    this.#cache.set(`${origin}-facts`, digest, writeLayerFacts(facts));
  }
}

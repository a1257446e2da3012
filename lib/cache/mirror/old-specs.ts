// The specs of a mirror in layouts 1 and 2, to be removed once they are in layout 3.
import type { ObjectOptions, Objects } from "../../objects/objects.ts";
import type { TaggedSpec } from "../spec-tag.ts";
import { LAYOUT2_REST, Layout2 } from "./layout2.ts";

/** The old part of a mirror. */
export class OldSpecs {
  readonly #objects: Objects;
  readonly #layout: Layout2;

  constructor(objects: Objects) {
    this.#objects = objects;
    this.#layout = new Layout2({ objects, signatures: undefined }, () => Promise.resolve(undefined));
  }

  /** Lists them by tag. `foreign` are files that look like specs and are none. */
  async list(options: ObjectOptions): Promise<{ specs: ReadonlyMap<string, TaggedSpec>; foreign: readonly string[] }> {
    const listing = { specs: new Map<string, TaggedSpec>(), foreign: [] as string[] };
    await this.#layout.list(listing, options);
    return listing;
  }

  /** Removes the files of one that was listed. */
  async remove(tag: string, options: ObjectOptions): Promise<void> {
    const files = this.#layout.files.get(tag);
    for (const key of [...(files?.specs ?? []), ...(files ? [files.archive] : [])])
      await this.#objects.remove(key, options);
  }

  /** Removes the index and the keys, when no spec is left. */
  async removeRest(options: ObjectOptions): Promise<void> {
    for (const key of LAYOUT2_REST) {
      if (!key.endsWith("/")) await this.#objects.remove(key, options);
      else for await (const each of this.#objects.list(key, options)) await this.#objects.remove(each.key, options);
    }
  }
}

// Remembers the newest signed index that was seen of each cache, so that an older one is noticed. One small file per
// cache, in a folder that must outlive caches.
import { createHash } from "node:crypto";
import { join } from "node:path";
import * as z from "zod";
import { isAbsentFile } from "../../errors.ts";
import { canonicalBytes, parseBySchema } from "../../oci/manifest.ts";
import { makeFolder } from "../../util/folder.ts";
import { readBounded } from "../../util/read-file.ts";
import { replaceFileSync } from "../../util/replace-file.ts";

const GENERATION_LIMIT = 4096;

const generationSchema = z.strictObject({ place: z.string(), generation: z.int().min(0) });

/** The generations that were seen. */
export class Generations {
  readonly #folder: string;
  readonly #random: () => number;

  constructor(folder: string, random: () => number) {
    this.#folder = folder;
    this.#random = random;
  }

  /** The highest generation seen of a place; undefined if none. Throws CONTENT_INVALID, FILE_SYSTEM. */
  async highest(place: string): Promise<number | undefined> {
    try {
      const path = this.#path(place);
      const { bytes } = await readBounded(path, GENERATION_LIMIT);
      return parseBySchema(bytes, generationSchema, path).generation;
    } catch (error) {
      if (isAbsentFile(error)) return undefined;
      throw error;
    }
  }

  /** Remembers a generation, if it is the highest. Throws the file system's error. */
  async remember(place: string, generation: number): Promise<void> {
    if (((await this.highest(place)) ?? -1) >= generation) return;
    const path = this.#path(place);
    makeFolder(this.#folder, 0o700);
    const temporary = `${path}.${Math.floor(this.#random() * 2 ** 48).toString(36)}.tmp`;
    replaceFileSync(path, { temporary, mode: 0o600 }, canonicalBytes({ place, generation }));
  }

  #path(place: string): string {
    return join(this.#folder, createHash("sha256").update(place).digest("hex"));
  }
}

// Remembers the newest signed index that was seen of each cache, so that an older one is noticed: in a small file whose
// name has the generation, so that of processes that remember at once none overwrites what another has seen. The folder
// must outlive caches.
import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, isAbsentFile } from "../../errors.ts";
import { canonicalBytes } from "../../oci/manifest.ts";
import { makeFolder } from "../../util/folder.ts";
import { replaceFileSync } from "../../util/replace-file.ts";

/** The generations that were seen. */
export class Generations {
  readonly #folder: string;
  readonly #random: () => number;

  constructor(folder: string, random: () => number) {
    this.#folder = folder;
    this.#random = random;
  }

  /** The highest generation seen of a place; undefined if none. Throws FILE_SYSTEM. */
  async highest(place: string): Promise<number | undefined> {
    return (await this.#seen(place)).at(-1);
  }

  /** Remembers a generation, if it is the highest. Throws FILE_SYSTEM. */
  async remember(place: string, generation: number): Promise<void> {
    const seen = await this.#seen(place);
    if ((seen.at(-1) ?? -1) >= generation) return;
    makeFolder(this.#folder, 0o700);
    const path = this.#path(place, generation);
    const temporary = `${path}.${Math.floor(this.#random() * 2 ** 48).toString(36)}.tmp`;
    replaceFileSync(path, { temporary, mode: 0o600 }, canonicalBytes({ place, generation }));
    for (const lower of seen) await rm(this.#path(place, lower), { force: true });
  }

  /** In ascending order. */
  async #seen(place: string): Promise<number[]> {
    const names = await readdir(this.#folder).catch((cause: unknown) => {
      const error = fileError(cause, "read", this.#folder);
      if (isAbsentFile(error)) return [];
      throw error;
    });
    const start = `${nameOf(place)}.`;
    const found = names.flatMap((name) => (name.startsWith(start) ? [name.slice(start.length)] : []));
    return found.flatMap((text) => (/^[0-9]{1,16}$/.test(text) ? [Number(text)] : [])).sort((a, b) => a - b);
  }

  #path(place: string, generation: number): string {
    return join(this.#folder, `${nameOf(place)}.${generation}`);
  }
}

function nameOf(place: string): string {
  return createHash("sha256").update(place).digest("hex");
}

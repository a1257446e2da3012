// The words that completion offers: what earlier commands of this user have met. They come from registries, so only
// words without characters that are special to a shell are kept and offered.
import { ownDiskCache } from "../../api/machine/cache-folder.ts";
import type { Surroundings } from "../../api/machine/surroundings.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { isRecord, isTexts, parsed } from "../../util/json-entry.ts";

/** In bytes. */
const WORDS_LIMIT = 2_000_000;
/** The most words of one kind. */
const MOST_WORDS = 20_000;
/** The most places, the last used first. */
const MOST_PLACES = 50;

// Letters and digits of any script; no blank, no quote, and nothing that a shell expands or splits.
const WORD = /^[\p{L}\p{N}_./][\p{L}\p{N}_.:@/+=-]{0,254}$/u;

/** True for a word that completion may offer. */
export const isPlainWord = (word: string): boolean => WORD.test(word);

/** A place without its tag and digest, and the tag. */
const PLACE = /^(?<place>.*[/].*?|oci-layout:[^:]*?)(?::(?<tag>\w[\w.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?$/;

/** What earlier commands have met. */
export class KnownWords {
  readonly #memory: DiskCache;

  constructor(around: Surroundings) {
    this.#memory = ownDiskCache(around, WORDS_LIMIT);
  }

  /** Caches, repositories and directories that were named, the last used first. */
  places(): readonly string[] {
    return this.#read("places", "all").words;
  }

  /** Notes a cache, a repository, or an image of one, by the word that named it. */
  notePlace(word: string): void {
    const { place, tag } = PLACE.exec(word)?.groups ?? {};
    // A place with a user name, a password or a query is not remembered.
    if (place === undefined || !isPlainWord(place) || /^[a-z0-9+]+:\/\/(?:[^/]*@|.*\?)/i.test(place)) return;
    const before = this.places();
    if (before[0] !== place)
      this.#write("places", "all", [place, ...before.filter((one) => one !== place)].slice(0, MOST_PLACES));
    const tags = tag === undefined ? [] : this.tags(place);
    if (tag !== undefined && !tags.includes(tag)) this.noteTags(place, [...tags, tag]);
  }

  /** The tags of a place, as far as they were listed or named. */
  tags(place: string): readonly string[] {
    return this.#read("tags", place).words;
  }

  /** Notes all tags of a place. */
  noteTags(place: string, tags: readonly string[]): void {
    this.#write("tags", place, tags);
  }

  /** The names and versions of the specs of a cache; without one, of the cache whose index was read last. */
  specs(place: string | undefined): readonly string[] {
    const own = place === undefined ? [] : this.#read("specs", place).words;
    return own.length > 0 ? own : this.#read("specs", "").words;
  }

  /** Notes the specs of a cache; does nothing if those of the same index are known. `digest` identifies the index. */
  noteSpecs(
    place: string,
    digest: string,
    specs: () => Iterable<{ readonly name: string; readonly version: string }>,
  ): void {
    if (this.#read("specs", place).state === digest && this.#read("specs", "").state === digest) return;
    const words = new Set<string>();
    for (const { name, version } of specs()) {
      if (words.size >= MOST_WORDS) break;
      words.add(name).add(`${name}@${version}`);
    }
    const sorted = [...words].sort();
    for (const key of new Set([place, ""])) this.#write("specs", key, sorted, digest);
  }

  #read(kind: string, key: string): { readonly words: readonly string[]; readonly state: unknown } {
    const found = parsed(this.#memory.get(`known-${kind}`, key));
    if (!isRecord(found) || !isTexts(found["words"])) return { words: [], state: undefined };
    const words = found["words"].slice(0, MOST_WORDS).filter(isPlainWord);
    return { words, state: found["state"] };
  }

  #write(kind: string, key: string, words: readonly string[], state?: string): void {
    const kept = words.slice(0, MOST_WORDS).filter(isPlainWord);
    this.#memory.set(`known-${kind}`, key, Buffer.from(JSON.stringify({ state, words: kept })));
  }
}

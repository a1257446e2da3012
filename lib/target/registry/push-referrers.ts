// Attaches many referrers at once, each to another manifest. On a registry with the referrers API this takes one
// request each. On one without, it takes three: the manifest, its list under the fallback tag, and a look at that list
// afterwards, because such a registry lets writers overwrite each other.
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { canonicalBytes, emptyIndex, parseManifest } from "../../oci/manifest.ts";
import { OCI_INDEX } from "../../oci/mediatype.ts";
import { referrerEntry, referrersTag } from "../../oci/referrer.ts";
import { forEachLimit, Limit, unlessAborted } from "../../util/limit.ts";
import { Stop } from "../../util/stop.ts";
import type { Clock } from "../../util/time.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions, type ReferrerManifest } from "../target.ts";
import { headManifest, putManifest } from "./manifests.ts";
import { overwritten, readFallback, UPDATE_TRIES } from "./referrers.ts";
import type { Repository } from "./repository.ts";
import { tagPages } from "./tags.ts";

/** How long a writer relies on a listing of the fallback tags, in milliseconds, from the start of the listing. */
const FRESH = 300;
/**
 * When a writer looks at its list again, in milliseconds: after all others that may overwrite it, because those rely on
 * what they read before. It is never less, however fast this writer's requests are: others may be farther away.
 */
const SETTLED = 1000;
/** Others may be slower by this factor than the slowest write of this run, up to so many milliseconds. */
const SLOWER = 2;
const LONGEST_SETTLED = 15_000;
/** Writers that have overwritten each other write again at different times within so many milliseconds. */
const SPREAD = 500;
/** Writing a list comes before looking at one, so that the last one is written, and settles, as early as possible. */
const PRIORITY = { write: 0, look: 1 } as const;

/** Referrers that the registry does not list by itself. */
interface Unlisted {
  readonly subject: Digest;
  readonly entries: readonly Descriptor[];
}

/**
 * Pushes manifests with subjects and has them listed as referrers. Throws CONFLICT if others keep overwriting a list.
 */
export async function pushReferrers(
  repository: Repository,
  manifests: readonly ReferrerManifest[],
  options: OperationOptions = {},
): Promise<void> {
  const unlisted: { readonly subject: Digest; readonly entry: Descriptor }[] = [];
  const put = async ({ bytes, mediaType }: ReferrerManifest): Promise<void> => {
    const { descriptor, tookSubject } = await putManifest(repository, bytes, mediaType, options);
    if (tookSubject) return;
    const { value } = parseManifest(bytes, mediaType, `manifest ${descriptor.digest}`);
    if (value.subject) unlisted.push({ subject: value.subject.digest, entry: referrerEntry(descriptor, value) });
  };
  await forEachLimit(manifests, DOCUMENTS_AT_ONCE, put, options.signal);
  if (unlisted.length === 0) return;
  const bySubject = Map.groupBy(unlisted, ({ subject }) => subject);
  const lists = [...bySubject].map(([subject, all]) => ({ subject, entries: all.map(({ entry }) => entry) }));
  await listUnderTags(repository, lists, options);
}

// The lists are written and looked at independently of each other: while the first ones settle, others are written.
async function listUnderTags(
  repository: Repository,
  unlisted: readonly Unlisted[],
  options: OperationOptions,
): Promise<void> {
  const { clock } = repository.options;
  const stop = new Stop(options.signal);
  const { signal } = stop;
  const slots = new Limit(DOCUMENTS_AT_ONCE);
  const present = new PresentTags(repository, new Set(unlisted.map(({ subject }) => referrersTag(subject))), signal);
  const settling = new Settling(clock, unlisted.length);
  const add = (one: Unlisted): Promise<Written> =>
    slots.run(() => settling.timed(() => addEntries(repository, one, { signal })), {
      priority: PRIORITY.write,
      signal,
    });
  const write = async (one: Unlisted): Promise<void> => {
    const first = async (): Promise<Digest | undefined> => {
      const { isAbsent, since } = await present.look(referrersTag(one.subject));
      return isAbsent
        ? await settling.timed(() => putList(repository, one.subject, one.entries, { signal }), since)
        : undefined;
    };
    const list = (await slots.run(first, { priority: PRIORITY.write, signal })) ?? (await add(one)).list;
    settling.add({ ...one, list, tried: 1 });
  };
  const look = async (one: Settled): Promise<void> => {
    const { subject, list, tried } = one;
    const head = (): ReturnType<typeof headManifest> => headManifest(repository, referrersTag(subject), { signal });
    const named = await slots.run(head, { priority: PRIORITY.look, signal });
    // While the tag names this list, nothing was overwritten.
    if (named?.descriptor.digest === list) return settling.done();
    if (tried > UPDATE_TRIES) throw overwritten(repository, subject);
    await clock.sleep(SPREAD * clock.random(), signal);
    const written = await add(one);
    if (written.wasMissing) settling.add({ ...one, list: written.list, tried: tried + 1 });
    else settling.done();
  };
  // The lists to look at end only when all are done, so a failure must end the wait for the next one.
  const lookOrStop = (one: Settled): Promise<void> =>
    look(one).catch((error: unknown) => {
      stop.end(error);
      throw error;
    });
  const both = [
    () => forEachLimit(unlisted, DOCUMENTS_AT_ONCE, write, signal),
    () => forEachLimit(settling.each(signal), DOCUMENTS_AT_ONCE, lookOrStop, signal),
  ];
  await stop.mapInWindow(both, both.length, (run) => run());
}

/** Referrers with the list that has them all. */
interface Settled extends Unlisted {
  readonly list: Digest;
  readonly tried: number;
}

/** Lists that were written, to be checked once other writers should have finished. */
class Settling {
  readonly #clock: Clock;
  readonly #waiting: { readonly one: Settled; readonly at: number }[] = [];
  #left: number;
  #slowest = 0;
  #changed = Promise.withResolvers<void>();

  /** Ends after so many lists. */
  constructor(clock: Clock, count: number) {
    this.#clock = clock;
    this.#left = count;
  }

  /**
   * Runs a write and notes its time, from `since` if it relies on an earlier read: the writes of others may take as
   * long.
   */
  async timed<T>(write: () => Promise<T>, since: number = this.#clock.now()): Promise<T> {
    const result = await write();
    this.#slowest = Math.max(this.#slowest, this.#clock.now() - since);
    return result;
  }

  /** Adds a list that was written just now. */
  add(one: Settled): void {
    this.#waiting.push({ one, at: this.#clock.now() });
    this.#change();
  }

  /** Counts a list as done. */
  done(): void {
    this.#left--;
    this.#change();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** The lists in the order in which they were written, each after its time. */
  async *each(signal: AbortSignal): AsyncIterable<Settled> {
    while (this.#left > 0) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        await unlessAborted(this.#changed.promise, signal);
        continue;
      }
      for (let left = this.#timeLeft(next.at); left > 0; left = this.#timeLeft(next.at))
        await this.#clock.sleep(left, signal);
      yield next.one;
    }
  }

  #timeLeft(written: number): number {
    const settled = Math.min(LONGEST_SETTLED, Math.max(SETTLED, SLOWER * this.#slowest));
    return written + settled - this.#clock.now();
  }
}

/** A list that has all entries, and whether it had to be written for that. */
interface Written {
  readonly list: Digest;
  readonly wasMissing: boolean;
}

/** Adds entries to a list that lacks any of them; returns the list that has them. */
async function addEntries(
  repository: Repository,
  { subject, entries }: Unlisted,
  options: OperationOptions,
): Promise<Written> {
  const { manifests, present } = await readFallback(repository, subject, options);
  const there = new Set(manifests.map(({ digest }) => digest));
  const missing = entries.filter(({ digest }) => !there.has(digest));
  if (present !== undefined && missing.length === 0) return { list: present, wasMissing: false };
  return { list: await putList(repository, subject, [...manifests, ...missing], options), wasMissing: true };
}

async function putList(
  repository: Repository,
  subject: Digest,
  entries: readonly Descriptor[],
  options: OperationOptions,
): Promise<Digest> {
  const bytes = canonicalBytes({ ...emptyIndex(), manifests: [...entries] });
  const { descriptor } = await putManifest(repository, bytes, OCI_INDEX, { ...options, tag: referrersTag(subject) });
  return descriptor.digest;
}

/** Which fallback tags exist: one listing answers for many of them, and is repeated once it is no longer fresh. */
class PresentTags {
  readonly #repository: Repository;
  readonly #wanted: ReadonlySet<string>;
  readonly #signal: AbortSignal | undefined;
  #listed: Promise<ReadonlySet<string>> | undefined;
  #since = 0;
  /** True once a listing was outdated when it ended, as in a very large cache; then each tag is asked for. */
  #isSlow = false;

  constructor(repository: Repository, wanted: ReadonlySet<string>, signal: AbortSignal | undefined) {
    this.#repository = repository;
    this.#wanted = wanted;
    this.#signal = signal;
  }

  /** Whether a tag was absent, and when the registry was asked. */
  async look(tag: string): Promise<{ readonly isAbsent: boolean; readonly since: number }> {
    const { clock } = this.#repository.options;
    if (!this.#isSlow) {
      if (this.#listed === undefined || clock.now() > this.#since + FRESH) {
        this.#since = clock.now();
        this.#listed = this.#list();
      }
      const since = this.#since;
      const listed = await this.#listed;
      if (clock.now() <= since + FRESH) return { isAbsent: !listed.has(tag), since };
      this.#isSlow = true;
    }
    const since = clock.now();
    return { isAbsent: (await headManifest(this.#repository, tag, { signal: this.#signal })) === undefined, since };
  }

  async #list(): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for await (const tags of tagPages(this.#repository, { signal: this.#signal }))
      for (const tag of tags) if (this.#wanted.has(tag)) found.add(tag);
    return found;
  }
}

// Attaches many referrers at once, each to another manifest. On a registry with the referrers API this takes one
// request each. On one without, it takes three: the manifest, its list under the fallback tag, and a look at that list
// afterwards, because such a registry lets writers overwrite each other.
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { canonicalBytes, emptyIndex, parseManifest } from "../../oci/manifest.ts";
import { OCI_INDEX } from "../../oci/mediatype.ts";
import { forEachLimit } from "../../util/limit.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions, type ReferrerManifest } from "../target.ts";
import { headManifest, putManifest } from "./manifests.ts";
import { overwritten, readFallback, referrerEntry, referrersTag, UPDATE_TRIES } from "./referrers.ts";
import type { Repository } from "./repository.ts";
import { tagPages } from "./tags.ts";

/** How long a writer relies on a listing of the fallback tags, in milliseconds. */
const FRESH = 300;
/**
 * When a writer looks at its lists again, in milliseconds: after all others that may overwrite them, because those
 * rely on what they read before.
 */
const SETTLED = 1000;

/** A referrer that the registry does not list by itself. */
interface Unlisted {
  readonly subject: Digest;
  readonly entry: Descriptor;
}

/**
 * Pushes manifests with subjects and has them listed as referrers. Throws CONFLICT if others keep overwriting a list.
 */
export async function pushReferrers(
  repository: Repository,
  manifests: readonly ReferrerManifest[],
  options: OperationOptions = {},
): Promise<void> {
  const unlisted: Unlisted[] = [];
  const put = async ({ bytes, mediaType }: ReferrerManifest): Promise<void> => {
    const { descriptor, tookSubject } = await putManifest(repository, bytes, mediaType, options);
    if (tookSubject) return;
    const { value } = parseManifest(bytes, mediaType, `manifest ${descriptor.digest}`);
    if (value.subject) unlisted.push({ subject: value.subject.digest, entry: referrerEntry(descriptor, value) });
  };
  await forEachLimit(manifests, DOCUMENTS_AT_ONCE, put, options.signal);
  if (unlisted.length > 0) await listUnderTags(repository, unlisted, options);
}

async function listUnderTags(
  repository: Repository,
  unlisted: readonly Unlisted[],
  options: OperationOptions,
): Promise<void> {
  const { clock } = repository.options;
  const { signal } = options;
  const present = new PresentTags(repository, new Set(unlisted.map(({ subject }) => referrersTag(subject))), signal);
  // For each entry the list that has it. While the tag names that list, nothing was overwritten.
  const lists = new Map<Unlisted, Digest>();
  const first = async (one: Unlisted): Promise<void> => {
    const { subject, entry } = one;
    const isNew = !(await present.has(referrersTag(subject)));
    const list = isNew
      ? await putList(repository, subject, [entry], options)
      : (await addEntry(repository, one, options)).list;
    lists.set(one, list);
  };
  await forEachLimit(unlisted, DOCUMENTS_AT_ONCE, first, signal);
  let doubtful: readonly Unlisted[] = unlisted;
  for (let tried = 1; doubtful.length > 0; tried++) {
    if (tried > UPDATE_TRIES) throw overwritten(repository, doubtful[0]?.subject ?? "");
    await clock.sleep(SETTLED * (1 + clock.random() / 2), signal);
    const again: Unlisted[] = [];
    const look = async (one: Unlisted): Promise<void> => {
      const named = await headManifest(repository, referrersTag(one.subject), { signal });
      if (named !== undefined && named.descriptor.digest === lists.get(one)) return;
      const { list, wasMissing } = await addEntry(repository, one, options);
      lists.set(one, list);
      if (wasMissing) again.push(one);
    };
    await forEachLimit(doubtful, DOCUMENTS_AT_ONCE, look, signal);
    doubtful = again;
  }
}

/** Adds an entry to a list that lacks it; returns the list that has it. */
async function addEntry(
  repository: Repository,
  { subject, entry }: Unlisted,
  options: OperationOptions,
): Promise<{ readonly list: Digest; readonly wasMissing: boolean }> {
  const { manifests, present } = await readFallback(repository, subject, options);
  if (present !== undefined && manifests.some(({ digest }) => digest === entry.digest))
    return { list: present, wasMissing: false };
  return { list: await putList(repository, subject, [...manifests, entry], options), wasMissing: true };
}

async function putList(
  repository: Repository,
  subject: Digest,
  manifests: Descriptor[],
  options: OperationOptions,
): Promise<Digest> {
  const bytes = canonicalBytes({ ...emptyIndex(), manifests });
  const { descriptor } = await putManifest(repository, bytes, OCI_INDEX, { ...options, tag: referrersTag(subject) });
  return descriptor.digest;
}

/** Which fallback tags exist: one listing answers for many of them, and is repeated once it is no longer fresh. */
class PresentTags {
  readonly #repository: Repository;
  readonly #wanted: ReadonlySet<string>;
  readonly #signal: AbortSignal | undefined;
  #listed: Promise<ReadonlySet<string>> | undefined;
  #until = 0;

  constructor(repository: Repository, wanted: ReadonlySet<string>, signal: AbortSignal | undefined) {
    this.#repository = repository;
    this.#wanted = wanted;
    this.#signal = signal;
  }

  async has(tag: string): Promise<boolean> {
    const { clock } = this.#repository.options;
    if (this.#listed === undefined || clock.now() > this.#until) {
      this.#until = clock.now() + FRESH;
      this.#listed = this.#list();
    }
    return (await this.#listed).has(tag);
  }

  async #list(): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for await (const tags of tagPages(this.#repository, { signal: this.#signal }))
      for (const tag of tags) if (this.#wanted.has(tag)) found.add(tag);
    return found;
  }
}

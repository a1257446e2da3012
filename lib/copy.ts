// The one engine that moves content: copies a graph of manifests and blobs from one target to another, children before
// parents, each item once. Push, pull and mirror are this copy with different hooks.
import { isStaveError, type Side, StaveError, type StaveErrorOptions } from "./errors.ts";
import type { Descriptor } from "./oci/descriptor.ts";
import { algorithmOf, type Digest, hexOf } from "./oci/digest.ts";
import { type ManifestDocument, successors } from "./oci/manifest.ts";
import { isForeignLayer, isIndexType, isManifestType } from "./oci/mediatype.ts";
import type { Platform } from "./oci/platform.ts";
import { isTag } from "./oci/reference.ts";
import { mountsBetween } from "./target/blob-source.ts";
import { fetchPlatform, parseFetched } from "./target/choose-platform.ts";
import { transferBlob } from "./target/refetch.ts";
import type { FetchedManifest, ReadTarget, Target } from "./target/target.ts";
import { forEachLimit, Limit } from "./util/limit.ts";
import { noProgress, type ProgressSink } from "./util/progress.ts";
import { Stop } from "./util/stop.ts";

/** The options and hooks of a copy. */
export interface CopyOptions {
  /** The destination tag of the root; set after everything else is there. */
  tag?: string | undefined;
  /** Copies only the image of this platform out of an index; that image is then the root. */
  platform?: Platform | undefined;
  /** Also copies what refers to each manifest (signatures, SBOMs), by subject or, as in cosign, by tag. */
  referrers?: boolean | undefined;
  /** Every tag of the source is copied anyway, so tags of signatures need no separate lookup. */
  allTags?: boolean | undefined;
  /** Maximum number of blobs in progress at once. */
  concurrency?: number | undefined;
  /** More repositories of the destination's registry to mount blobs from. */
  mountFrom?: readonly string[] | undefined;
  /** Returns false to leave out a child; its parent is still copied. */
  select?: ((child: Descriptor, parent: Descriptor) => boolean) | undefined;
  /** A failure does not stop the rest: for several roots that may fail independently. */
  keepGoing?: boolean | undefined;
  progress?: ProgressSink | undefined;
  signal?: AbortSignal | undefined;
}

/** The result of a copy. `bytes` counts what was actually transferred. */
export interface CopyReport {
  root: Descriptor;
  manifests: { copied: number; skipped: number };
  blobs: { copied: number; mounted: number; skipped: number };
  bytes: number;
}

/** Deeper nesting of indexes is refused: real images never have it, hostile ones might. */
const MAX_DEPTH = 8;
const DEFAULT_CONCURRENCY = 4;
/** The suffixes that cosign appends to `sha256-<hex>` for the signature, attestation and SBOM of an image. */
const SUBJECT_TAGS = ["sig", "att", "sbom"];
/** Maximum number of manifests read or written at once, beside the blobs. */
const MANIFEST_CONCURRENCY = 16;

/**
 * Copies what `reference` (a tag or digest of the source) names, and everything below it. Throws what the targets
 * throw, with the failed side; MEDIA_TYPE if it is not a manifest; PLATFORM_MISMATCH if there is no image of the wanted
 * platform.
 */
export async function copyGraph(
  source: ReadTarget,
  destination: Target,
  reference: string,
  options: CopyOptions = {},
): Promise<CopyReport> {
  return await new GraphCopy(source, destination, options).copy(reference, options.tag);
}

/** A copy that remembers: several roots copied through one instance share common content. */
export class GraphCopy {
  readonly #source: ReadTarget;
  readonly #destination: Target;
  readonly #options: CopyOptions;
  readonly #progress: ProgressSink;
  readonly #stop: Stop;
  readonly #signal: AbortSignal;
  readonly #blobLimit: Limit;
  readonly #manifestLimit = new Limit(MANIFEST_CONCURRENCY);
  /** Everything already started, by digest: a blob shared by many images is transferred once. */
  readonly #started = new Map<Digest, Promise<void>>();
  /** Manifests whose signature tags are still to be looked up. */
  readonly #subjects = new Set<Digest>();
  readonly #subjectTags = new Set<string>();
  readonly #report = { manifests: { copied: 0, skipped: 0 }, blobs: { copied: 0, mounted: 0, skipped: 0 }, bytes: 0 };

  constructor(source: ReadTarget, destination: Target, options: CopyOptions = {}) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
    this.#progress = options.progress ?? noProgress;
    this.#stop = new Stop(options.signal);
    this.#signal = this.#stop.signal;
    this.#blobLimit = new Limit(options.concurrency ?? DEFAULT_CONCURRENCY);
  }

  /** Copies one root and tags it; the report counts everything this instance has copied so far. */
  async copy(reference: string, tag?: string): Promise<CopyReport> {
    const fetched = await this.#fetchRoot(reference);
    await this.#root(fetched, tag);
    if (this.#options.referrers && !this.#options.allTags) await this.#copySubjectTags();
    return { root: fetched.descriptor, ...this.counts() };
  }

  async #root(fetched: FetchedManifest, tag: string | undefined): Promise<void> {
    const { descriptor } = fetched;
    const isThere = await this.#isTagged(descriptor, tag);
    if (!isThere || this.#options.referrers) await this.#copyChildren(this.#parse(fetched), descriptor, 0, isThere);
    if (isThere) this.#skipped(descriptor);
    else await this.#write(fetched, tag);
    if (this.#options.referrers) await this.#copyReferrers(descriptor, 0);
  }

  /**
   * Copies what names its subject only by tag. Such a tag may point anywhere, even back to its start, so it is not part
   * of the graph: each digest is looked up once, and what is found may have signatures of its own.
   */
  async #copySubjectTags(): Promise<void> {
    const signal = this.#signal;
    for (let depth = 0; this.#subjects.size > 0; depth++) {
      if (depth > MAX_DEPTH)
        throw new StaveError(
          "CONTENT_INVALID",
          `${this.#source.name} has signatures nested more than ${MAX_DEPTH} deep`,
        );
      const tags = [...this.#subjects].flatMap(subjectTags).filter((tag) => !this.#subjectTags.has(tag));
      this.#subjects.clear();
      for (const tag of tags) this.#subjectTags.add(tag);
      const copy = async (tag: string): Promise<void> => {
        const there = await this.#from(() => this.#source.headManifest(tag, { signal }));
        if (there !== undefined) await this.#root(await this.#fetch(there.digest), tag);
      };
      await forEachLimit(tags, MANIFEST_CONCURRENCY, copy, signal);
    }
  }

  /** What this instance has copied so far. */
  counts(): Omit<CopyReport, "root"> {
    return structuredClone(this.#report);
  }

  #fetchRoot(reference: string): Promise<FetchedManifest> {
    const signal = this.#signal;
    return this.#from(() => fetchPlatform(this.#source, reference, this.#options.platform, { signal }));
  }

  /** True if the tag and everything below it are in place: one request answers for the whole image. */
  async #isTagged(root: Descriptor, tag: string | undefined): Promise<boolean> {
    if (!this.#destination.keepsClosure) return false;
    const signal = this.#signal;
    const there = await this.#to(() => this.#destination.headManifest(tag ?? root.digest, { signal }));
    return there?.digest === root.digest;
  }

  #node(descriptor: Descriptor, depth: number, fetched?: FetchedManifest): Promise<void> {
    const started = this.#started.get(descriptor.digest);
    if (started) return started;
    const work = isAnyManifest(descriptor) ? this.#manifest(descriptor, depth, fetched) : this.#blob(descriptor);
    this.#started.set(descriptor.digest, work);
    return work.catch((error: unknown) => {
      if (!this.#options.keepGoing) this.#stop.end(error);
      throw error;
    });
  }

  async #manifest(descriptor: Descriptor, depth: number, known?: FetchedManifest): Promise<void> {
    if (depth > MAX_DEPTH)
      throw new StaveError("CONTENT_INVALID", `${descriptor.digest} is in indexes nested more than ${MAX_DEPTH} deep`);
    const signal = this.#signal;
    const there = await this.#manifestLimit.run(
      () => this.#to(() => this.#destination.headManifest(descriptor.digest, { signal })),
      { signal },
    );
    const isWhole = there !== undefined && this.#destination.keepsClosure;
    if (isWhole && !this.#options.referrers) return this.#skipped(descriptor);
    const fetched = known ?? (await this.#fetch(descriptor.digest));
    await this.#copyChildren(this.#parse(fetched), descriptor, depth, isWhole);
    if (there === undefined) await this.#write(fetched, undefined);
    else this.#skipped(descriptor);
    if (this.#options.referrers) await this.#copyReferrers(descriptor, depth);
  }

  /**
   * Copies the children of a document. If it is already complete at the destination, only manifests matter, for their
   * referrers.
   */
  async #copyChildren(document: ManifestDocument, parent: Descriptor, depth: number, isThere: boolean): Promise<void> {
    const { select } = this.#options;
    const children = successors(document).filter(
      (child) => (!isThere || isAnyManifest(child)) && (select?.(child, parent) ?? true),
    );
    // All children may start at once: the inner limits bound the actual work, and a nested index cannot block itself by
    // holding a slot while it waits for its children.
    await forEachLimit(children, Number.POSITIVE_INFINITY, (child) => this.#node(child, depth + 1), this.#signal);
  }

  async #copyReferrers(subject: Descriptor, depth: number): Promise<void> {
    const signal = this.#signal;
    this.#subjects.add(subject.digest);
    const referrers = await this.#from(() => this.#source.referrers(subject.digest, { signal }));
    const copy = async (referrer: Descriptor) => {
      const fetched = await this.#fetch(referrer.digest);
      // A list of referrers is only a claim, and a false one could lead back to its own subject forever; the digest
      // inside the manifest cannot.
      if (this.#parse(fetched).value.subject?.digest === subject.digest)
        return await this.#node(fetched.descriptor, depth + 1, fetched);
      const text = `${referrer.digest} is listed as a referrer of ${subject.digest} but does not name it; left out`;
      return this.#progress({ type: "warning", text });
    };
    await forEachLimit(referrers, MANIFEST_CONCURRENCY, copy, signal);
  }

  #fetch(digest: Digest): Promise<FetchedManifest> {
    const signal = this.#signal;
    return this.#manifestLimit.run(() => this.#from(() => this.#source.fetchManifest(digest, { signal })), { signal });
  }

  async #write(fetched: FetchedManifest, tag: string | undefined): Promise<void> {
    const { descriptor, bytes } = fetched;
    const signal = this.#signal;
    await this.#manifestLimit.run(
      () => this.#to(() => this.#destination.pushManifest(bytes, descriptor.mediaType, { tag, signal })),
      { signal },
    );
    this.#report.manifests.copied++;
    this.#report.bytes += descriptor.size;
    const label = tag === undefined ? short(descriptor) : `${short(descriptor)} as ${tag}`;
    this.#progress({ type: "done", id: descriptor.digest, label, outcome: "copied", size: descriptor.size });
  }

  #skipped(descriptor: Descriptor): void {
    this.#report.manifests.skipped++;
    const { digest, size } = descriptor;
    this.#progress({ type: "done", id: digest, label: short(descriptor), outcome: "skipped", size });
  }

  async #blob(descriptor: Descriptor): Promise<void> {
    const signal = this.#signal;
    const { digest, size } = descriptor;
    this.#progress({ type: "queued", id: digest, size });
    const release = await this.#blobLimit.acquire({ signal });
    const label = short(descriptor);
    try {
      // A foreign layer lives at its own URLs; it is copied only if the source holds it.
      if (
        isForeignLayer(descriptor.mediaType) &&
        !(await this.#from(() => this.#source.hasBlob(descriptor, { signal })))
      ) {
        this.#report.blobs.skipped++;
        return this.#progress({ type: "done", id: digest, label, outcome: "skipped", size });
      }
      this.#progress({ type: "start", id: digest, label, size });
      const outcome = await transferBlob(this.#source, this.#destination, descriptor, {
        signal,
        mountFrom: [...mountsBetween(this.#source, this.#destination), ...(this.#options.mountFrom ?? [])],
        onBytes: (count) => this.#progress({ type: "bytes", id: digest, count }),
        onError: sided,
      });
      const counted = ({ pushed: "copied", mounted: "mounted", present: "skipped" } as const)[outcome];
      this.#report.blobs[counted]++;
      if (outcome === "pushed") this.#report.bytes += size;
      this.#progress({ type: "done", id: digest, label, outcome: counted, size });
    } catch (error) {
      this.#progress({ type: "done", id: digest, label, outcome: "failed", size });
      throw error;
    } finally {
      release();
    }
  }

  #parse(fetched: FetchedManifest): ManifestDocument {
    return parseFetched(fetched, this.#source.name);
  }

  #from<T>(work: () => Promise<T>): Promise<T> {
    return onSide("source", work);
  }

  #to<T>(work: () => Promise<T>): Promise<T> {
    return onSide("destination", work);
  }
}

function isAnyManifest({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/** The tags that cosign gives to what belongs to a digest; for a long digest none is valid. */
function subjectTags(digest: Digest): string[] {
  return SUBJECT_TAGS.map((kind) => `${algorithmOf(digest)}-${hexOf(digest)}.${kind}`).filter(isTag);
}

async function onSide<T>(side: Side, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw sided(error, side);
  }
}

/** Sets the failed side, unless a deeper layer already did. */
function sided(error: unknown, side: Side): unknown {
  if (!isStaveError(error) || error.side !== undefined) return error;
  const more: StaveErrorOptions = { side };
  return error.with(more);
}

const KINDS: [test: (mediaType: string) => boolean, name: string][] = [
  [isIndexType, "index"],
  [isManifestType, "manifest"],
  [(type) => /config|container\.image\.v1/.test(type), "config"],
  [() => true, "blob"],
];

/** A short name for progress: the kind and the first 12 hex digits. */
function short(descriptor: Descriptor): string {
  const kind = KINDS.find(([test]) => test(descriptor.mediaType))?.[1] ?? "blob";
  return `${kind} ${descriptor.digest.slice(descriptor.digest.indexOf(":") + 1).slice(0, 12)}`;
}

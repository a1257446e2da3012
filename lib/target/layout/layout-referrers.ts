// Finds the referrers in a layout. Any tool may have written the manifests, so each listed one is looked at once; index
// entries that stave wrote for referrers name the subject already.
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { type ManifestDocument, mayHaveSubject, parseManifest } from "../../oci/manifest.ts";
import { referrerEntry } from "../../oci/referrer.ts";
import { Turns } from "../../util/turns.ts";
import { type FetchedManifest, MANIFEST_LIMIT, type OperationOptions } from "../target.ts";
import type { LayoutBlobs } from "./layout-blobs.ts";
import type { LayoutEntries } from "./layout-entries.ts";

/** stave's own annotation in index.json, with the subject of a referrer. */
export const SUBJECT_ANNOTATION = "dev.stave.subject";

/** A manifest that may refer to another one; its own list entry once it was read. */
interface Claim {
  readonly listed: Descriptor;
  entry: Descriptor | undefined;
}

/** What the manifests of one layout refer to. A digest guarantees that a manifest never changes. */
export class LayoutReferrers {
  readonly #blobs: LayoutBlobs;
  readonly #fetch: (digest: Digest) => Promise<FetchedManifest>;
  readonly #known = new Set<Digest>();
  readonly #claims = new Map<Digest, Map<Digest, Claim>>();
  /** The state of the index of which every manifest is known. */
  #examined: { readonly entries: LayoutEntries; readonly revision: number } | undefined;

  constructor(blobs: LayoutBlobs, fetch: (digest: Digest) => Promise<FetchedManifest>) {
    this.#blobs = blobs;
    this.#fetch = fetch;
  }

  /** Notes what a manifest refers to that was just read or written. */
  remember(descriptor: Descriptor, value: ManifestDocument["value"]): void {
    this.#known.add(descriptor.digest);
    if (value.subject !== undefined)
      this.#claim(value.subject.digest, descriptor).entry = referrerEntry(descriptor, value);
  }

  /** The listed manifests, and those of `others`, that refer to a digest. */
  async of(
    digest: Digest,
    entries: LayoutEntries,
    others: readonly Descriptor[],
    { signal }: OperationOptions,
  ): Promise<Descriptor[]> {
    const { revision } = entries;
    if (this.#examined?.entries !== entries || this.#examined.revision !== revision) {
      const isComplete = await this.#examine(entries.manifests(), signal);
      if (isComplete) this.#examined = { entries, revision };
    }
    if (others.length > 0) await this.#examine(others, signal);
    const found: Descriptor[] = [];
    const alsoListed = new Set(others.map((other) => other.digest));
    for (const [one, claim] of this.#claims.get(digest) ?? []) {
      signal?.throwIfAborted();
      if (entries.byDigest(one) === undefined && !alsoListed.has(one)) continue;
      const entry = claim.entry ?? (await this.#read(digest, claim));
      if (entry !== undefined) found.push(entry);
    }
    return found;
  }

  #claim(subject: Digest, listed: Descriptor): Claim {
    const claims = this.#claims.get(subject) ?? new Map<Digest, Claim>();
    this.#claims.set(subject, claims);
    const claim = claims.get(listed.digest) ?? { listed, entry: undefined };
    claims.set(listed.digest, claim);
    return claim;
  }

  /** Finds out which manifests refer to others. False if one could not be read, which may be there the next time. */
  async #examine(listed: readonly Descriptor[], signal: AbortSignal | undefined): Promise<boolean> {
    let isComplete = true;
    const turns = new Turns();
    for (const one of listed) {
      if (this.#known.has(one.digest)) continue;
      const subject = one.annotations?.[SUBJECT_ANNOTATION];
      if (subject !== undefined && isDigest(subject)) {
        this.#claim(subject, one);
        this.#known.add(one.digest);
      } else isComplete = (await this.#look(one)) && isComplete;
      await turns.next(signal);
    }
    return isComplete;
  }

  /** Most manifests are of images, whose text alone shows that they refer to nothing. */
  async #look(listed: Descriptor): Promise<boolean> {
    const { digest, size } = listed;
    try {
      const bytes = this.#blobs.readNow(digest, MANIFEST_LIMIT);
      if (bytes.byteLength !== size) return false;
      if (mayHaveSubject(bytes)) {
        const { subject } = parseManifest(bytes, listed.mediaType, `manifest ${digest}`).value;
        if (subject !== undefined) this.#claim(subject.digest, listed);
      }
      this.#known.add(digest);
      return true;
    } catch (error) {
      if (error instanceof StaveError) return false;
      throw error;
    }
  }

  /** The list entry of a referrer; undefined if its manifest cannot be read, or refers to something else. */
  async #read(subject: Digest, claim: Claim): Promise<Descriptor | undefined> {
    const { digest } = claim.listed;
    try {
      const { bytes, descriptor } = await this.#fetch(digest);
      const { value } = parseManifest(bytes, descriptor.mediaType, `manifest ${digest}`);
      if (value.subject?.digest === subject) claim.entry = referrerEntry(descriptor, value);
      else this.#claims.get(subject)?.delete(digest);
      return claim.entry;
    } catch (error) {
      if (error instanceof StaveError) return undefined;
      throw error;
    }
  }
}

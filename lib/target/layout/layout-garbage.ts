// Finds what nothing in a layout directory refers to; removing it is up to the caller.
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isStaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { successors } from "../../oci/manifest.ts";
import { isIndexType, isManifestType } from "../../oci/mediatype.ts";
import { parseFetched } from "../choose-platform.ts";
import type { LayoutTarget } from "./layout.ts";
import { tagOf } from "./layout-entries.ts";

/** What counts as garbage. */
export interface GarbageOptions {
  /** Only blobs unchanged since this time, in milliseconds since the epoch, because others may be pushing now. */
  readonly before: number;
  /** Manifests about to be removed: they keep nothing alive. */
  readonly gone?: ReadonlySet<Digest> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A blob or manifest that nothing refers to. */
export interface Garbage {
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Finds the blobs that no listed manifest reaches through indexes, configs, layers and referrers. Throws
 * CONTENT_INVALID, MEDIA_TYPE or DIGEST_MISMATCH for an unreadable manifest, because what it refers to is unknown.
 */
export async function findGarbage(layout: LayoutTarget, options: GarbageOptions): Promise<Garbage[]> {
  const { before, gone = new Set(), signal } = options;
  // Listed first: everything pushed from here on is newer.
  const blobs = await Array.fromAsync(oldBlobs(layout, before));
  const manifests = (await layout.index.read()).manifests();
  const reached = new Set<Digest>();
  const waiting = new Map<Digest, Descriptor[]>();
  const visit = async (root: Descriptor): Promise<void> => {
    const stack = [root];
    for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
      signal?.throwIfAborted();
      if (reached.has(entry.digest)) continue;
      reached.add(entry.digest);
      // A referrer of something reachable is reachable.
      stack.push(...(waiting.get(entry.digest) ?? []));
      if (isManifestType(entry.mediaType) || isIndexType(entry.mediaType))
        stack.push(...(await childrenOf(layout, entry)));
    }
  };
  const roots: Descriptor[] = [];
  for (const entry of manifests) {
    if (gone.has(entry.digest)) continue;
    const subject = tagOf(entry) === undefined ? await subjectOf(layout, entry) : undefined;
    if (subject === undefined) roots.push(entry);
    else waiting.set(subject, [...(waiting.get(subject) ?? []), entry]);
  }
  for (const root of roots) await visit(root);
  return blobs.filter(({ digest }) => !reached.has(digest));
}

async function* oldBlobs(layout: LayoutTarget, before: number): AsyncIterable<Garbage> {
  for (const algorithm of ["sha256", "sha512"]) {
    const folder = join(layout.index.directory, "blobs", algorithm);
    for (const name of await readdir(folder).catch(() => [])) {
      const digest = `${algorithm}:${name}`;
      const stats = await lstat(join(folder, name)).catch(() => undefined);
      // ctime, because linking and touching count as use.
      if (isDigest(digest) && stats?.isFile() && stats.ctimeMs < before) yield { digest, size: stats.size };
    }
  }
}

async function childrenOf(layout: LayoutTarget, entry: Descriptor): Promise<Descriptor[]> {
  const document = await readManifest(layout, entry);
  return document === undefined ? [] : successors(document);
}

async function subjectOf(layout: LayoutTarget, entry: Descriptor): Promise<Digest | undefined> {
  return (await readManifest(layout, entry))?.value.subject?.digest;
}

// A manifest that is listed but missing refers to nothing.
async function readManifest(layout: LayoutTarget, { digest }: Descriptor) {
  try {
    return parseFetched(await layout.fetchManifest(digest), layout.name);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

// Checks whether an archive can be relocated to an install root, by doing it in a temporary folder: only its content
// can tell.
import { mkdtemp } from "node:fs/promises";
import { basename, join } from "node:path";
import type { CachedSpec, ReadCache } from "../../cache/cache.ts";
import { fileError, isStaveError, type StaveError } from "../../errors.ts";
import { checkArchivedSpec } from "../../relocate/place/place.ts";
import { readBuildInfo } from "../../relocate/prefix/build-info-reader.ts";
import { type Destination, prefixMapFor } from "../../relocate/prefix/new-prefixes.ts";
import { relocateTree } from "../../relocate/tree/relocate-tree.ts";
import { compressionOf, unpackArchive } from "../../relocate/unpack/unpack.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { BlobFetcher, OperationOptions } from "../../target/target.ts";
import { bytesOfText } from "../../util/byte-string.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { removeTree } from "../../util/remove-tree.ts";

/** The target root and the tools of a trial. */
export interface TryRelocationOptions extends OperationOptions {
  readonly at: Destination;
  /** An existing folder for temporary files. */
  readonly scratch: string;
  /** The path of `patchelf`. */
  readonly patchelf: string | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

/** Why an archive cannot be relocated. */
export interface Unrelocatable {
  readonly error: StaveError;
  /** A new prefix is longer than the old one. */
  readonly isLonger: boolean;
}

/**
 * Unpacks the archive of a spec into a temporary folder and relocates it. Returns what cannot be changed, or undefined
 * if everything can. Throws what reading and unpacking the archive throw.
 */
export async function tryRelocation(
  cache: ReadCache,
  image: CachedSpec,
  options: TryRelocationOptions,
): Promise<Unrelocatable | undefined> {
  return await withRefetch(cache.blobsOf(image), (from) => tryOnce(from, image, options));
}

async function tryOnce(
  from: BlobFetcher,
  { archive, diffId, document }: CachedSpec,
  options: TryRelocationOptions,
): Promise<Unrelocatable | undefined> {
  const { at, scratch, patchelf, signal, onProgress = noProgress } = options;
  const { root } = document;
  const { hash } = root;
  const name = shortName(root);
  const { digest: id, size } = archive;
  const folder = await mkdtemp(join(scratch, "stave-")).catch((cause: unknown) => {
    throw fileError(cause, "write", scratch);
  });
  onProgress({ type: "queued", id, size });
  onProgress({ type: "start", id, label: name, size });
  let outcome: "copied" | "failed" = "failed";
  let isLonger = false;
  try {
    // The last file lists which files to relocate, so the whole archive is needed.
    const { directory } = await unpackArchive(await from.fetchBlob(archive, { signal }), folder, {
      compression: compressionOf(archive.mediaType),
      diffId,
      signal,
      onTaken: ({ byteLength: count }) => onProgress({ type: "bytes", id, count }),
    });
    outcome = "copied";
    checkArchivedSpec(directory, { hash, name });
    const info = readBuildInfo(directory);
    const map = prefixMapFor(info, root, at);
    isLonger = map.pairs.some((pair) => pair.new.length > pair.old.length);
    await relocateTree(directory, { map, files: info.files, dryRun: true, findPatchelf: () => patchelf, signal });
    return undefined;
  } catch (error) {
    if (isStaveError(error, "RELOCATION_FAILED")) return { error, isLonger };
    throw error;
  } finally {
    onProgress({ type: "done", id, label: name, outcome, size });
    using tree = new HeldTree(scratch);
    await removeTree(tree, bytesOfText(basename(folder)));
  }
}

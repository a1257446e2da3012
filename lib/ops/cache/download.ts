// `download`: downloads the archive and the spec file of a spec to a folder, and verifies both.
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { CachedSpec, ReadCache } from "../../cache/cache.ts";
import { fileError } from "../../errors.ts";
import { type Digest, hexOf } from "../../oci/digest.ts";
import { specDocument } from "../../spack/spec/spec-writer.ts";
import { writeJson } from "../../spack/text/json.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { OperationOptions } from "../../target/target.ts";
import { makeFolder } from "../../util/folder.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { replaceFile } from "../../util/replace-file.ts";
import type { FoundSpec } from "./find-cached.ts";

/** The report of `download`. */
export interface DownloadReport {
  cache: string;
  tag: string;
  name: string;
  version: string;
  hash: string;
  /** Absolute paths. */
  archive: string;
  specFile: string;
  /** The size of the archive. */
  digest: Digest;
  size: number;
}

/** The options of `download`. */
export interface DownloadOptions extends OperationOptions {
  readonly onProgress?: ProgressSink | undefined;
  /** Report what would be written, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Downloads the archive of a spec into `FOLDER/NAME-VERSION-HASH.spack`, and beside it `….spec.json` with the spec and
 * the archive's checksum as in Spack's URL caches. A file gets its name only once it is complete and verified. Throws
 * what reading the image throws, and FILE_SYSTEM.
 */
export async function download(
  cache: ReadCache,
  { tag, node }: FoundSpec,
  folder: string,
  options: DownloadOptions = {},
): Promise<DownloadReport> {
  const { signal, onProgress = noProgress, dryRun } = options;
  const image = await cache.fetchSpec(tag, { node, signal });
  const { digest, size } = image.archive;
  const stem = tag.slice(0, -".spack".length);
  const [archive, specFile] = [join(folder, `${stem}.spack`), join(folder, `${stem}.spec.json`)];
  const { name, version, hash } = image.document.root;
  const report = { cache: cache.name, tag, name, version, hash, archive, specFile, digest, size };
  if (dryRun) return report;
  onProgress({ type: "queued", id: digest, size });
  onProgress({ type: "start", id: digest, label: stem, size });
  let told = 0;
  async function* counted(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    for await (const chunk of chunks) {
      told += chunk.byteLength;
      onProgress({ type: "bytes", id: digest, count: chunk.byteLength });
      yield chunk;
    }
  }
  const label = `${stem}.spack`;
  try {
    // Open the stream last: a stream that fails before it has a listener ends the process.
    await withRefetch(cache.blobsOf(image), (from) =>
      written(archive, async (file) => {
        onProgress({ type: "bytes", id: digest, count: -told });
        told = 0;
        const blob = await from.fetchBlob(image.archive, { signal });
        // Not a stream of the file: one that leaves the file open never closes, and a pipeline waits for that.
        await file.writeFile(counted(blob), { signal });
      }),
    );
    await written(specFile, (file) => file.writeFile(specText(image)));
  } catch (error) {
    onProgress({ type: "done", id: digest, label, outcome: "failed", size });
    throw error;
  }
  onProgress({ type: "done", id: digest, label, outcome: "copied", size });
  return report;
}

/** Writes a file as a whole; an archive that is lost can be downloaded again, so the disk is not waited for. */
async function written(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    makeFolder(join(path, ".."));
  } catch (error) {
    throw fileError(error, "write", path);
  }
  await replaceFile(path, { temporary: `${path}.part`, isDurable: false }, write);
}

function specText({ document, archive, layoutVersion }: CachedSpec): string {
  return writeJson({
    spec: specDocument(document.root, document.graph),
    buildcache_layout_version: layoutVersion,
    binary_cache_checksum: { hash_algorithm: "sha256", hash: hexOf(archive.digest) },
  });
}

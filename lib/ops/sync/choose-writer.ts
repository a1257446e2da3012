// How the specs of one cache get into another: images are copied as they are, archives are stored byte by byte.
import {
  type ArchiveCache,
  type CachedSpec,
  hasArchives,
  hasImages,
  type IndexedCache,
  lacks,
  type ReadCache,
} from "../../cache/cache.ts";
import { GraphCopy } from "../../copy.ts";
import { StaveError } from "../../errors.ts";
import { compressionOf } from "../../relocate/unpack/unpack.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { isObject } from "../../spack/text/json.ts";
import { transferBlob } from "../../target/refetch.ts";
import type { ProgressEvent } from "../../util/progress.ts";
import type { SpecWriter, WriterOptions, Written } from "./cache-writer.ts";
import { ImageWriter } from "./image-writer.ts";

/** The writer for two caches. Throws UNSUPPORTED if the destination cannot be written. */
export function writerFor(from: ReadCache, to: IndexedCache, options: WriterOptions): SpecWriter {
  if (hasImages(to)) {
    if (!hasImages(from)) return new ImageWriter(from, to, options);
    const { signal, onBytes, jobs: concurrency } = options;
    // Images share layers: each is the archive of one spec, and may have come with the image of another.
    const owners = new Map<string, string>();
    const sent = new Set<string>();
    const progress = (event: ProgressEvent): void => {
      if (event.type === "bytes") onBytes(owners.get(event.id) ?? event.id, event.count);
      else if (event.type === "done" && event.outcome === "copied") sent.add(event.id);
    };
    const copy = new GraphCopy(from.target, to.target, { referrers: true, concurrency, progress, signal });
    return {
      write: async ({ tag, archive, document }) => {
        owners.set(archive.digest, document.root.hash);
        await copy.copy(tag, tag);
        return { sent: sent.has(archive.digest) ? archive.size : 0 };
      },
    };
  }
  if (!hasArchives(to)) throw lacks(to, "write");
  return { write: (spec) => writeArchive(spec, from, to, options) };
}

async function writeArchive(
  spec: CachedSpec,
  from: ReadCache,
  to: ArchiveCache,
  { signal, onBytes: onSpecBytes }: WriterOptions,
): Promise<Written> {
  const { archive, document, original } = spec;
  const { root, value } = document;
  if (compressionOf(archive.mediaType) !== "gzip")
    throw new StaveError(
      "UNSUPPORTED",
      `the archive of ${shortName(root)} is not gzip, which is all that a mirror may have`,
      {
        subject: root.hash,
        hint: "push it to the mirror from its store",
      },
    );
  const onBytes = (count: number): void => onSpecBytes(root.hash, count);
  const source = from.blobsOf(spec);
  const taken = source.archive && (await to.blobs.take(source.archive, archive, { signal }));
  const outcome = taken ?? (await transferBlob(source, to.blobs, archive, { signal, onBytes }));
  await to.putSpec({ node: root, document: isObject(value) ? value : {}, archive, original }, { signal });
  return { sent: outcome === "pushed" ? archive.size : 0 };
}

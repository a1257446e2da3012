// What an image says about an archive and a mirror does not: the digest of its uncompressed bytes, the prefix of its
// spec, and the folders that decide about environment variables.
import { Transform, type TransformCallback } from "node:stream";
import * as z from "zod";
import { type Digest, Digester, digestSchema } from "../../oci/digest.ts";
import { TarReader } from "../../relocate/unpack/tar-reader.ts";
import { type ByteString, pythonText } from "../../util/byte-string.ts";
import { Decompressor } from "../../util/decompress.ts";
import type { DiskCache } from "../../util/disk-cache.ts";

/** What an archive says about itself. */
export interface ArchiveFacts {
  readonly diffId: Digest;
  /** The absolute path of the prefix; undefined if the archive does not start at the root, as those of layout 1. */
  readonly prefix: string | undefined;
  /** The absolute paths of folders near the top of the prefix. */
  readonly folders: ReadonlySet<string>;
}

/** Variables follow from folders such as `share/pkgconfig`, none of which is deeper. */
const DEEPEST = 3;
const METADATA = "/.spack/binary_distribution";

const KIND = "archive-facts";
const factsSchema = z.object({
  diffId: digestSchema,
  prefix: z.string().optional(),
  folders: z.array(z.string()).transform((all) => new Set(all)),
});

/** Remembers the facts of archives between runs, by the digest of the compressed archive. */
export class ArchiveFactsMemory {
  readonly #cache: DiskCache;

  constructor(cache: DiskCache) {
    this.#cache = cache;
  }

  /** The facts of an archive that was read before. */
  recall(archive: Digest): ArchiveFacts | undefined {
    const bytes = this.#cache.get(KIND, archive);
    try {
      if (bytes === undefined) return undefined;
      const { diffId, prefix, folders } = factsSchema.parse(JSON.parse(bytes.toString()));
      return { diffId, prefix, folders };
    } catch {
      return undefined;
    }
  }

  /** Remembers the facts of an archive, whose content was verified. */
  remember(archive: Digest, { folders, ...facts }: ArchiveFacts): void {
    this.#cache.set(KIND, archive, Buffer.from(JSON.stringify({ ...facts, folders: [...folders] })));
  }
}

/** Passes the bytes of a compressed archive through, and reads it on the way; `facts` is known at the end. */
export function readingFacts(): { readonly stream: Transform; facts(): ArchiveFacts | undefined } {
  const digester = new Digester();
  const directories: ByteString[] = [];
  let metadata: ByteString | undefined;
  let facts: ArchiveFacts | undefined;
  const reader = new TarReader({
    member: ({ type, name }) => {
      if (type === "directory") directories.push(name);
      // The shortest one is that of the spec itself.
      else if (name.endsWith(METADATA) && name.length < (metadata?.length ?? Number.POSITIVE_INFINITY)) metadata = name;
    },
    content: () => {},
    contentEnd: () => {},
  });
  const decompressor = new Decompressor(
    "gzip",
    (bytes) => {
      digester.update(bytes);
      reader.push(bytes);
    },
    "the archive",
  );
  const end = (): ArchiveFacts => {
    reader.end();
    const root = metadata?.slice(0, -METADATA.length);
    const levels = root?.split("/").length ?? 0;
    const isNear = (name: ByteString): boolean =>
      name === root ||
      (root !== undefined && name.startsWith(`${root}/`) && name.split("/").length - levels <= DEEPEST);
    const path = (name: ByteString): string => `/${pythonText(name)}`;
    return {
      diffId: digester.digest(),
      prefix: root === undefined || !root.includes("/") ? undefined : path(root),
      folders: new Set(directories.filter(isNear).map(path)),
    };
  };
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      decompressor.write(chunk).then(
        () => done(null, chunk),
        (error: Error) => done(error),
      );
    },
    flush(done: TransformCallback) {
      decompressor.end().then(
        () => {
          facts = end();
          done();
        },
        (error: Error) => done(error),
      );
    },
    destroy(error, done) {
      decompressor[Symbol.dispose]();
      done(error);
    },
  });
  return { stream, facts: () => facts };
}

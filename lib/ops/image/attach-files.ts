// `attach`: stores files as an artifact that refers to an image (OCI image-spec 1.1, "Guidelines for Artifact Usage").
import { constants, createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { fileError, StaveError } from "../../errors.ts";
import { artifactManifest, EMPTY_CONFIG } from "../../oci/artifact.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, Digester } from "../../oci/digest.ts";
import { canonicalBytes, describe } from "../../oci/manifest.ts";
import { OCI_EMPTY, OCI_MANIFEST } from "../../oci/mediatype.ts";
import type { OperationOptions, Target } from "../../target/target.ts";
import { bytesSource, type Source } from "../../util/stream.ts";

/** A file to attach: its content, and how it is named and typed in the artifact. */
export interface AttachedFile {
  readonly source: Source;
  readonly descriptor: Descriptor;
}

/** A file on disk as one to attach; it is named after the file. Throws FILE_SYSTEM for anything but a regular file. */
export async function fileToAttach(path: string, mediaType: string): Promise<AttachedFile> {
  const digester = new Digester();
  try {
    // A FIFO must not block.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile())
        throw new StaveError("FILE_SYSTEM", `${path} is not a regular file`, { subject: path });
      for await (const chunk of handle.createReadStream({ autoClose: false })) digester.update(chunk);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw cause instanceof StaveError ? cause : fileError(cause, "read", path);
  }
  const { size } = digester;
  const annotations = { "org.opencontainers.image.title": basename(path) };
  return {
    // A file that has changed since is refused by its digest.
    source: { size, open: (offset = 0) => createReadStream(path, { start: offset }) },
    descriptor: { mediaType, digest: digester.digest(), size, annotations },
  };
}

/** What to attach. */
export interface ArtifactOptions extends OperationOptions {
  readonly artifactType: string;
  readonly files: readonly AttachedFile[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** The report of `attach`. */
export interface AttachReport {
  readonly name: string;
  readonly subject: Digest;
  readonly digest: Digest;
  readonly artifactType: string;
  readonly files: readonly Descriptor[];
}

/** Attaches files to the image that `reference` names; the same files again give the same artifact. */
export async function attachFiles(
  target: Target,
  reference: string,
  { artifactType, files, annotations, signal }: ArtifactOptions,
): Promise<AttachReport> {
  const { descriptor: subject } = await target.fetchManifest(reference, { signal });
  const config = describe(EMPTY_CONFIG, OCI_EMPTY);
  await target.pushBlob(config, bytesSource(EMPTY_CONFIG), { signal });
  for (const { descriptor, source } of files) await target.pushBlob(descriptor, source, { signal });
  const layers = files.map(({ descriptor }) => descriptor);
  const bytes = canonicalBytes(artifactManifest({ artifactType, layers, subject, annotations }));
  await target.pushReferrers([{ bytes, mediaType: OCI_MANIFEST }], { signal });
  return {
    name: target.name,
    subject: subject.digest,
    digest: describe(bytes, OCI_MANIFEST).digest,
    artifactType,
    files: layers,
  };
}

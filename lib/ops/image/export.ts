// `export`: an image as one archive, for `docker load`, `podman load` and others. Both forms hold an OCI image layout;
// that for docker also has its `manifest.json`. Blobs are written as they are, so that nothing is compressed again, and
// the size is known from the start.
import { StaveError } from "../../errors.ts";
import { BLOCK, endOfArchive, padding, tarHeader } from "../../image/archive/tar-writer.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, digestOf, hexOf } from "../../oci/digest.ts";
import { canonicalBytes } from "../../oci/manifest.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST, familyOf, layerTypeIn, OCI_INDEX } from "../../oci/mediatype.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { printable } from "../../printable/printable.ts";
import { blobSource } from "../../target/blob-source.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { bytesSource, type Source } from "../../util/stream.ts";
import { type OpenedImage, openImage } from "./image-facts.ts";

/** The form of an archive. */
export type ArchiveForm = "docker-archive" | "oci-archive";

/** The report of `export`. */
export interface ExportReport {
  image: string;
  /** Of the manifest in the archive: that of the image, unless it got Docker's media types. */
  digest: Digest;
  platform: string;
  format: ArchiveForm;
  /** The name under which the image is loaded. */
  name: string;
  layers: number;
  /** The size of the archive in bytes. */
  size: number;
}

/** The options of `export`. */
export interface ExportOptions extends OperationOptions {
  readonly format: ArchiveForm;
  /** The name of the image in the archive: `HOST/REPO:TAG`. */
  readonly name: string;
  readonly platform: Platform;
  /** Write the manifest with Docker's media types, for programs that do not know OCI's; it loses its annotations. */
  readonly dockerMediaTypes?: boolean | undefined;
  readonly progress?: ProgressSink | undefined;
}

/** An archive that has not been written. */
export interface ImageArchive {
  readonly report: ExportReport;
  /** Its bytes, once. The blobs are verified: after an error, what was written is no archive. */
  chunks(): AsyncIterable<Uint8Array>;
}

/** Opens an image for export. Throws MEDIA_TYPE for artifacts, UNSUPPORTED for layers that docker cannot load. */
export async function exportImage(
  target: ReadTarget,
  reference: string,
  options: ExportOptions,
): Promise<ImageArchive> {
  const { format, name, platform, signal } = options;
  const opened = await openImage(target, reference, platform, { signal });
  const { layers, config, configDescriptor, name: image } = opened;
  const zstd = layers.find(({ mediaType }) => mediaType.endsWith("zstd"));
  if (format === "docker-archive" && zstd)
    throw new StaveError("UNSUPPORTED", `${image} has a zstd layer, which not every docker can load`, {
      subject: image,
      hint: "use `format: oci-archive`, or push the image with `compression: gzip`",
    });
  const manifest = options.dockerMediaTypes ? dockerManifest(opened) : opened.manifest;
  const { mediaType, digest, size } = manifest.descriptor;
  const entry = { mediaType, digest, size, annotations: { "io.containerd.image.name": name, [REF_NAME]: name } };
  const documents: [string, Uint8Array][] = [
    ["oci-layout", canonicalBytes({ imageLayoutVersion: "1.0.0" })],
    ["index.json", canonicalBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] })],
  ];
  const paths = layers.map((layer) => blobPath(layer.digest));
  if (format === "docker-archive")
    documents.push([
      "manifest.json",
      canonicalBytes([{ Config: blobPath(configDescriptor.digest), RepoTags: [name], Layers: paths }]),
    ]);
  documents.push([blobPath(digest), manifest.bytes]);
  const files: ArchivedFile[] = documents.map(([path, bytes]) => ({ path, source: bytesSource(bytes) }));
  // An image may name a layer twice.
  for (const blob of new Map([configDescriptor, ...layers].map((one) => [one.digest, one])).values())
    files.push({ path: blobPath(blob.digest), source: blobSource(target, blob, { signal }), blob });
  // Apptainer creates no folder that has no entry of its own.
  const folders = foldersOf(files);
  const head = Buffer.concat(folders.map((path) => tarHeader({ ...NO_CONTENT, type: "directory", name: path })));
  const total = files.reduce((sum, { source }) => sum + BLOCK + source.size + padding(source.size, BLOCK), head.length);
  return {
    report: {
      image,
      digest,
      platform: formatPlatform(config),
      format,
      name,
      layers: layers.length,
      size: total + endOfArchive(total).length,
    },
    chunks: () => archiveOf({ head, files, total }, options),
  };
}

// Throws UNSUPPORTED for a layer that Docker has no type for.
function dockerManifest({ manifest, configDescriptor, layers, name }: OpenedImage): ArchivedManifest {
  if (familyOf(manifest.descriptor.mediaType) === "docker") return manifest;
  const bytes = canonicalBytes({
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: { mediaType: DOCKER_CONFIG, size: configDescriptor.size, digest: configDescriptor.digest },
    layers: layers.map(({ mediaType, size, digest }) => {
      const type = layerTypeIn("docker", mediaType);
      if (type !== undefined) return { mediaType: type, size, digest };
      throw new StaveError("UNSUPPORTED", `${name} has a layer of type ${printable(mediaType)}, which Docker has not`, {
        subject: name,
        hint: "leave out `dockerMediaTypes`, or push the image with `compression: gzip`",
      });
    }),
  });
  return { bytes, descriptor: { mediaType: DOCKER_MANIFEST, digest: digestOf(bytes), size: bytes.length } };
}

type ArchivedManifest = Pick<OpenedImage["manifest"], "descriptor"> & { readonly bytes: Uint8Array };

interface ArchivedFile {
  readonly path: string;
  readonly source: Source;
  readonly blob?: Descriptor;
}

const REF_NAME = "org.opencontainers.image.ref.name";

function blobPath(digest: Digest): string {
  return `blobs/${digest.slice(0, digest.indexOf(":"))}/${hexOf(digest)}`;
}

const NO_CONTENT = { linkName: "", executable: false, size: 0 } as const;

/** The folders above files, each once and before those in it. */
function foldersOf(files: readonly ArchivedFile[]): string[] {
  const above = files.flatMap(({ path }) => {
    const names = path.split("/");
    return names.slice(1).map((_, at) => names.slice(0, at + 1).join("/"));
  });
  return [...new Set(above)];
}

async function* archiveOf(
  { head, files, total }: { readonly head: Buffer; readonly files: readonly ArchivedFile[]; readonly total: number },
  { progress = noProgress, signal }: ExportOptions,
): AsyncIterable<Uint8Array> {
  yield head;
  for (const { blob } of files) if (blob) progress({ type: "queued", id: blob.digest, size: blob.size });
  for (const { path, source, blob } of files) {
    signal?.throwIfAborted();
    const { size } = source;
    const label = blob ? `blob ${hexOf(blob.digest).slice(0, 12)}` : path;
    const id = blob?.digest ?? path;
    if (blob) progress({ type: "start", id, label, size });
    yield tarHeader({ ...NO_CONTENT, type: "file", name: path, size });
    for await (const chunk of (await source.open()) as AsyncIterable<Uint8Array>) {
      if (blob) progress({ type: "bytes", id, count: chunk.byteLength });
      yield chunk;
    }
    yield Buffer.alloc(padding(size, BLOCK));
    if (blob) progress({ type: "done", id, label, outcome: "copied", size });
  }
  yield endOfArchive(total);
}

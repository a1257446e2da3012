// `checkRun`, `imageIndex`, `rebase`, `exportImage` and `imageSize`: what can be done with images that people run.
import { resolve } from "node:path";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { hostArchitecture, type Platform, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { type CandidateBase, type CheckRunReport, checkRun as checkImage } from "../../ops/image/check-run.ts";
import { type ExportReport, exportImage as openArchive } from "../../ops/image/export.ts";
import { type AddedImage, addToIndex, type ImageIndexReport } from "../../ops/image/image-index.ts";
import { type SizeReport, imageSize as sizeOf } from "../../ops/image/size.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import { type RebaseReport, rebase as rebaseImage } from "../../ops/push/rebase.ts";
import type { ReadTarget } from "../../target/target.ts";
import { writeOutput } from "../../util/write-output.ts";
import { diskCache } from "../machine/cache-folder.ts";
import { type Connection, referenceOf } from "../places/connection.ts";
import { archiveName, givenName, platformImage, rebasedTag, tagToWrite, wholePlace } from "../places/image-places.ts";
import { type TrustUse, trustedReference } from "../signers/trust.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf, trustUseOf } from "./common.ts";

/** The options of functions that read one image. */
export interface ImageOptions extends CommonOptions {
  /** The platform to choose from an index, for example `linux/arm64`. Default: this machine's. */
  readonly platform?: string | undefined;
}

/** The options of `checkRun`. */
export interface CheckRunOptions extends ImageOptions {
  /** Base images to check the specs over, instead of the image's own: the smallest that fits is recommended. */
  readonly bases?: readonly string[] | undefined;
}

/** The options of `imageIndex`. */
export interface ImageIndexOptions extends CommonOptions {
  /** Maximum number of blobs in progress at once. */
  readonly jobs?: number | undefined;
}

/** The options of `rebase`. */
export interface RebaseOptions extends CommonOptions {
  /** The base that the image stands on, if it does not say so. */
  readonly from?: string | undefined;
  /** The tag to write. Default: that of the image. */
  readonly tag?: string | undefined;
  /** The platform to choose from an index; needs `tag`. */
  readonly platform?: string | undefined;
  /** Check that the programs will start. Default true. */
  readonly checkRun?: boolean | undefined;
  /** Report what would be written, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** The options of `exportImage`. */
export interface ExportImageOptions extends ImageOptions {
  /** Default: `docker-archive`. */
  readonly format?: "docker-archive" | "oci-archive" | undefined;
  /** The name under which it is loaded. Default: that of the image. */
  readonly name?: string | undefined;
  /** Write the manifest with Docker's media types, for programs that do not know OCI's. Default false. */
  readonly dockerMediaTypes?: boolean | undefined;
}

const PLATFORM = { platform: "string" } as const;

function platformOf(text: string | undefined): Platform {
  return parsePlatform(text ?? `linux/${hostArchitecture(process.arch)}`);
}

// A base that the trust policy lets pass.
async function baseSource(connection: Connection, name: string, use: TrustUse): Promise<BaseSource> {
  const location = parseLocation(name);
  const target = await connection.read(location);
  const named = await referenceOf(location, target, use.around.signal);
  return { name, target, reference: await trustedReference(location, target, named, use) };
}

/** Checks whether the programs of an image will start, as `stave check-run` does. */
export async function checkRun(image: string, options: CheckRunOptions = {}): Promise<CheckRunReport> {
  checkText("checkRun: the image", image);
  checkOptions("checkRun", options, { ...COMMON, ...PLATFORM, bases: "strings" });
  const { bases: names = [], signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const platform = platformOf(options.platform);
  const location = parseLocation(image);
  const around = surroundingsOf(options);
  await using connection = await connect(options, { around, places: [location, ...names.map(parseLocation)] });
  const target = await connection.read(location);
  const bases: CandidateBase[] = [];
  const use = trustUseOf(options, around, connection.transport);
  for (const name of names) bases.push(await baseSource(connection, name, use));
  const memory = new FactsMemory(diskCache(around));
  const reference = await referenceOf(location, target, signal);
  return await checkImage(target, reference, { platform, bases, memory, progress, signal });
}

/** Measures where the bytes of an image are, as `stave size` does. */
export async function imageSize(image: string, options: ImageOptions = {}): Promise<SizeReport> {
  checkText("imageSize: the image", image);
  checkOptions("imageSize", options, { ...COMMON, ...PLATFORM });
  const { signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const platform = platformOf(options.platform);
  const location = parseLocation(image);
  const around = surroundingsOf(options);
  await using connection = await connect(options, { around, places: [location] });
  const target = await connection.read(location);
  const memory = new FactsMemory(diskCache(around));
  return await sizeOf(target, await referenceOf(location, target, signal), { platform, memory, progress, signal });
}

/** Puts images of several platforms under one tag, as `stave image-index` does: each `REF` or `PLATFORM=REF`. */
export async function imageIndex(
  image: string,
  images: readonly string[],
  options: ImageIndexOptions = {},
): Promise<ImageIndexReport> {
  checkText("imageIndex: the image", image);
  for (const text of images) checkText("imageIndex: an image", text);
  checkOptions("imageIndex", options, { ...COMMON, jobs: "count" });
  const { jobs: concurrency, signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const location = parseLocation(image);
  const tag = tagToWrite(location);
  const wanted = images.map(platformImage);
  const places = [location, ...wanted.map(({ place }) => place)];
  const around = surroundingsOf(options);
  await using connection = await connect(options, { around, places });
  const use = trustUseOf(options, around, connection.transport);
  const target = await connection.write(location);
  const added: AddedImage[] = [];
  for (const { place, platform } of wanted) {
    const isHere = wholePlace(place) === wholePlace(location);
    const from: ReadTarget = isHere ? target : await connection.read(place);
    const named = await referenceOf(place, from, signal);
    const reference = isHere ? named : await trustedReference(place, from, named, use);
    added.push({ target: from, reference, platform });
  }
  return await addToIndex(target, tag, added, { progress, concurrency, signal });
}

/** Puts an image onto another base, as `stave rebase` does. */
export async function rebase(image: string, onto: string, options: RebaseOptions = {}): Promise<RebaseReport> {
  checkText("rebase: the image", image);
  checkText("rebase: the base", onto);
  checkOptions("rebase", options, {
    ...{ ...COMMON, ...PLATFORM, from: "string", tag: "string", checkRun: "boolean", dryRun: "boolean" },
  });
  const { from, tag, platform, checkRun: isChecked, dryRun, signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const location = parseLocation(image);
  const around = surroundingsOf(options);
  const others = [onto, ...(from === undefined ? [] : [from])].map(parseLocation);
  await using connection = await connect(options, { around, places: [location, ...others] });
  const use = trustUseOf(options, around, connection.transport);
  const base = await baseSource(connection, onto, use);
  const target = dryRun ? await connection.change(location) : await connection.write(location);
  const reference = await referenceOf(location, target, signal);
  return await rebaseImage(target, reference, {
    onto: base,
    from: from === undefined ? undefined : await baseSource(connection, from, use),
    tag: rebasedTag({ tag, platform }, reference),
    platform: platform === undefined ? undefined : parsePlatform(platform),
    ...{ checkRun: isChecked, dryRun, memory: new FactsMemory(diskCache(around)), progress, signal },
  });
}

/** Writes an image to a file as an archive for docker, podman or Apptainer, as `stave export` does. */
export async function exportImage(
  image: string,
  file: string,
  options: ExportImageOptions = {},
): Promise<ExportReport> {
  checkText("exportImage: the image", image);
  checkText("exportImage: the file", file);
  checkOptions("exportImage", options, {
    ...{ ...COMMON, ...PLATFORM, format: ["docker-archive", "oci-archive"], name: "string" },
    dockerMediaTypes: "boolean",
  });
  const { format = "docker-archive", name, dockerMediaTypes, signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const location = parseLocation(image);
  const around = surroundingsOf(options);
  await using connection = await connect(options, { around, places: [location] });
  const target = await connection.read(location);
  const reference = await referenceOf(location, target, signal);
  const archive = await openArchive(target, reference, {
    format,
    dockerMediaTypes,
    name: name === undefined ? archiveName(location, reference) : givenName(name),
    platform: platformOf(options.platform),
    ...{ progress, signal },
  });
  await writeOutput(resolve(around.cwd, file), archive.chunks(), signal);
  return archive.report;
}

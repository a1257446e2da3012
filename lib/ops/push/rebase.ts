// `rebase`: puts a pushed image onto another base without touching the layers of its specs.
import { isStaveError, StaveError } from "../../errors.ts";
import { type BaseImage, readBaseImage } from "../../image/base-image-reader.ts";
import { type BaseRecord, baseRecordIn } from "../../image/base-record.ts";
import { rebaseImage } from "../../image/rebase-image.ts";
import type { FactsMemory } from "../../loader/facts-memory.ts";
import type { Finding } from "../../loader/finding.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Config, configSchema, type Manifest, parseBySchema } from "../../oci/manifest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { imageName } from "../../oci/reference.ts";
import { fetchFromIndex, fetchPlatform, parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import type { FetchedManifest, OperationOptions, ReadTarget, Target } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { bytesSource } from "../../util/stream.ts";
import { verdict } from "../image/check-run.ts";
import { describeLayers, fetchImageConfig, readLayers } from "../image/image-facts.ts";
import { BaseImages, type BaseSource } from "./base-image.ts";
import { startError } from "./check-over-base.ts";

/** The report of `rebase`. */
export interface RebaseReport {
  image: string;
  /** The tag that was written. */
  tag: string;
  platform: string;
  /** The digest of the image before and after. */
  from: Digest;
  to: Digest;
  /** The old base, if there was one, and the new one. */
  oldBase: Digest | undefined;
  newBase: Digest;
  /** How many layers of specs stayed. */
  layers: number;
  /** False if the image stood on the base already, or nothing was to be written. */
  isWritten: boolean;
  findings: Finding[];
}

/** The options of `rebase`. */
export interface RebaseOptions extends OperationOptions {
  readonly onto: BaseSource;
  /** The base that the image stands on, if it does not say so. */
  readonly from?: BaseSource | undefined;
  /** The tag to write; default: that of the image. */
  readonly tag: string;
  /** The platform to choose if the image is an index; then the tag must be another one. */
  readonly platform?: Platform | undefined;
  readonly checkRun?: boolean | undefined;
  readonly memory?: FactsMemory | undefined;
  readonly dryRun?: boolean | undefined;
  readonly progress?: ProgressSink | undefined;
}

/**
 * Rebases an image. The tag comes last, and only if the image has not changed meanwhile where the target can tell.
 * Throws USAGE if the old base is not known, WILL_NOT_START and LIBC_TOO_OLD if programs would not start.
 */
export async function rebase(target: Target, reference: string, options: RebaseOptions): Promise<RebaseReport> {
  const { onto, tag, signal = new AbortController().signal, progress = noProgress } = options;
  const { image, fetched, manifest, record } = await readImage(target, reference, options.platform, signal);
  const architecture = String(image.config["architecture"]);
  const bases = new BaseImages({ source: onto, progress, signal });
  const base = await bases.read(architecture);
  const old = await oldBase(target, { image, record, architecture, reference }, options, signal);
  const made = rebaseImage(image, { old, onto: base }, manifest.annotations);
  const below = old?.layers.length ?? 0;
  const findings = options.checkRun === false ? [] : await check(target, { image, base, below, made }, options);
  const error = startError(findings, onto.name);
  if (error) throw error;
  const { digest } = made.manifest.descriptor;
  const isWritten = digest !== fetched.descriptor.digest && !options.dryRun;
  if (isWritten) {
    await bases.place(architecture, target);
    await target.pushBlob(made.config.descriptor, bytesSource(made.config.bytes), { signal });
    const isSame = tag === reference && fetched.obeysConditions;
    const condition = isSame ? { digest: fetched.descriptor.digest, isObeyed: true } : undefined;
    await target.pushManifest(made.manifest.bytes, made.manifest.descriptor.mediaType, { tag, condition, signal });
  }
  return {
    image: imageName(target.name, reference),
    tag,
    platform: formatPlatform({ os: "linux", architecture }),
    from: fetched.descriptor.digest,
    to: digest,
    oldBase: old?.digest,
    newBase: base.digest,
    layers: image.layers.length - below,
    isWritten,
    findings,
  };
}

interface ReadImage {
  readonly image: BaseImage;
  readonly fetched: FetchedManifest;
  readonly manifest: Manifest;
  readonly record: BaseRecord;
}

async function readImage(
  target: ReadTarget,
  reference: string,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadImage> {
  const fetched = await fetchPlatform(target, reference, platform, { signal });
  const document = parseFetched(fetched, target.name);
  const name = imageName(target.name, reference);
  if (document.kind === "index")
    throw new StaveError("USAGE", `${name} is an index of images for several platforms`, {
      subject: name,
      hint: "rebase the image of each platform under its own tag, for example app.linux-amd64, and join them again with `stave image-index`",
    });
  const config = await fetchImageConfig(target, document.value.config, name, { signal });
  const { architecture, config: settings } = parseBySchema(config, configSchema, `the config of ${name}`);
  const { bytes, descriptor } = fetched;
  const image = readBaseImage({ name, manifest: bytes, mediaType: descriptor.mediaType, config }, architecture);
  const record = baseRecordIn(settings?.Labels, document.value.annotations);
  return { image, fetched, manifest: document.value, record };
}

// The base that the image stands on: the one that was named, or the recorded one if that is where the new one is.
// An image without base has only layers of specs. Other registries that an image names are not asked.
async function oldBase(
  target: ReadTarget,
  {
    image,
    record,
    architecture,
    reference,
  }: Pick<ReadImage, "image" | "record"> & { readonly architecture: string; readonly reference: string },
  options: RebaseOptions,
  signal: AbortSignal,
): Promise<BaseImage | undefined> {
  const { from, onto, memory, progress = noProgress } = options;
  if (from) return await new BaseImages({ source: from, progress, signal }).read(architecture);
  if (record.digest !== undefined) {
    const recorded = { name: record.name ?? onto.name, target: onto.target, reference: record.digest };
    try {
      return await new BaseImages({ source: recorded, progress, signal }).read(architecture);
    } catch (error) {
      if (!isStaveError(error, "NOT_FOUND", "DENIED", "REFERENCE_INVALID")) throw error;
    }
  } else {
    const facts = await readLayers(target, image.layers, { memory, signal });
    const opened = {
      config: parseBySchema(JSON.stringify(image.config), configSchema, "the config"),
      layers: image.layers,
    };
    if (describeLayers(opened, facts).every(({ isBase }) => !isBase)) return undefined;
  }
  const name = imageName(target.name, reference);
  const why =
    record.digest === undefined
      ? `${name} does not record the base that it stands on`
      : `the base that ${name} stands on cannot be read where the new one is: ${record.name ?? ""}@${record.digest}`;
  throw new StaveError("USAGE", why, {
    subject: name,
    hint: "name it with `from`",
  });
}

async function check(
  target: ReadTarget,
  {
    image,
    base,
    below,
    made,
  }: {
    readonly image: BaseImage;
    readonly base: BaseImage;
    readonly below: number;
    readonly made: ReturnType<typeof rebaseImage>;
  },
  { onto, memory, progress, signal }: RebaseOptions,
): Promise<Finding[]> {
  const reading = { memory, progress, signal };
  const under = await readLayers(onto.target, base.layers, reading);
  const facts = await readLayers(target, image.layers.slice(below), reading);
  const config = parseBySchema(Buffer.from(made.config.bytes), configSchema, "the new config");
  const parts = describeLayers({ config, layers: made.layers }, [...under, ...facts]);
  const placed = parts.map((part, at) => ({ ...part, isBase: at < under.length }));
  return verdict({ config }, placed, { base: onto.name, digest: base.digest, size: 0 }).findings;
}

/** An image of a repository, and the base that it says it stands on. */
export interface StandingImage {
  tag: string;
  digest: Digest;
  platform: string;
  base: string;
  baseDigest: string;
  /** The digest that the base has now. */
  currentDigest: Digest;
  isOutdated: boolean;
}

const CONCURRENCY = 8;

/** The images of a repository that say that they stand on a base: those on an older digest of it are outdated. */
export async function imagesOnBase(
  target: ReadTarget,
  onto: BaseSource & { readonly fullName: string | undefined },
  { signal }: OperationOptions = {},
): Promise<StandingImage[]> {
  const tags = await Array.fromAsync(target.tags({ signal }));
  const current = new Map<string, Promise<Digest>>();
  const now = (architecture: string): Promise<Digest> => {
    const known =
      current.get(architecture) ??
      fetchFromIndex(onto.target, onto.reference, { os: "linux", architecture }, { signal }).then(
        ({ descriptor }) => descriptor.digest,
      );
    current.set(architecture, known);
    return known;
  };
  const one = async (tag: string): Promise<StandingImage | undefined> => {
    const fetched = await target.fetchManifest(tag, { signal });
    const document = parseFetched(fetched, target.name);
    if (document.kind === "index" || !/image.*config|container\.image\.v1/.test(document.value.config.mediaType))
      return undefined;
    const config = await readConfig(target, document.value, signal);
    const { digest, name } = baseRecordIn(config?.config?.Labels, document.value.annotations);
    if (config === undefined || digest === undefined || name === undefined || name !== onto.fullName) return undefined;
    const currentDigest = await now(config.architecture);
    return {
      tag,
      digest: fetched.descriptor.digest,
      platform: formatPlatform(config),
      base: name,
      baseDigest: digest,
      currentDigest,
      isOutdated: digest !== currentDigest,
    };
  };
  // The images of specs do not say what they stand on.
  const found = await mapLimit(tags.filter((tag) => !tag.endsWith(".spack")).sort(), CONCURRENCY, one, signal);
  return found.filter((image) => image !== undefined);
}

// Undefined for one that is no config of an image: such a tag is not that of an image.
async function readConfig(
  target: ReadTarget,
  { config }: Manifest,
  signal: AbortSignal | undefined,
): Promise<Config | undefined> {
  const bytes = await fetchConfig(target, config, { signal });
  try {
    return parseBySchema(bytes, configSchema, `config ${config.digest}`);
  } catch (error) {
    if (isStaveError(error, "CONTENT_INVALID")) return undefined;
    throw error;
  }
}

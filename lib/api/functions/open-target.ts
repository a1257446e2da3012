// `openTarget`, and `copy` between two places: registries and directories. Independent of Spack.

import { resolve } from "node:path";
import { isStaveError, StaveError } from "../../errors.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { formatLocation, type Location, parseLocation } from "../../oci/reference.ts";
import { type CopyImagesReport, copyImages } from "../../ops/image/copy.ts";
import { dryTarget } from "../../target/dry-target.ts";
import { emptyTarget } from "../../target/empty-target.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import { closeAfterError } from "../../util/close-all.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { type Connection, referenceOf } from "../places/connection.ts";
import { policyPath, type TrustUse, trustedReference } from "../signers/trust.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf, trustUseOf } from "./common.ts";

/** How to open a place. */
export interface OpenTargetOptions extends CommonOptions {
  /** Create a directory that does not exist. */
  readonly create?: boolean | undefined;
}

/** An open registry repository or directory. Close it, or declare it with `await using`. */
export interface OpenTarget extends AsyncDisposable {
  readonly target: Target;
  readonly location: Location;
  /** The tag or digest that the text names, or the command line's default if it names none. */
  reference(): Promise<string>;
  close(): Promise<void>;
}

/**
 * Opens `HOST/REPO[:TAG]` or `oci-layout:DIR[:TAG]`. Throws REFERENCE_INVALID, USAGE, and NOT_FOUND for a directory
 * that does not exist.
 */
export async function openTarget(text: string, options: OpenTargetOptions = {}): Promise<OpenTarget> {
  checkText("openTarget: the place", text);
  checkOptions("openTarget", options, { ...COMMON, create: "boolean" });
  const { create, ...common } = options;
  common.signal?.throwIfAborted();
  const location = parseLocation(text);
  const connection = await connect(common, { around: surroundingsOf(common), places: [location] });
  const close = (): Promise<void> => connection.close();
  try {
    const target = create ? await connection.write(location) : await connection.change(location);
    const reference = (): Promise<string> => referenceOf(location, target, common.signal);
    return { target, location, reference, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
}

/** What to copy, and how. */
export interface CopyWish {
  /** Copy every tag; a failed tag does not stop the others. */
  readonly allTags?: boolean | undefined;
  /** With `allTags`, only the tags that match this glob. */
  readonly match?: string | undefined;
  /** Copy only the image of this platform out of an index, for example `linux/arm64`. */
  readonly platform?: string | undefined;
  /** Also copy what refers to the image: signatures, SBOMs. */
  readonly referrers?: boolean | undefined;
  /** Copy only an image that the trust policy lets pass. */
  readonly verify?: boolean | undefined;
  /** Report what would be copied, and write nothing. */
  readonly dryRun?: boolean | undefined;
  /** Maximum number of blobs in progress at once; default 4. */
  readonly jobs?: number | undefined;
}

/** The options of a copy. */
export interface CopyOptions extends CommonOptions, CopyWish {}

/** Copies an image, or every tag, as `stave copy` does. Throws the errors that `stave copy` prints. */
export async function copy(from: string, to: string, options: CopyOptions = {}): Promise<CopyImagesReport> {
  checkText("copy: the source", from);
  checkText("copy: the destination", to);
  checkOptions("copy", options, {
    ...{ ...COMMON, allTags: "boolean", match: "string", platform: "string" },
    ...{ referrers: "boolean", jobs: "count", dryRun: "boolean", verify: "boolean" },
  });
  const { signal, onProgress: progress } = options;
  signal?.throwIfAborted();
  const places = copyPlaces(from, to);
  checkCopy(places, options);
  await using connection = await connect(options, {
    around: surroundingsOf(options),
    places: [places.source, places.destination],
  });
  const use = trustUseOf(options, surroundingsOf(options), connection.transport);
  return await copyBetween(connection, places, { ...options, progress, signal, use });
}

/** The source and destination of a copy. */
export interface CopyPlaces {
  readonly source: Location;
  /** The source is an archive; its file is the `directory` of the location. */
  readonly isArchive: boolean;
  readonly destination: Location;
}

/** Parses the arguments of a copy: the source may be `docker-archive:FILE[:TAG]` or `oci-archive:FILE[:TAG]`. */
export function copyPlaces(from: string, to: string): CopyPlaces {
  if (ARCHIVE.test(to))
    throw new StaveError("UNSUPPORTED", `an archive is no destination of a copy: ${to}`, {
      hint: "use `stave export IMAGE -o FILE`",
    });
  const isArchive = ARCHIVE.test(from);
  const source = parseLocation(isArchive ? from.replace(ARCHIVE, "oci-layout:") : from);
  return { source, isArchive, destination: parseLocation(to) };
}

const ARCHIVE = /^(?:docker|oci)-archive:/;

/** Refuses an invalid copy. Throws USAGE. */
export function checkCopy({ source, destination }: CopyPlaces, { allTags, match, platform, verify }: CopyWish): void {
  if (match !== undefined && !allTags)
    throw new StaveError("USAGE", "a glob chooses among all tags", { hint: "add `allTags`" });
  if (allTags && verify)
    throw new StaveError("USAGE", "all tags cannot be verified while they are copied", {
      hint: "copy one image at a time, or check them first with `stave verify`",
    });
  refuseDigest(destination);
  if (allTags) refuseTags(source, destination);
  if (platform !== undefined) parsePlatform(platform);
}

/** Copies between two places that were checked. */
export async function copyBetween(
  connection: Connection,
  places: CopyPlaces,
  wish: CopyWish & {
    readonly progress?: ProgressSink | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly use: TrustUse;
  },
): Promise<CopyImagesReport> {
  const { source, isArchive } = places;
  if (!isArchive || source.kind !== "layout")
    return await copyFrom(connection, await connection.read(source), places, wish);
  // Most copies need no reader of archives.
  const { openArchive } = await import("../../ops/image/archive-source.ts");
  await using archive = await openArchive(resolve(wish.use.around.cwd, source.directory), source.directory);
  return await copyFrom(connection, archive, places, wish);
}

async function copyFrom(
  connection: Connection,
  from: ReadTarget,
  { source, destination }: CopyPlaces,
  wish: Parameters<typeof copyBetween>[2],
): Promise<CopyImagesReport> {
  const { allTags, match, platform, referrers, jobs, dryRun, progress, signal } = wish;
  const named = allTags ? undefined : await referenceOf(source, from, signal);
  const isVerified = wish.verify === true && named !== undefined;
  const reference = isVerified ? await requiredReference(source, from, named, wish.use) : named;
  const wanted = destination.kind === "layout" ? destination.tag : destination.reference.tag;
  return await copyImages(from, dryRun ? await dry(connection, destination) : await connection.write(destination), {
    reference,
    tag: allTags ? undefined : (wanted ?? tagIn(source, named)),
    platform: platform === undefined ? undefined : parsePlatform(platform),
    ...{ match, referrers, concurrency: jobs, progress, signal },
  });
}

async function requiredReference(source: Location, from: ReadTarget, reference: string, use: TrustUse) {
  if (policyPath(use.around, use.options) === undefined)
    throw new StaveError("CONFIG_INVALID", "there is no trust policy to verify the image by", {
      hint: "make one: `stave trust add` writes it",
    });
  return await trustedReference(source, from, reference, use);
}

// A directory that a copy would create is empty.
async function dry(connection: Connection, destination: Location): Promise<Target> {
  try {
    return dryTarget(await connection.change(destination));
  } catch (error) {
    if (destination.kind === "layout" && isStaveError(error, "NOT_FOUND"))
      return dryTarget(emptyTarget(formatLocation(destination)));
    throw error;
  }
}

/** The tag by which the source was found; undefined if it was a digest. */
function tagIn(source: Location, reference: string | undefined): string | undefined {
  const { tag } = source.kind === "layout" ? source : source.reference;
  return tag ?? (reference?.includes(":") ? undefined : reference);
}

function refuseDigest(destination: Location): void {
  const { digest } = destination.kind === "layout" ? destination : destination.reference;
  if (digest !== undefined)
    throw new StaveError("USAGE", "the destination of a copy cannot have a digest: the source determines it", {
      hint: "leave @sha256:… out of the second argument",
    });
}

function refuseTags(...locations: Location[]): void {
  for (const location of locations) {
    const { tag, digest } = location.kind === "layout" ? location : location.reference;
    if (tag !== undefined || digest !== undefined)
      throw new StaveError(
        "USAGE",
        `all tags are copied from and to whole repositories, not one image: ${formatLocation(location)}`,
        {
          hint: "leave the tag out",
        },
      );
  }
}

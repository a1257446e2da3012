// `check-run`: will the programs of an image start, over its own base or over others?
import { StaveError } from "../../errors.ts";
import type { CheckedCounts, Finding, LibcReport } from "../../loader/finding.ts";
import type { LayerFacts } from "../../loader/layer-facts.ts";
import type { ImagePart } from "../../loader/packages.ts";
import { checkStart } from "../../loader/start-check.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import type { ReadTarget } from "../../target/target.ts";
import { describeLayers, type OpenedImage, openImage, type ReadLayersOptions, readLayers } from "./image-facts.ts";

/** The result over one base. */
export interface BaseVerdict {
  /** The base as it was named; undefined for the image as it is. */
  base: string | undefined;
  digest: Digest | undefined;
  /** What the image calls itself, for example `Debian GNU/Linux 12 (bookworm)`. */
  system: string | undefined;
  libc: LibcReport | undefined;
  /** The compressed size of the layers of the base, in bytes. */
  size: number;
  /** There is no error; there may be warnings. */
  starts: boolean;
  checked: CheckedCounts;
  findings: Finding[];
}

/** The report of `check-run`. */
export interface CheckRunReport {
  image: string;
  digest: Digest;
  platform: string;
  /** In the order in which the bases were named. */
  verdicts: BaseVerdict[];
  /** The smallest of the named bases over which everything starts. */
  recommended: string | undefined;
  /** What contents cannot show. */
  limits: string;
}

/** A base to check an image over. */
export interface CandidateBase {
  readonly name: string;
  readonly target: ReadTarget;
  readonly reference: string;
}

/** The options of `check-run`. */
export interface CheckRunOptions extends ReadLayersOptions {
  /** The platform to choose from an index. */
  readonly platform: Platform;
  /** The bases to put below the specs; if there are none, the image is checked as it is. */
  readonly bases?: readonly CandidateBase[] | undefined;
}

/** What a check of contents cannot see. */
export const NOT_VISIBLE =
  "not visible in files: libraries that programs open by name while they run, NSS modules, character set converters, LD_PRELOAD, single symbols";

/**
 * Checks a pushed image. Reads only lists of files, headers of ELF files and settings of the loader, once per layer if
 * there is a memory. Throws CONTENT_INVALID for an image without specs, PLATFORM_MISMATCH for a base of another
 * architecture, and what the targets throw.
 */
export async function checkRun(
  target: ReadTarget,
  reference: string,
  options: CheckRunOptions,
): Promise<CheckRunReport> {
  const { platform, bases = [], ...reading } = options;
  const image = await openImage(target, reference, platform, reading);
  const parts = describeLayers(image, await readLayers(target, image.layers, reading));
  const own = parts.filter(({ isBase }) => !isBase);
  if (own.length === 0)
    throw new StaveError("CONTENT_INVALID", `${image.name} has no layer of a spec`, {
      subject: image.name,
      hint: "name an image that Spack or stave pushed",
    });
  const verdicts: BaseVerdict[] = [];
  for (const base of bases) verdicts.push(await overBase(image, own, base, reading));
  if (bases.length === 0) {
    const size = parts.reduce((sum, { isBase, descriptor }) => sum + (isBase ? descriptor.size : 0), 0);
    verdicts.push(verdict(image, parts, { base: undefined, digest: undefined, size }));
  }
  const fitting = verdicts.filter(({ base, starts }) => base !== undefined && starts);
  const [smallest] = fitting.toSorted((a, b) => a.size - b.size);
  return {
    image: image.name,
    digest: image.digest,
    platform: formatPlatform(image.config),
    verdicts,
    recommended: smallest?.base,
    limits: NOT_VISIBLE,
  };
}

async function overBase(
  image: OpenedImage,
  own: readonly Part[],
  { name, target, reference }: CandidateBase,
  reading: ReadLayersOptions,
): Promise<BaseVerdict> {
  const { os, architecture } = image.config;
  const base = await openImage(target, reference, { os, architecture }, reading);
  if (base.config.architecture !== architecture)
    throw new StaveError(
      "PLATFORM_MISMATCH",
      `${base.name} is for ${formatPlatform(base.config)}, expected ${os}/${architecture}`,
      { subject: base.name, hint: `name a base that has ${os}/${architecture}` },
    );
  const facts = await readLayers(target, base.layers, reading);
  const below = facts.map((layer): Part => ({ facts: layer, isBase: true, specs: [] }));
  const size = base.layers.reduce((sum, layer) => sum + layer.size, 0);
  return verdict(image, [...below, ...own], { base: name, digest: base.digest, size });
}

/** A layer of an image, read. */
export interface Part extends ImagePart {
  readonly facts: LayerFacts;
}

/** The result for layers from the bottom up, with the config of the image. */
export function verdict(
  { config }: Pick<OpenedImage, "config">,
  parts: readonly Part[],
  about: Pick<BaseVerdict, "base" | "digest" | "size">,
): BaseVerdict {
  const { findings, checked, libc, system } = checkStart({
    layers: parts.map(({ facts }) => facts),
    parts,
    env: config.config?.Env ?? [],
    architecture: config.architecture,
    settings: { level: levelOf(config.variant) },
  });
  const starts = !findings.some(({ severity }) => severity === "error");
  return { ...about, system, libc, starts, checked, findings: [...findings] };
}

// The level of x86-64 that a variant promises.
function levelOf(variant: string | undefined): number {
  return Number(/^v([2-4])$/.exec(variant ?? "")?.[1] ?? 1);
}

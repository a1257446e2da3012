// `push` and `planPush`: push installed specs to a build cache.

import { hasImages, lacks } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { parseCompression } from "../../image/pack/compression.ts";
import { LayerMemory } from "../../image/pack/layer-memory.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { parseLocation, parseTag } from "../../oci/reference.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import { type PlanOptions, PUSH_DEFAULTS, type PushChoices } from "../../ops/push/options.ts";
import { planTo, pushTo } from "../../ops/push/push-to.ts";
import type { PushPlanReport, PushReport } from "../../ops/push/report.ts";
import { parseShard } from "../../ops/push/shard.ts";
import { ciJob } from "../../ops/sign/ci-job.ts";
import { SBOM_FORMATS, type SbomFormat } from "../../sbom/bill.ts";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { closeAfterError } from "../../util/close-all.ts";
import { sourceDate } from "../../util/source-date.ts";
import { fieldsOf } from "../../util/with-defaults.ts";
import { containerBase, imageDescription, imageSettings, imageViews, spackSide } from "../from-spack/push-side.ts";
import { chosenRoots } from "../from-spack/spack-specs.ts";
import { diskCache } from "../machine/cache-folder.ts";
import { REPOSITORY, VERSION } from "../machine/stave-version.ts";
import { referenceOf } from "../places/connection.ts";
import { checkSigner, SIGNER, type SignerOptions, signerOf } from "../signers/signer-of.ts";
import { signedName, trustedReference } from "../signers/trust.ts";
import { checkCache, checkOptions, type Shape } from "./check-options.ts";
import { COMMON, type CommonOptions, connect } from "./common.ts";
import {
  type CacheArgument,
  type Opening,
  openingOf,
  openToPlan,
  openToWrite,
  SPACK,
  type SpackOptions,
  trustUse,
} from "./open-cache.ts";

/** The options of a push; none is required if the surroundings provide an environment and a cache. */
export interface PushOptions extends CommonOptions, SpackOptions, PushChoices {
  /** Installed specs: one query each, or `/hash`. Default: the roots of the environment. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
  /** The base image, `HOST/REPO:TAG` or `oci-layout:DIR:TAG`. Default for a tagged image: the one of `spack.yaml`. */
  readonly baseImage?: string | undefined;
  /** Label the tagged image with what git, the CI job and SOURCE_DATE_EPOCH say. Default true. */
  readonly standardLabels?: boolean | undefined;
  /** `gzip:LEVEL` or `zstd:LEVEL`; default `gzip:1`. */
  readonly compression?: string | undefined;
  /** Pack only the K-th of N shares of the specs, `K/N`; other jobs pack the rest. */
  readonly shard?: string | undefined;
  /** More variables for the images: `NAME=VALUE`, `NAME+=DIR`, `NAME^=DIR`. */
  readonly variables?: readonly string[] | undefined;
  /**
   * A folder of links to the files of all specs in the tagged image, and `PATH` and the like point to it; `false` for
   * none. Default: the views that `spack.yaml` declares outside the environment's folder.
   */
  readonly view?: string | false | undefined;
  /** Keep Spack's variables unchanged, with folders of this host and repeated entries. */
  readonly spackEnv?: boolean | undefined;
  /** Push to a mirror without gpg signatures. Default: sign unless the mirror is configured with `signed: false`. */
  readonly unsigned?: boolean | undefined;
  /** The gpg key for specs in a mirror. Default: the only secret key. */
  readonly gpgKey?: string | undefined;
  /** Who signs the images of the push, and the updated index. Default: no one. */
  readonly sign?: SignerOptions | undefined;
  /** Attach a bill of materials to each image; needs `sign`. */
  readonly sbom?: SbomFormat | undefined;
  /** Attach a statement of which CI job pushed the images; needs `sign`. */
  readonly provenance?: boolean | undefined;
}

const SHAPE: Shape<PushOptions> = {
  ...{ ...COMMON, ...SPACK, specs: "strings", store: "string", tags: "strings", baseImage: "string" },
  ...{
    compression: "string",
    shard: "string",
    budget: "count",
    image: "any",
    only: ["all", "package", "dependencies"],
  },
  ...{ buildDependencies: ["with", "without", "where installed"], force: "boolean", verify: "boolean" },
  ...{
    failFast: "boolean",
    allowMissing: "boolean",
    checkRun: "boolean",
    platformTag: "boolean",
    private: "boolean",
    updateIndex: "boolean",
  },
  ...{ variables: "strings", spackEnv: "boolean", spackPrefix: "string", jobs: "count", onSpec: "function" },
  ...{ unsigned: "boolean", gpgKey: "string", view: "name or false", standardLabels: "boolean" },
  ...{ sign: { fields: SIGNER }, sbom: SBOM_FORMATS, provenance: "boolean" },
};

/**
 * Pushes installed specs to a build cache. Failures are in `failures` of the report. Throws what stops the whole push.
 */
export async function push(cache?: CacheArgument, options: PushOptions = {}): Promise<PushReport> {
  const opening = checked("push", cache, options);
  await using all = await prepared(options, opening);
  const signer = options.sign && (await signerOf(options.sign, opening.around, all.transport));
  const job = options.provenance ? ciJob(opening.around.env) : undefined;
  await using opened = await openToWrite(cache, { ...opening, options: { ...options, create: true } });
  const sign = signer && { signer, cache: signedName(opened.location) };
  if (sign !== undefined && !hasImages(opened.cache)) throw lacks(opened.cache, "images");
  const attest = {
    sbom: options.sbom,
    job,
    created: sourceDate(opening.around.env),
    tool: VERSION,
    repository: REPOSITORY,
  };
  return await pushTo(opened.cache, { ...all.common, sign, attest });
}

/**
 * Reports what `push` would do with the same arguments; writes nothing. A directory that does not exist counts as an
 * empty cache.
 */
export async function planPush(cache?: CacheArgument, options: PushOptions = {}): Promise<PushPlanReport> {
  const opening = checked("planPush", cache, options);
  await using all = await prepared(options, opening);
  await using opened = await openToPlan(cache, opening);
  return await planTo(opened.cache, all.common);
}

// The options that a push takes as they are given.
const PASSED_ON = [
  ...(["only", "buildDependencies", "tags", "budget", "image", "force", "verify", "failFast", "updateIndex"] as const),
  ...(["allowMissing", "private", "jobs", "onSpec", "signal", "checkRun", "platformTag"] as const),
] as const;

function checked(name: string, cache: CacheArgument | undefined, options: PushOptions): Opening {
  if (cache !== undefined) checkCache(`${name}: the cache`, cache);
  checkOptions(name, options, SHAPE);
  options.signal?.throwIfAborted();
  for (const tag of options.tags ?? []) parseTag(tag);
  const { sign, sbom, provenance } = options;
  if (sign !== undefined) checkSigner(`${name}: sign`, sign);
  else if (sbom !== undefined || provenance)
    throw new StaveError("USAGE", `${name}: \`sbom\` and \`provenance\` need \`sign\`: attestations are signed`);
  const { unsigned, gpgKey: key } = options;
  return { ...openingOf(options, options.store), signing: { unsigned, key } };
}

/** The settings of a push without its cache. The base image stays open until they are disposed of. */
async function prepared(
  options: PushOptions,
  opening: Opening,
): Promise<
  AsyncDisposable & { readonly common: Omit<PlanOptions, "cache" | "target">; readonly transport: Transport }
> {
  const { onProgress: progress, signal, tags = [] } = options;
  const { around } = opening;
  const compression =
    options.compression === undefined ? PUSH_DEFAULTS.compression : parseCompression(options.compression);
  const shard = options.shard === undefined ? undefined : parseShard(options.shard);
  const files = opening.files();
  const container = containerBase(files, tags);
  const baseImage = options.baseImage ?? container.base;
  const location = baseImage === undefined ? undefined : parseLocation(baseImage);
  if (container.warning !== undefined) progress?.({ type: "warning", text: container.warning });
  const store = await files.store();
  const roots = await chosenRoots(files, store, options.specs ?? []);
  const settings = (): NetworkSettings => files.discovery.network;
  const connection = await connect(options, { around, places: location ? [location] : [], settings });
  try {
    let base: BaseSource | undefined;
    if (baseImage !== undefined && location) {
      const target = await connection.read(location);
      const named = await referenceOf(location, target, signal);
      const reference = await trustedReference(location, target, named, trustUse(opening, connection));
      base = { name: baseImage, target, reference };
    }
    const common = {
      ...fieldsOf(options, PASSED_ON),
      ...{ store, roots, base, compression, shard, progress, clock: around.clock },
      image: imageSettings(files, tags, options.image),
      ...spackSide(files, options),
      views: imageViews(files, { store, roots, tags }, options.view),
      ...(await imageDescription(files, around, { tags, standardLabels: options.standardLabels })),
      memory: new LayerMemory(diskCache(around), compression),
      facts: new FactsMemory(diskCache(around)),
    };
    return { common, transport: connection.transport, [Symbol.asyncDispose]: () => connection.close() };
  } catch (error) {
    await closeAfterError(() => connection.close());
    throw error;
  }
}

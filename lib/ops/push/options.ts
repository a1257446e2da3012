// The options of a push, and their defaults.
import { availableParallelism } from "node:os";
import type { ImageCache, ReadImageCache } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import type { StripTool } from "../../image/archive/strip.ts";
import type { ImageSettings } from "../../image/image-settings.ts";
import { type Compression, DEFAULT_COMPRESSION } from "../../image/pack/compression.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { FactsMemory } from "../../loader/facts-memory.ts";
import type { SbomFormat } from "../../sbom/bill.ts";
import { defaultInspections, type Inspection } from "../../spack/config/settings.ts";
import type { AskOptions } from "../../spack/environment/ask-spack.ts";
import type { RunEnvironmentOptions } from "../../spack/environment/run-environment.ts";
import type { ViewedSpec } from "../../spack/environment/view-specs.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { type Clock, systemClock } from "../../util/time.ts";
import { type Filled, withDefaults } from "../../util/with-defaults.ts";
import type { CiJob } from "../sign/ci-job.ts";
import type { SignOptions } from "../sign/sign.ts";
import type { BaseSource } from "./base-image.ts";
import type { PushedSpec } from "./report.ts";
import type { Shard } from "./shard.ts";

/** How to compute a run environment; the defaults are Spack's. */
export interface PushEnvironment extends Pick<RunEnvironmentOptions, "spackEnv" | "user"> {
  /**
   * Which folders of a prefix belong in which variables (`modules:prefix_inspections`). Default: Spack's own table for
   * the platform of the specs. `"none"` omits all of them, including CMAKE_PREFIX_PATH and PATH.
   */
  readonly inspections?: readonly Inspection[] | "none" | undefined;
}

/** What a user of a push may choose, in the library as here. */
export interface PushChoices {
  readonly only?: "all" | "package" | "dependencies" | undefined;
  /** Build-only dependencies: pushed, left out, or pushed if installed. */
  readonly buildDependencies?: "with" | "without" | "where installed" | undefined;
  /** The tags for one image of all roots. */
  readonly tags?: readonly string[] | undefined;
  /** What the tagged image does when it is run; by default as its base image does. */
  readonly image?: ImageSettings | undefined;
  /** The most layers of an image, including those of the base image. */
  readonly budget?: number | undefined;
  /** Push the image of all roots under a tag of its platform, and add it to the index of platforms under each tag. */
  readonly platformTag?: boolean | undefined;
  /** Pack and push specs that are already in the cache. */
  readonly force?: boolean | undefined;
  /** Read every existing image, and repair images that are broken or lack layers. */
  readonly verify?: boolean | undefined;
  /** Stop at the first failure, and before any push if a spec is not installed. */
  readonly failFast?: boolean | undefined;
  /** Update the cache's index afterwards. */
  readonly updateIndex?: boolean | undefined;
  /** Create the tagged image even if layers are missing. */
  readonly allowMissing?: boolean | undefined;
  /** Check before an image is tagged whether its programs will start over the base image. */
  readonly checkRun?: boolean | undefined;
  /** Also push packages that must not be redistributed. */
  readonly private?: boolean | undefined;
  /** The number of packing threads. */
  readonly jobs?: number | undefined;
  /** The directory of the Spack that owns the store, if it does not follow from the store's root. */
  readonly spackPrefix?: string | undefined;
  /** Called with each spec as soon as it is done; must not throw. */
  readonly onSpec?: ((spec: PushedSpec) => void) | undefined;
}

/** What to attest. */
export interface Attesting {
  /** The format of bills of materials. */
  readonly sbom?: SbomFormat | undefined;
  /** The job whose provenance is attested. */
  readonly job?: CiJob | undefined;
  /** The time of bills of materials in milliseconds; by default that of the last installation. */
  readonly created?: number | undefined;
  /** The version of stave. */
  readonly tool: string;
  /** The address of stave's repository, under which its own types are named; undefined if it has no public one. */
  readonly repository?: string | undefined;
}

/** A view of a tagged image: a folder of links to the files of some of its specs. */
export interface ImageView {
  /** Its absolute path in the image. */
  readonly path: string;
  /** In order of precedence. */
  readonly specs: readonly ViewedSpec[];
}

/** The options of a push; a plan only needs to read the destination. All but the first four have a default. */
export interface PushOptions<T extends ReadTarget = Target, C extends ReadImageCache = ImageCache> extends PushChoices {
  readonly store: Store;
  /** The destination of the images. */
  readonly target: T;
  /** The same destination as a build cache. */
  readonly cache: C;
  /** The specs to push, as nodes of the store's graph where it has them. */
  readonly roots: readonly SpecNode[];
  readonly shard?: Shard | undefined;
  /** Labels of the tagged image, of which standard ones are annotations too; its settings take precedence. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Packages of the system that its base image should have. */
  readonly systemPackages?: readonly string[] | undefined;
  /** The views of the tagged image. */
  readonly views?: readonly ImageView[] | undefined;
  readonly base?: BaseSource | undefined;
  /** Who signs the images and the updated index, and the cache's name in the statement. */
  readonly sign?: Pick<SignOptions, "signer" | "cache" | "legacy"> | undefined;
  /** What to attest about the images; needs a signer. */
  readonly attest?: Attesting | undefined;
  readonly compression?: Compression | undefined;
  readonly environment?: PushEnvironment | undefined;
  /** The Spack to ask for what only recipes know; without it the variables are derived from the store. */
  readonly spack?: AskOptions | undefined;
  /** The program that removes debug sections, and where it may write. */
  readonly stripProgram?: StripTool | undefined;
  /** What earlier runs remembered of layers. */
  readonly memory?: LayerMemory | undefined;
  /** What earlier runs remembered for the check whether programs start. */
  readonly facts?: FactsMemory | undefined;
  readonly clock?: Clock | undefined;
  readonly progress?: ProgressSink | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options of a plan. */
export type PlanOptions = PushOptions<ReadTarget, ReadImageCache>;

/** The default of each option, for the library and the command line. */
export const PUSH_DEFAULTS = {
  only: "all",
  buildDependencies: "where installed",
  tags: [],
  // Docker runs at most 127; this leaves room for layers on top.
  budget: 100,
  platformTag: false,
  force: false,
  verify: false,
  failFast: false,
  updateIndex: false,
  allowMissing: false,
  checkRun: true,
  private: false,
  compression: DEFAULT_COMPRESSION,
  jobs: availableParallelism(),
  clock: systemClock,
} as const satisfies Partial<PushOptions>;

/** The options of a push with every default filled in. */
export type PushSettings<T extends ReadTarget = Target, C extends ReadImageCache = ImageCache> = Filled<
  PushOptions<T, C>,
  keyof typeof PUSH_DEFAULTS
> & { readonly environment: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user"> };

/** The options of a plan with every default filled in. */
export type PlanSettings = PushSettings<ReadTarget, ReadImageCache>;

/**
 * Fills in the defaults. Throws USAGE for an empty table of inspections, which would leave images without variables.
 */
export function pushSettings<T extends ReadTarget, C extends ReadImageCache>(
  options: PushOptions<T, C>,
): PushSettings<T, C> {
  const { inspections = defaultInspections(options.roots[0]?.platform ?? "linux"), ...rest } =
    options.environment ?? {};
  if (inspections.length === 0)
    throw new StaveError(
      "USAGE",
      "environment.inspections is empty: images would have no CMAKE_PREFIX_PATH and no PATH",
      {
        hint: 'leave it out for Spack\'s own table, or write "none"',
      },
    );
  const environment = { ...rest, inspections: inspections === "none" ? [] : inspections };
  return { ...withDefaults(options, PUSH_DEFAULTS), environment };
}

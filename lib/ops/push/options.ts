// The options of a push, and what they are when they are left out.
import { availableParallelism } from "node:os";
import type { IndexedCache, ReadCache } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import { type Compression, DEFAULT_COMPRESSION } from "../../image/pack/compression.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import { defaultInspections, type Inspection } from "../../spack/config/settings.ts";
import type { AskOptions } from "../../spack/environment/ask-spack.ts";
import type { RunEnvironmentOptions } from "../../spack/environment/run-environment.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { PushSelection } from "../../spack/spec/spec-orders.ts";
import type { Store } from "../../spack/store/store.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { type Clock, systemClock } from "../../util/time.ts";
import { type Filled, withDefaults } from "../../util/with-defaults.ts";
import type { BaseSource } from "./base-image.ts";
import type { PushedSpec } from "./report.ts";
import type { Shard } from "./shard.ts";

/** How a run environment is made; what is left out is as Spack has it. */
export interface PushEnvironment extends Pick<RunEnvironmentOptions, "spackEnv" | "user"> {
  /**
   * Which folders of a prefix belong in which variables (`modules:prefix_inspections`). Default: Spack's own table for the
   * platform of the specs. `"none"` leaves all of them out, `CMAKE_PREFIX_PATH` and `PATH` too.
   */
  readonly inspections?: readonly Inspection[] | "none" | undefined;
}

/** The options of a push; a plan only needs to read the destination. All but the first four have a default. */
export interface PushOptions<T extends ReadTarget = Target, C extends ReadCache = IndexedCache> {
  readonly store: Store;
  /** Where the images go. */
  readonly target: T;
  /** The same place as a build cache. */
  readonly cache: C;
  /** Nodes of the store's graph where it has them. */
  readonly roots: readonly SpecNode[];
  readonly only?: NonNullable<PushSelection["only"]> | undefined;
  /** Build-only dependencies: pushed, left out, or pushed where they are installed. */
  readonly buildDependencies?: "with" | "without" | "where installed" | undefined;
  /** The tags of the image of all roots together. */
  readonly tags?: readonly string[] | undefined;
  /** Pack and push what is there already. */
  readonly force?: boolean | undefined;
  /** Read every image that is there, and repair those that are broken or lack layers. */
  readonly verify?: boolean | undefined;
  /** Stop at the first failure, and before anything is pushed when a spec is not installed. */
  readonly failFast?: boolean | undefined;
  /** Bring the cache's index up to date afterwards. */
  readonly updateIndex?: boolean | undefined;
  /** Make the tagged image even when layers are nowhere to be had. */
  readonly allowMissing?: boolean | undefined;
  /** Also push packages that may not be redistributed. */
  readonly private?: boolean | undefined;
  readonly shard?: Shard | undefined;
  readonly base?: BaseSource | undefined;
  readonly compression?: Compression | undefined;
  /** How many threads pack. */
  readonly jobs?: number | undefined;
  /** Where the Spack that owns the store lives, when it is not as the store's root says. */
  readonly spackPrefix?: string | undefined;
  readonly environment?: PushEnvironment | undefined;
  /** The Spack to ask for what only recipes know; without it the variables follow from the store. */
  readonly spack?: AskOptions | undefined;
  /** What is known of layers from earlier runs. */
  readonly memory?: LayerMemory | undefined;
  readonly clock?: Clock | undefined;
  readonly progress?: ProgressSink | undefined;
  /** Called with each spec as soon as it is done. */
  readonly onSpec?: ((spec: PushedSpec) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options of a plan. */
export type PlanOptions = PushOptions<ReadTarget, ReadCache>;

/** What an option is when it is left out, in the library and on the command line. */
export const PUSH_DEFAULTS = {
  only: "all",
  buildDependencies: "where installed",
  tags: [],
  force: false,
  verify: false,
  failFast: false,
  updateIndex: false,
  allowMissing: false,
  private: false,
  compression: DEFAULT_COMPRESSION,
  jobs: availableParallelism(),
  clock: systemClock,
} as const satisfies Partial<PushOptions>;

/** The options of a push with every default filled in. */
export type PushSettings<T extends ReadTarget = Target, C extends ReadCache = IndexedCache> = Filled<
  PushOptions<T, C>,
  keyof typeof PUSH_DEFAULTS
> & { readonly environment: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user"> };

/** The options of a plan with every default filled in. */
export type PlanSettings = PushSettings<ReadTarget, ReadCache>;

/** Fills in the defaults. Throws USAGE for an empty table of inspections, which would leave images without variables. */
export function pushSettings<T extends ReadTarget, C extends ReadCache>(
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

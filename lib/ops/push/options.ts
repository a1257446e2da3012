// What a push is told.
import type { IndexedCache, ReadCache } from "../../cache/cache.ts";
import type { Compression } from "../../image/pack/compression.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { AskOptions } from "../../spack/environment/ask-spack.ts";
import type { RunEnvironmentOptions } from "../../spack/environment/run-environment.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { PushSelection } from "../../spack/spec/spec-orders.ts";
import type { Store } from "../../spack/store/store.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import type { Clock } from "../../util/time.ts";
import type { BaseSource } from "./base-image.ts";
import type { PushedSpec } from "./report.ts";
import type { Shard } from "./shard.ts";

/** What a push is told; a plan needs only to read the place where things would go. */
export interface PushOptions<T extends ReadTarget = Target, C extends ReadCache = IndexedCache> {
  readonly store: Store;
  /** Where the images go. */
  readonly target: T;
  /** The same place as a build cache. */
  readonly cache: C;
  /** Nodes of the store's graph where it has them. */
  readonly roots: readonly SpecNode[];
  readonly only: NonNullable<PushSelection["only"]>;
  /** What is needed for building only: taken, left out, or taken where it is installed. */
  readonly buildDependencies: "with" | "without" | "where installed";
  /** The tags of the image of all roots together. */
  readonly tags: readonly string[];
  /** Pack and push what is there already. */
  readonly force: boolean;
  /** Read every image that is there, and repair those that are broken or lack layers. */
  readonly verify: boolean;
  /** Stop at the first failure, and before anything is pushed when a spec is not installed. */
  readonly failFast: boolean;
  /** Bring the cache's index up to date afterwards. */
  readonly updateIndex: boolean;
  /** Make the tagged image even when layers are nowhere to be had. */
  readonly allowMissing: boolean;
  /** Push what may not be passed on, too. */
  readonly private: boolean;
  readonly shard?: Shard | undefined;
  readonly base?: BaseSource | undefined;
  readonly compression: Compression;
  /** How many threads pack. */
  readonly jobs: number;
  /** Where the Spack that owns the store lives, when it is not as the store's root says. */
  readonly spackPrefix?: string | undefined;
  readonly environment: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user">;
  /** The Spack to ask for what only recipes know; without it the variables follow from the store. */
  readonly spack?: AskOptions | undefined;
  /** What is known of layers from earlier runs. */
  readonly memory?: LayerMemory | undefined;
  readonly clock: Clock;
  readonly progress?: ProgressSink | undefined;
  /** Told of each spec as soon as it is done. */
  readonly onSpec?: ((spec: PushedSpec) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a plan is told. */
export type PlanOptions = PushOptions<ReadTarget, ReadCache>;

// `openStore`, `push` and `install`: the operations that need a Spack store. Each does what the verb of the same name
// does.
import { parseCompression } from "../image/pack/compression.ts";
import { LayerMemory } from "../image/pack/layer-memory.ts";
import { parseLocation, parseTag } from "../oci/reference.ts";
import { install as installSpecs } from "../ops/install/install.ts";
import type { InstalledSpec, InstallReport } from "../ops/install/report.ts";
import { InstallSource } from "../ops/install/source.ts";
import { PUSH_DEFAULTS } from "../ops/push/options.ts";
import { push as pushSpecs } from "../ops/push/push.ts";
import type { PushedSpec, PushReport } from "../ops/push/report.ts";
import type { Store } from "../spack/store/store.ts";
import { diskCache } from "./cache-folder.ts";
import { checkOptions, checkText } from "./check.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf } from "./common.ts";
import { referenceOf } from "./connection.ts";
import { installHost, installRoots, installSide, installStore } from "./install-roots.ts";
import { type OpenCache, openChecked, SPACK, type SpackOptions, spackFiles } from "./open-cache.ts";
import { spackSide } from "./push-side.ts";
import { chosenRoots } from "./spack-specs.ts";

/** How to open a store. */
export interface OpenStoreOptions extends SpackOptions, Pick<CommonOptions, "signal" | "surroundings"> {
  /** Treat a folder without a database as an empty store instead of throwing NOT_FOUND. */
  readonly mayBeEmpty?: boolean | undefined;
}

/**
 * Opens a Spack store; by default that of `$STAVE_STORE` or of Spack's configuration. Throws CONFIG_INVALID, NOT_FOUND.
 */
export async function openStore(root?: string, options: OpenStoreOptions = {}): Promise<Store> {
  if (root !== undefined) checkText("openStore: the root", root);
  checkOptions("openStore", options, { ...SPACK, signal: "object", surroundings: "object", mayBeEmpty: "boolean" });
  options.signal?.throwIfAborted();
  return await spackFiles(options, surroundingsOf(options), root).store({ mayBeEmpty: options.mayBeEmpty === true });
}

/** The options of a push; none is required if the surroundings provide an environment and a cache. */
export interface PushOptions extends CommonOptions, SpackOptions {
  /** Installed specs: one query each, or `/hash`. Default: the roots of the environment. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
  /** The tags for one image of all specs. */
  readonly tags?: readonly string[] | undefined;
  /** The base image, as for `stave push --base-image`. */
  readonly baseImage?: string | undefined;
  /** `gzip:LEVEL` or `zstd:LEVEL`; default `gzip:1`. */
  readonly compression?: string | undefined;
  readonly only?: "all" | "package" | "dependencies" | undefined;
  readonly buildDependencies?: "with" | "without" | "where installed" | undefined;
  /** Pack and push specs that are already in the cache. */
  readonly force?: boolean | undefined;
  /** Read the existing images, and repair them. */
  readonly verify?: boolean | undefined;
  readonly failFast?: boolean | undefined;
  readonly allowMissing?: boolean | undefined;
  readonly private?: boolean | undefined;
  readonly updateIndex?: boolean | undefined;
  /** More variables for the images: `NAME=VALUE`, `NAME+=DIR`, `NAME^=DIR`. */
  readonly variables?: readonly string[] | undefined;
  /** The directory of the Spack that owns the store. */
  readonly spackPrefix?: string | undefined;
  /** The number of packing threads; default: one per processor. */
  readonly jobs?: number | undefined;
  /** Called with each spec as soon as it is done. */
  readonly onSpec?: ((spec: PushedSpec) => void) | undefined;
}

/**
 * Pushes installed specs to a build cache. Failures are in `failures` of the report. Throws what stops the whole push.
 */
export async function push(cache: string | OpenCache | undefined, options: PushOptions = {}): Promise<PushReport> {
  checkOptions("push", options, {
    ...{ ...COMMON, ...SPACK, specs: "strings", store: "string", tags: "strings", baseImage: "string" },
    ...{ compression: "string", only: ["all", "package", "dependencies"] },
    ...{ buildDependencies: ["with", "without", "where installed"], force: "boolean", verify: "boolean" },
    ...{ failFast: "boolean", allowMissing: "boolean", private: "boolean", updateIndex: "boolean" },
    ...{ variables: "strings", spackPrefix: "string", jobs: "count", onSpec: "function" },
  });
  options.signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const { specs = [], tags, baseImage, onProgress: progress, signal } = options;
  for (const tag of tags ?? []) parseTag(tag);
  const compression =
    options.compression === undefined ? PUSH_DEFAULTS.compression : parseCompression(options.compression);
  const files = spackFiles(options, around, options.store);
  const store = await files.store();
  const roots = await chosenRoots(files, store, specs);
  const { only, buildDependencies, force, verify, failFast, allowMissing, updateIndex, jobs, onSpec } = options;
  await using connection = connect(options, around);
  const location = baseImage === undefined ? undefined : parseLocation(baseImage);
  const target = location && (await connection.read(location));
  const base =
    baseImage !== undefined && location && target
      ? { name: baseImage, target, reference: await referenceOf(location, target, signal) }
      : undefined;
  const opened = typeof cache === "object" ? cache : await openChecked(cache, { ...options, create: true });
  try {
    return await pushSpecs({
      ...{ store, roots, tags, base, compression, only, buildDependencies, force, verify, failFast, allowMissing },
      ...{ updateIndex, jobs, onSpec, progress, signal, private: options.private },
      ...spackSide(files, options),
      cache: opened.cache,
      target: opened.cache.target,
      memory: new LayerMemory(diskCache(around), compression),
      clock: around.clock,
    });
  } finally {
    if (opened !== cache) await opened.close();
  }
}

/** The options of an installation. */
export interface InstallOptions extends CommonOptions, SpackOptions {
  /** Specs of the caches: queries, or `/hash`. Default: the roots of the environment's lock file. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
  /** Allow a query to match several specs, and install all of them. */
  readonly multiple?: boolean | undefined;
  readonly only?: "all" | "package" | "dependencies" | undefined;
  readonly withBuildDependencies?: boolean | undefined;
  /** Replace what is installed. */
  readonly force?: boolean | undefined;
  /** Fail if files still contain the old root. */
  readonly strict?: boolean | undefined;
  readonly allFiles?: boolean | undefined;
  /** Also accept specs for other platforms, operating systems and processors. */
  readonly anyArchitecture?: boolean | undefined;
  /** How many specs to install at once. */
  readonly jobs?: number | undefined;
  /** Called with each spec as soon as it is done. */
  readonly onSpec?: ((spec: InstalledSpec) => void) | undefined;
}

/**
 * Installs specs from build caches, in order of preference. Failures are in `failures` of the report. Throws what stops
 * the whole installation.
 */
export async function install(
  caches: string | OpenCache | readonly (string | OpenCache)[] | undefined,
  options: InstallOptions = {},
): Promise<InstallReport> {
  checkOptions("install", options, {
    ...{ ...COMMON, ...SPACK, specs: "strings", store: "string", multiple: "boolean" },
    ...{ only: ["all", "package", "dependencies"], withBuildDependencies: "boolean", force: "boolean" },
    ...{ strict: "boolean", allFiles: "boolean", anyArchitecture: "boolean", jobs: "count", onSpec: "function" },
  });
  options.signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const { specs = [], multiple: isMany = false, signal, onProgress: progress } = options;
  const files = spackFiles(options, around, options.store);
  const opened: AsyncDisposable[] = [];
  const open: OpenCache[] = [];
  try {
    for (const cache of Array.isArray(caches) ? caches : [caches]) {
      if (typeof cache !== "object") {
        const made = await openChecked(cache, options);
        opened.push(made);
        open.push(made);
      } else open.push(cache);
    }
    const source = new InstallSource(open.map(({ cache }) => cache));
    const store = await installStore(files);
    await using locks = files.locks(store, (text) => progress?.({ type: "note", text }));
    const host = options.anyArchitecture ? undefined : installHost(files);
    const roots = await installRoots({ files, source, store, host, isMany, signal }, specs);
    const { only, withBuildDependencies, force, strict, allFiles, jobs, onSpec } = options;
    return await installSpecs({
      ...{ store, source, roots, host, locks, only, withBuildDependencies, force, strict, allFiles, jobs, onSpec },
      ...installSide(files, around, (text) => progress?.({ type: "warning", text })),
      ...{ progress, signal, clock: around.clock },
    });
  } finally {
    for (const cache of opened) await cache[Symbol.asyncDispose]();
  }
}

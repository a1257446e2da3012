/**
 * The public interface of the library: the verbs of the command as functions. Each loads its code when it is first
 * called; the parts are exported by `stave/oci`, `stave/cache`, `stave/spack` and `stave/serve`.
 *
 * @module stave
 */

import type { ListOptions, OpenCache, OpenCacheOptions, UpdateIndexOptions } from "./api/open-cache.ts";
import type { InstallOptions, OpenStoreOptions, PushOptions } from "./api/open-store.ts";
import type { CopyOptions, OpenTarget, OpenTargetOptions } from "./api/open-target.ts";
import type { IndexReport } from "./cache/index-update.ts";
import type { ListReport } from "./ops/cache/list.ts";
import type { CopyImagesReport } from "./ops/image/copy.ts";
import type { InstallReport } from "./ops/install/report.ts";
import type { PushReport } from "./ops/push/report.ts";
import type { Store } from "./spack/store/store.ts";

export type { CommonOptions, Login } from "./api/common.ts";
export type { NetworkOptions } from "./api/connection.ts";
export type {
  ListOptions,
  OpenCache,
  OpenCacheOptions,
  SpackOptions,
  UpdateIndexOptions,
} from "./api/open-cache.ts";
export type { InstallOptions, OpenStoreOptions, PushOptions } from "./api/open-store.ts";
export type { CopyOptions, CopyWish, OpenTarget, OpenTargetOptions } from "./api/open-target.ts";
export type { Surroundings } from "./api/surroundings.ts";
export type { IndexReport } from "./cache/index-update.ts";
export {
  aggregate,
  type ErrorCode,
  isStaveError,
  type PlainError,
  type RegistryErrorEntry,
  type Side,
  StaveError,
  type StaveErrorOptions,
} from "./errors.ts";
export type { SkippedEntry } from "./image/archive/prefix-walk.ts";
export type { ListReport } from "./ops/cache/list.ts";
export type { CopyImagesReport } from "./ops/image/copy.ts";
export type { InstalledSpec, InstallOutcome, InstallReport } from "./ops/install/report.ts";
export type { PushedImage, PushedSpec, PushReport, PushTotals, SpecOutcome } from "./ops/push/report.ts";
export type { SpecRow } from "./ops/store/spec-row.ts";
export type { Store } from "./spack/store/store.ts";
export type { ProgressEvent, ProgressSink } from "./util/progress.ts";
export type { Clock } from "./util/time.ts";

/** Opens `HOST/REPO[:TAG]` or `oci-layout:DIR[:TAG]`. Throws USAGE, REFERENCE_INVALID, NOT_FOUND. */
export async function openTarget(text: string, options?: OpenTargetOptions): Promise<OpenTarget> {
  return await (await import("./api/open-target.ts")).openTarget(text, options);
}

/** Copies an image, or every tag, between registries and directories, as `stave copy` does. */
export async function copy(from: string, to: string, options?: CopyOptions): Promise<CopyImagesReport> {
  return await (await import("./api/open-target.ts")).copy(from, to, options);
}

/** Opens a build cache: `oci://HOST/REPO`, `oci-layout:DIR`, or a mirror of Spack's configuration. */
export async function openCache(text?: string, options?: OpenCacheOptions): Promise<OpenCache> {
  return await (await import("./api/open-cache.ts")).openCache(text, options);
}

/** Lists the specs of a build cache, as `stave list` does. */
export async function list(cache: string | OpenCache, options?: ListOptions): Promise<ListReport> {
  return await (await import("./api/open-cache.ts")).list(cache, options);
}

/** Updates the index of a build cache, as `stave index` does. */
export async function updateIndex(cache: string | OpenCache, options?: UpdateIndexOptions): Promise<IndexReport> {
  return await (await import("./api/open-cache.ts")).updateIndex(cache, options);
}

/** Opens a Spack store; by default that of `$STAVE_STORE` or of Spack's configuration. */
export async function openStore(root?: string, options?: OpenStoreOptions): Promise<Store> {
  return await (await import("./api/open-store.ts")).openStore(root, options);
}

/** Pushes installed specs to a build cache, as `stave push` does. Failures are in `failures` of the report. */
export async function push(cache?: string | OpenCache, options?: PushOptions): Promise<PushReport> {
  return await (await import("./api/open-store.ts")).push(cache, options);
}

/** Installs specs from build caches, as `stave install` does. Failures are in `failures` of the report. */
export async function install(
  caches?: string | OpenCache | readonly (string | OpenCache)[],
  options?: InstallOptions,
): Promise<InstallReport> {
  return await (await import("./api/open-store.ts")).install(caches, options);
}

/**
 * The public interface of the library: the verbs of the command as functions. Each loads its code when it is first
 * called; the parts are exported by `stave/oci`, `stave/cache`, `stave/spack` and `stave/serve`.
 *
 * @module stave
 */

import type { CollectOptions } from "./api/functions/collect-garbage.ts";
import type { ImageSbomOptions, SpecsSbomOptions } from "./api/functions/describe.ts";
import type { InstallOptions } from "./api/functions/install-specs.ts";
import type { ListOptions } from "./api/functions/list-specs.ts";
import type { CacheArgument, OpenCache, OpenCacheOptions } from "./api/functions/open-cache.ts";
import type { OpenStoreOptions } from "./api/functions/open-store.ts";
import type { CopyOptions, OpenTarget, OpenTargetOptions } from "./api/functions/open-target.ts";
import type { PushOptions } from "./api/functions/push-specs.ts";
import type {
  CheckRunOptions,
  ExportImageOptions,
  ImageIndexOptions,
  ImageOptions,
  RebaseOptions,
} from "./api/functions/run-images.ts";
import type { SearchOptions } from "./api/functions/search-specs.ts";
import type { SignOptions, VerifyOptions } from "./api/functions/sign-images.ts";
import type { MigrateMirrorOptions, SyncCachesOptions } from "./api/functions/sync-caches.ts";
import type { UpdateIndexOptions } from "./api/functions/update-index.ts";
import type { WriteCatalogueOptions } from "./api/functions/write-catalogue.ts";
import type { WriteModulesOptions } from "./api/functions/write-modules.ts";
import type { SignatureReport } from "./api/signers/check-place.ts";
import type { IndexReport } from "./cache/index-update.ts";
import { originalError } from "./errors.ts";
import type { ListAllReport } from "./ops/cache/list.ts";
import type { SearchReport } from "./ops/cache/search.ts";
import type { WebReport } from "./ops/cache/web.ts";
import type { CheckRunReport } from "./ops/image/check-run.ts";
import type { CopyImagesReport } from "./ops/image/copy.ts";
import type { ExportReport } from "./ops/image/export.ts";
import type { ImageIndexReport } from "./ops/image/image-index.ts";
import type { SizeReport } from "./ops/image/size.ts";
import type { InstallPlanReport, InstallReport } from "./ops/install/report.ts";
import type { RebaseReport } from "./ops/push/rebase.ts";
import type { PushPlanReport, PushReport } from "./ops/push/report.ts";
import type { SignReport } from "./ops/sign/sign.ts";
import type { GcReport } from "./ops/store/gc.ts";
import type { ModuleKind } from "./ops/store/modulefile.ts";
import type { ModuleReport } from "./ops/store/modules.ts";
import type { MigrateReport } from "./ops/sync/migrate.ts";
import type { SyncReport } from "./ops/sync/sync.ts";
import type { SbomReport } from "./sbom/report.ts";
import type { Store } from "./spack/store/store.ts";

export type { CollectOptions } from "./api/functions/collect-garbage.ts";
export type { CommonOptions, Login } from "./api/functions/common.ts";
export type { ImageSbomOptions, SpecsSbomOptions } from "./api/functions/describe.ts";
export type { InstallOptions } from "./api/functions/install-specs.ts";
export type { ListOptions } from "./api/functions/list-specs.ts";
export type { CacheArgument, OpenCache, OpenCacheOptions, SpackOptions } from "./api/functions/open-cache.ts";
export type { OpenStoreOptions } from "./api/functions/open-store.ts";
export type { CopyOptions, CopyWish, OpenTarget, OpenTargetOptions } from "./api/functions/open-target.ts";
export type { PushOptions } from "./api/functions/push-specs.ts";
export type {
  CheckRunOptions,
  ExportImageOptions,
  ImageIndexOptions,
  ImageOptions,
  RebaseOptions,
} from "./api/functions/run-images.ts";
export type { SearchOptions } from "./api/functions/search-specs.ts";
export type { SignOptions, VerifyOptions } from "./api/functions/sign-images.ts";
export type { MigrateMirrorOptions, MovingOptions, SyncCachesOptions } from "./api/functions/sync-caches.ts";
export type { UpdateIndexOptions } from "./api/functions/update-index.ts";
export type { WriteCatalogueOptions } from "./api/functions/write-catalogue.ts";
export type { WriteModulesOptions } from "./api/functions/write-modules.ts";
export type { Surroundings } from "./api/machine/surroundings.ts";
export type { NetworkOptions } from "./api/places/connection.ts";
export type { CacheLocation, MirrorLocation } from "./api/places/mirror-location.ts";
export type { SignatureReport } from "./api/signers/check-place.ts";
export type { SigstoreOptions } from "./api/signers/keyless.ts";
export type { NamedSigners } from "./api/signers/named-signers.ts";
export type { SignerOptions } from "./api/signers/signer-of.ts";
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
export type { ContentKind } from "./image/content-kind.ts";
export type { ImageHealthcheck, ImageSettings } from "./image/image-settings.ts";
export type { SpecAction } from "./image/layer-plan.ts";
export type { SlimSettings } from "./image/slim.ts";
export type { CheckedCounts, Finding, FindingCode, LibcReport } from "./loader/finding.ts";
export type { S3Dialect } from "./objects/s3/s3-settings.ts";
export type { ListAllReport, ListedSpec, ListReport } from "./ops/cache/list.ts";
export type { FoundPackage, SearchReport } from "./ops/cache/search.ts";
export type { WebReport } from "./ops/cache/web.ts";
export type { BaseVerdict, CheckRunReport } from "./ops/image/check-run.ts";
export type { CopyImagesReport } from "./ops/image/copy.ts";
export type { ArchiveForm, ExportReport } from "./ops/image/export.ts";
export type { ImageIndexReport, IndexedImage } from "./ops/image/image-index.ts";
export type { KindSize, PackageSize, SizeReport } from "./ops/image/size.ts";
export type { InstallChoices } from "./ops/install/options.ts";
export type {
  InstalledSpec,
  InstallOutcome,
  InstallPlanReport,
  InstallReport,
  PlannedInstall,
} from "./ops/install/report.ts";
export type { RootRoom } from "./ops/install/root-length.ts";
export type { PushChoices } from "./ops/push/options.ts";
export type { RebaseReport } from "./ops/push/rebase.ts";
export type {
  AttestationReport,
  BasePlan,
  PlannedJoin,
  PushedImage,
  PushedSpec,
  PushedVariables,
  PushedView,
  PushPlanReport,
  PushReport,
  PushTotals,
  SpecOutcome,
  SpecPlan,
} from "./ops/push/report.ts";
export type { CheckedImage, CheckSignaturesReport } from "./ops/sign/check-signatures.ts";
export type { SignedImage, SignReport } from "./ops/sign/sign.ts";
export type { GcKept, GcReport } from "./ops/store/gc.ts";
export type { ModuleKind } from "./ops/store/modulefile.ts";
export type { ModuleReport, WrittenModule } from "./ops/store/modules.ts";
export type { UninstalledSpec } from "./ops/store/remove-specs.ts";
export type { SpecRow } from "./ops/store/spec-row.ts";
export type { ViewConflict } from "./ops/store/view-merge.ts";
export type { MigrateReport } from "./ops/sync/migrate.ts";
export type { SyncedSpec, SyncReport } from "./ops/sync/sync.ts";
export type { LicenseRow, SbomFormat, SbomSubject } from "./sbom/bill.ts";
export type { SbomReport } from "./sbom/report.ts";
export type { CertificateIdentity } from "./sign/identity/identity-pattern.ts";
export type { AcceptedSignature } from "./sign/signature/judge.ts";
export type { SignedBy } from "./sign/signature/statement-signer.ts";
export type { UnreadRecipe } from "./spack/environment/recipe-variables.ts";
export type { NameMatch } from "./spack/query/similar-names.ts";
export type { Store } from "./spack/store/store.ts";
export type { ProgressEvent, ProgressSink } from "./util/progress.ts";
export type { Clock } from "./util/time.ts";

/** Opens `HOST/REPO[:TAG]` or `oci-layout:DIR[:TAG]`. Throws USAGE, REFERENCE_INVALID, NOT_FOUND. */
export async function openTarget(text: string, options?: OpenTargetOptions): Promise<OpenTarget> {
  return await (await import("./api/functions/open-target.ts")).openTarget(text, options);
}

/**
 * Signs an image, or the specs and the index of a cache, as `stave sign` does: with a key, or as the identity of this
 * CI job.
 */
export async function sign(place: string, options: SignOptions): Promise<SignReport> {
  return await unhidden(async () => await (await import("./api/functions/sign-images.ts")).sign(place, options));
}

/**
 * Checks the signatures of images and caches, as `stave verify` does. Images without a good one are in the report.
 */
export async function verify(places: string | readonly string[], options?: VerifyOptions): Promise<SignatureReport> {
  return await unhidden(async () => await (await import("./api/functions/sign-images.ts")).verify(places, options));
}

/** Copies an image, or every tag, between registries and directories, as `stave copy` does. */
export async function copy(from: string, to: string, options?: CopyOptions): Promise<CopyImagesReport> {
  return await unhidden(async () => await (await import("./api/functions/open-target.ts")).copy(from, to, options));
}

/** Copies specs between build caches of any kind, as `stave sync` does. */
export async function sync(from: CacheArgument, to: CacheArgument, options?: SyncCachesOptions): Promise<SyncReport> {
  return await unhidden(async () => await (await import("./api/functions/sync-caches.ts")).sync(from, to, options));
}

/** Brings a mirror of Spack 0.x to the newest layout, as `stave migrate` does. */
export async function migrate(mirror: string, options?: MigrateMirrorOptions): Promise<MigrateReport> {
  return await unhidden(async () => await (await import("./api/functions/sync-caches.ts")).migrate(mirror, options));
}

/**
 * Opens a build cache: `oci://HOST/REPO`, `oci-layout:DIR`, or a mirror of Spack's configuration. Default:
 * `$STAVE_CACHE`, else the first mirror of Spack's configuration, else `oci-layout:./stave-cache`.
 */
export async function openCache(text?: string, options?: OpenCacheOptions): Promise<OpenCache> {
  return await (await import("./api/functions/open-cache.ts")).openCache(text, options);
}

/** Lists the specs of build caches, each once, as `stave list` does. Default: the mirrors of Spack's configuration. */
export async function list(
  caches?: CacheArgument | readonly CacheArgument[],
  options?: ListOptions,
): Promise<ListAllReport> {
  return await unhidden(async () => await (await import("./api/functions/list-specs.ts")).list(caches, options));
}

/** Finds packages of build caches by name or description, as `stave search` does. */
export async function search(
  text: string,
  caches?: CacheArgument | readonly CacheArgument[],
  options?: SearchOptions,
): Promise<SearchReport> {
  return await unhidden(
    async () => await (await import("./api/functions/search-specs.ts")).search(text, caches, options),
  );
}

/** Updates the index of a build cache, as `stave index` does. */
export async function updateIndex(cache?: CacheArgument, options?: UpdateIndexOptions): Promise<IndexReport> {
  return await unhidden(
    async () => await (await import("./api/functions/update-index.ts")).updateIndex(cache, options),
  );
}

/** Writes pages to browse a build cache into a folder, as `stave web` does. */
export async function writeCatalogue(
  cache: CacheArgument,
  directory: string,
  options?: WriteCatalogueOptions,
): Promise<WebReport> {
  return await unhidden(
    async () => await (await import("./api/functions/write-catalogue.ts")).writeCatalogue(cache, directory, options),
  );
}

/** Opens a Spack store; by default that of `$STAVE_STORE` or of Spack's configuration. */
export async function openStore(root?: string, options?: OpenStoreOptions): Promise<Store> {
  return await (await import("./api/functions/open-store.ts")).openStore(root, options);
}

/** Pushes installed specs to a build cache, as `stave push` does. Failures are in `failures` of the report. */
export async function push(cache?: CacheArgument, options?: PushOptions): Promise<PushReport> {
  return await unhidden(async () => await (await import("./api/functions/push-specs.ts")).push(cache, options));
}

/** What `push` would do with the same arguments; writes nothing. */
export async function planPush(cache?: CacheArgument, options?: PushOptions): Promise<PushPlanReport> {
  return await unhidden(async () => await (await import("./api/functions/push-specs.ts")).planPush(cache, options));
}

/** Installs specs from build caches, as `stave install` does. Failures are in `failures` of the report. */
export async function install(
  caches?: CacheArgument | readonly CacheArgument[],
  options?: InstallOptions,
): Promise<InstallReport> {
  return await unhidden(async () => await (await import("./api/functions/install-specs.ts")).install(caches, options));
}

/** What `install` would do with the same arguments; writes nothing. */
export async function planInstall(
  caches?: CacheArgument | readonly CacheArgument[],
  options?: InstallOptions,
): Promise<InstallPlanReport> {
  return await unhidden(
    async () => await (await import("./api/functions/install-specs.ts")).planInstall(caches, options),
  );
}

/** Removes the specs of a store that nothing needs, as `stave gc` does. */
export async function gc(store: string, options?: CollectOptions): Promise<GcReport> {
  return await unhidden(async () => await (await import("./api/functions/collect-garbage.ts")).gc(store, options));
}

/** What `gc` would do with the same arguments; changes nothing. */
export async function planGc(store: string, options?: CollectOptions): Promise<GcReport> {
  return await unhidden(async () => await (await import("./api/functions/collect-garbage.ts")).planGc(store, options));
}

/** Writes modulefiles of installed specs into a folder, for Tcl or Lmod, as `stave module` does. */
export async function writeModules(
  kind: ModuleKind,
  directory: string,
  options?: WriteModulesOptions,
): Promise<ModuleReport> {
  return await unhidden(
    async () => await (await import("./api/functions/write-modules.ts")).writeModules(kind, directory, options),
  );
}

/** Describes an image as `stave sbom` does: the document, and a table of licenses. */
export async function sbomOfImage(image: string, options?: ImageSbomOptions): Promise<SbomReport> {
  return await unhidden(async () => await (await import("./api/functions/describe.ts")).sbomOfImage(image, options));
}

/** Describes installed specs as `stave sbom` does; by default the roots of the environment. */
export async function sbomOfSpecs(options?: SpecsSbomOptions): Promise<SbomReport> {
  return await unhidden(async () => await (await import("./api/functions/describe.ts")).sbomOfSpecs(options));
}

// Errors of the library are StaveErrors, also if something fails to close after one.
async function unhidden<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw originalError(error);
  }
}

/** Checks whether the programs of an image will start, as `stave check-run` does. */
export async function checkRun(image: string, options?: CheckRunOptions): Promise<CheckRunReport> {
  return await unhidden(async () => await (await import("./api/functions/run-images.ts")).checkRun(image, options));
}

/** Measures where the bytes of an image are, as `stave size` does. */
export async function imageSize(image: string, options?: ImageOptions): Promise<SizeReport> {
  return await unhidden(async () => await (await import("./api/functions/run-images.ts")).imageSize(image, options));
}

/** Puts images of several platforms under one tag, as `stave image-index` does: each `REF` or `PLATFORM=REF`. */
export async function imageIndex(
  image: string,
  images: readonly string[],
  options?: ImageIndexOptions,
): Promise<ImageIndexReport> {
  return await unhidden(
    async () => await (await import("./api/functions/run-images.ts")).imageIndex(image, images, options),
  );
}

/** Puts an image onto another base, as `stave rebase` does. */
export async function rebase(image: string, onto: string, options?: RebaseOptions): Promise<RebaseReport> {
  return await unhidden(async () => await (await import("./api/functions/run-images.ts")).rebase(image, onto, options));
}

/** Writes an image to a file as an archive for docker, podman or Apptainer, as `stave export` does. */
export async function exportImage(image: string, file: string, options?: ExportImageOptions): Promise<ExportReport> {
  return await unhidden(
    async () => await (await import("./api/functions/run-images.ts")).exportImage(image, file, options),
  );
}

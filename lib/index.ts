// The public surface of the library, listed by hand.

export { Keychain, type KeychainOptions } from "./auth/keychain.ts";
export { type AuthorizerOptions, createAuthorizer } from "./auth/token.ts";
export type { CachedSpec, CacheListing, IndexedCache, ReadCache } from "./cache/cache.ts";
export type { CacheIndex, IndexRecord } from "./cache/index-read.ts";
export { checkIndex, type IndexReport, type UpdateIndexOptions, updateIndex } from "./cache/index-update.ts";
export { OciCache, ReadOciCache } from "./cache/oci-cache.ts";
export { type CopyOptions, type CopyReport, copyGraph, GraphCopy } from "./copy.ts";
export { aggregate, type ErrorCode, isStaveError, StaveError } from "./errors.ts";
export { createTransport, type TransportOptions } from "./http/transport.ts";
export type { Authorizer, Transport } from "./http/types.ts";
export type { Descriptor } from "./oci/descriptor.ts";
export { type Digest, digestOf, parseDigest } from "./oci/digest.ts";
export { type Config, type Index, type Manifest, parseManifest } from "./oci/manifest.ts";
export { type Platform, parsePlatform } from "./oci/platform.ts";
export { formatReference, type Location, parseLocation, parseReference, type Reference } from "./oci/reference.ts";
export { type InstallOptions, type InstallReport, install, planInstall } from "./ops/install.ts";
export { InstallSource } from "./ops/install-source.ts";
export { type PlanOptions, type PushOptions, type PushReport, planOf, push } from "./ops/push.ts";
export { createRegistry, type RegistryOptions, type RegistryServer } from "./serve/registry.ts";
export { Store, type StoreOptions } from "./spack/store.ts";
export { type StoreLockOptions, StoreLocks } from "./store/locks.ts";
export { LayoutTarget } from "./target/layout.ts";
export { RegistryTarget } from "./target/registry.ts";
export type { ReadTarget, Target } from "./target/target.ts";
export type { ProgressEvent, ProgressSink } from "./util/progress.ts";
export { bytesSource, type Source } from "./util/stream.ts";
export { type Clock, systemClock } from "./util/time.ts";

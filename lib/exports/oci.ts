/**
 * OCI content and where it lives: digests, documents, references, registries, directories, the graph copy.
 *
 * @module stave/oci
 */

export type { Credential, FoundCredential } from "../auth/credential.ts";
export { type HostCredential, Keychain, type KeychainAnswer, type KeychainOptions } from "../auth/keychain.ts";
export { type AuthorizerOptions, createAuthorizer } from "../auth/token.ts";
export { type CopyOptions as GraphCopyOptions, type CopyReport, copyGraph, GraphCopy } from "../copy.ts";
export type { ProxySettings } from "../http/addresses.ts";
export type { CertificateOptions } from "../http/certificates.ts";
export type { Patience, RetryBudget, RetryHooks } from "../http/retry.ts";
export { createTransport, type TransportOptions } from "../http/transport.ts";
export type {
  Authorizer,
  AuthRequest,
  HttpRequest,
  HttpResponse,
  Refusal,
  Scope,
  TraceEvent,
  Traffic,
  Transport,
} from "../http/types.ts";
export type { Descriptor } from "../oci/descriptor.ts";
export { type Digest, type DigestAlgorithm, digestOf, parseDigest } from "../oci/digest.ts";
export { type Config, type Index, type Manifest, type ManifestDocument, parseManifest } from "../oci/manifest.ts";
export { type Platform, parsePlatform } from "../oci/platform.ts";
export { formatReference, type Location, parseLocation, parseReference, type Reference } from "../oci/reference.ts";
export { Secret } from "../printable/secret.ts";
export { type LayoutOptions, LayoutTarget } from "../target/layout/layout.ts";
export { RegistryTarget } from "../target/registry/registry.ts";
export type { RepositoryOptions } from "../target/registry/repository.ts";
export type {
  BlobChecker,
  BlobFetcher,
  BlobPusher,
  BlobStartFetcher,
  Deleter,
  FetchBlobOptions,
  FetchedManifest,
  FetchManifestOptions,
  ManifestDeleter,
  ManifestFetcher,
  ManifestPusher,
  OperationOptions,
  PushBlobOptions,
  PushedManifest,
  PushManifestOptions,
  PushOutcome,
  PushStreamOptions,
  ReadTarget,
  ReferrerLister,
  ReferrerManifest,
  ReferrerPusher,
  ReferrersOptions,
  TagCondition,
  TagLister,
  Target,
} from "../target/target.ts";
export { bytesSource, type Source } from "../util/stream.ts";
export { type Clock, systemClock } from "../util/time.ts";

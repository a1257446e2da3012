// `stave/oci`: content and where it lives: digests, documents, references, registries, directories, the graph copy.

export { Keychain, type KeychainOptions } from "../auth/keychain.ts";
export { type AuthorizerOptions, createAuthorizer } from "../auth/token.ts";
export { type CopyOptions, type CopyReport, copyGraph, GraphCopy } from "../copy.ts";
export { createTransport, type TransportOptions } from "../http/transport.ts";
export type { Authorizer, Transport } from "../http/types.ts";
export type { Descriptor } from "../oci/descriptor.ts";
export { type Digest, digestOf, parseDigest } from "../oci/digest.ts";
export { type Config, type Index, type Manifest, parseManifest } from "../oci/manifest.ts";
export { type Platform, parsePlatform } from "../oci/platform.ts";
export { formatReference, type Location, parseLocation, parseReference, type Reference } from "../oci/reference.ts";
export { LayoutTarget } from "../target/layout/layout.ts";
export { RegistryTarget } from "../target/registry/registry.ts";
export type { ReadTarget, Target } from "../target/target.ts";
export { bytesSource, type Source } from "../util/stream.ts";
export { type Clock, systemClock } from "../util/time.ts";

/**
 * Spack's stores, lock files, spec files and queries.
 *
 * @module stave/spack
 */

export type { LockSettings } from "../spack/config/settings.ts";
export type { Toolchain, ToolchainPart, Toolchains } from "../spack/config/toolchains.ts";
export {
  type FlagsQuery,
  printQuery,
  type QueryEdge,
  type QueryHost,
  type SpecQuery,
  type VariantQuery,
} from "../spack/query/query.ts";
export { satisfies } from "../spack/query/satisfies.ts";
export { parseQueries, parseQuery, type QueryContext } from "../spack/query/spec-parser.ts";
export type {
  ExactVersion,
  GitVersion,
  VersionElement,
  VersionList,
  VersionRange,
} from "../spack/query/version-range.ts";
export type { Dangling } from "../spack/spec/graph.ts";
export { type Lockfile, type LockRoot, readEnvironmentLock, readLockfile } from "../spack/spec/lockfile.ts";
export type { Edge, External, SpecGraph, SpecNode, VariantValue } from "../spack/spec/node.ts";
export { readSpecFile, type SpecDocument } from "../spack/spec/spec-file.ts";
export type { Component as VersionComponent, Stage as VersionStage, Version } from "../spack/spec/version.ts";
export type { Database, InstallRecord } from "../spack/store/database.ts";
export type { Layout, Projections, Satisfies } from "../spack/store/projection.ts";
export { Store, type StoreOptions } from "../spack/store/store.ts";
export type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
export type { Place } from "../spack/text/yaml.ts";
export {
  type LockedSpec,
  type Release,
  type SpecLock,
  type SpecLockKind,
  type StoreLockOptions,
  StoreLocks,
} from "../store/locks.ts";
export type { LockMode } from "../util/file-lock.ts";

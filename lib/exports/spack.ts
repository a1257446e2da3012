// `stave/spack`: stores, lock files, spec files and queries as Spack has them.

export { printQuery, type SpecQuery } from "../spack/query/query.ts";
export { satisfies } from "../spack/query/satisfies.ts";
export { parseQueries, parseQuery, type QueryContext } from "../spack/query/spec-parser.ts";
export { type Lockfile, type LockRoot, readEnvironmentLock, readLockfile } from "../spack/spec/lockfile.ts";
export type { SpecGraph, SpecNode } from "../spack/spec/node.ts";
export { readSpecFile, type SpecDocument } from "../spack/spec/spec-file.ts";
export { Store, type StoreOptions } from "../spack/store/store.ts";
export { type StoreLockOptions, StoreLocks } from "../store/locks.ts";

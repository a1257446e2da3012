// `spack.lock`, the concrete specs of an environment: versions 1 to 6 (Spack `environment/environment.py`).
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { readBounded } from "../../util/read-file.ts";
import { inside, listAt, objectAt, optionalStringAt, own, type Place, stringAt, wrong } from "../text/fields.ts";
import { isObject, parseJsonBytes } from "../text/json.ts";
import type { JsonObject } from "../text/json-value.ts";
import { GraphBuilder, graphOf } from "./graph.ts";
import type { SpecGraph, SpecNode } from "./node.ts";
import { preOrder } from "./traversal.ts";

/** A root of an environment. */
export interface LockRoot {
  readonly node: SpecNode;
  /** What the user asked for, in Spack's syntax. */
  readonly spec: string;
  /** The environment it was included from (`include_concrete`); undefined for the environment's own roots. */
  readonly includedFrom: string | undefined;
}

/** A lock file. */
export interface Lockfile {
  /** 1 to 6. */
  readonly version: number;
  /** The roots in file order; those of included environments come after the environment's own. */
  readonly roots: readonly LockRoot[];
  readonly graph: SpecGraph;
  /** The version of Spack that wrote it; absent in old files. */
  readonly spackVersion: string | undefined;
}

/** The size limit of a lock file, in bytes. */
export const LOCKFILE_LIMIT: number = 256 * 1024 * 1024;
const VALUE_LIMIT = 10_000_000;

// The spec format of the nodes, by lock file version.
const FORMATS: ReadonlyMap<number, number> = new Map([
  [1, 1],
  [2, 1],
  [3, 2],
  [4, 3],
  [5, 4],
  [6, 5],
]);
const NEWEST_LOCKFILE = 6;
// Before this version, keys were hashes of another kind, and several keys could stand for one DAG hash.
const FIRST_WITH_DAG_HASHES = 4;

/** Reads the lock file of an environment directory. Throws NOT_FOUND if it is missing, otherwise as `readLockfile`. */
export async function readEnvironmentLock(directory: string): Promise<Lockfile> {
  const file = `${directory}/spack.lock`;
  try {
    return readLockfile((await readBounded(file, LOCKFILE_LIMIT)).bytes, file);
  } catch (error) {
    if (!(error instanceof StaveError && error.code === "NOT_FOUND")) throw error;
    throw new StaveError("NOT_FOUND", `the environment ${directory} is not concretized: ${file} does not exist`, {
      subject: directory,
      hint: `spack -e ${directory} concretize`,
      cause: error,
    });
  }
}

/** How much of a file is looked at to recognize a `spack.yaml`: Spack writes long comments before the first key. */
const MANIFEST_HEAD = 4096;
const MANIFEST = /^\s*(?:(?:#[^\n]*\n|---)\s*)*spack:/;

/** Parses a lock file. Throws CONTENT_INVALID for damaged content, or SPEC_INVALID if the specs do not form a DAG. */
export function readLockfile(bytes: Uint8Array, name: string): Lockfile {
  const place: Place = { source: { name, hint: "concretize the environment again: spack concretize --force" } };
  const start = bytes.subarray(0, MANIFEST_HEAD);
  if (MANIFEST.test(Buffer.from(start).toString("latin1")))
    throw new StaveError("CONTENT_INVALID", `${printable(name)} is a spack.yaml, expected a spack.lock`, {
      subject: name,
      hint: `name ${printable(name.replace(/[^/]*$/, "spack.lock"))}, which \`spack concretize\` writes beside it`,
    });
  const document = parseJsonBytes(bytes, { ...place.source, values: VALUE_LIMIT });
  if (!isObject(document)) throw wrong(place, "", document, "an object");
  const version = readVersion(objectAt(document, "_meta", place), inside(place, "_meta"));
  const builder = new GraphBuilder();
  const keys: RootKey[] = [];
  readEnvironment(document, { version, includedFrom: undefined, place, builder, keys });
  const all = builder.build();
  const found = keys.map(({ key, place: where, ...root }): LockRoot => {
    const node = builder.get(key);
    if (node === undefined) throw wrong(where, "hash", key, "the key of a concrete spec");
    return { ...root, node };
  });
  // If several nodes have one DAG hash, the first that the roots reach counts.
  const graph = version >= FIRST_WITH_DAG_HASHES ? all : graphOf(preOrder(found.map(({ node }) => node)));
  const roots = found.map((root) => ({ ...root, node: graph.get(root.node.hash) ?? root.node }));
  const spack = own(document, "spack");
  const spackVersion = isObject(spack) ? optionalStringAt(spack, "version", inside(place, "spack")) : undefined;
  return { version, roots, graph, spackVersion };
}

function readVersion(meta: JsonObject, place: Place): number {
  const version = own(meta, "lockfile-version");
  if (typeof version === "number" && FORMATS.has(version)) return version;
  const error = wrong(place, "lockfile-version", version, `a lock file version from 1 to ${NEWEST_LOCKFILE}`);
  const newer = typeof version === "number" && version > NEWEST_LOCKFILE;
  throw newer ? error.with({ hint: "it was written by a newer Spack; update stave" }) : error;
}

interface RootKey {
  readonly key: string;
  readonly spec: string;
  readonly includedFrom: string | undefined;
  readonly place: Place;
}

/** Where an environment is in a lock file, and what is collected from it. */
interface LockPlace {
  readonly version: number;
  readonly includedFrom: string | undefined;
  readonly place: Place;
  readonly builder: GraphBuilder;
  readonly keys: RootKey[];
}

// An included environment has the form of the whole file, without the head.
function readEnvironment(environment: JsonObject, at: LockPlace): void {
  const { version, includedFrom, place, builder, keys } = at;
  for (const [index, root] of listAt(environment, "roots", place).entries()) {
    const where = inside(inside(place, "roots"), index);
    if (!isObject(root)) throw wrong(inside(place, "roots"), index, root, "an object");
    keys.push({ key: stringAt(root, "hash", where), spec: stringAt(root, "spec", where), includedFrom, place: where });
  }
  readConcreteSpecs(objectAt(environment, "concrete_specs", place), version, inside(place, "concrete_specs"), builder);
  if (own(environment, "include_concrete") === undefined) return;
  const included = objectAt(environment, "include_concrete", place);
  for (const path of Object.keys(included)) {
    const where = inside(place, "include_concrete");
    readEnvironment(objectAt(included, path, where), { ...at, includedFrom: path, place: inside(where, path) });
  }
}

function readConcreteSpecs(specs: JsonObject, version: number, outer: Place, builder: GraphBuilder): void {
  const place: Place = { ...outer, source: { ...outer.source, code: "SPEC_INVALID" } };
  const format = FORMATS.get(version) ?? NEWEST_LOCKFILE;
  for (const key of Object.keys(specs)) {
    // Environments that include each other repeat specs.
    if (builder.get(key) !== undefined) continue;
    const node = builder.add(specs[key], format, inside(place, key), key);
    if (version >= FIRST_WITH_DAG_HASHES && node.hash !== key)
      throw wrong(inside(place, key), "hash", node.hash, `its key, ${key}`);
  }
}

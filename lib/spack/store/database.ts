// Parses install databases and build cache indexes, `index.json` versions 5 to 8 (Spack `database.py`). store.ts
// locates the files and decides when to read them.

import { type Dangling, GraphBuilder } from "../spec/graph.ts";
import type { SpecGraph, SpecNode } from "../spec/node.ts";
import { isDagHash, NEWEST_FORMAT } from "../spec/node-reader.ts";
import { booleanAt, inside, objectAt, optionalStringAt, own, type Place, wrong } from "../text/fields.ts";
import { isObject, type JsonSource, parseJsonBytes } from "../text/json.ts";
import type { JsonObject, JsonValue } from "../text/json-value.ts";

/** The database record of one spec. */
export interface InstallRecord {
  readonly node: SpecNode;
  /** The absolute prefix; null if not installed, or for an external known only by its modules. */
  readonly path: string | null;
  /**
   * False for specs that are recorded but not installed: build dependencies that were not needed, or uninstalled specs.
   */
  readonly installed: boolean;
  /** True if the user requested it by name. */
  readonly explicit: boolean;
  /** The number of records in the same database that depend on it, plus those deprecated in its favor. */
  readonly refCount: number;
  /** Seconds since the epoch. */
  readonly installationTime: number | undefined;
  /** The hash of the replacement, if deprecated. */
  readonly deprecatedFor: string | undefined;
  /** The origin of a record that does not come from an installation, such as `external-db`. */
  readonly origin: string | undefined;
  /** In a build cache index: true if the cache has the binary. */
  readonly inBuildcache: boolean;
  /** The index of its database among those read together: 0 is the local one, then the upstreams. */
  readonly database: number;
  /** The record as read. */
  readonly raw: JsonObject;
}

/** What a record says about its installation. */
export type RecordFields = Omit<InstallRecord, "node" | "raw">;

/** One or more databases, linked together. */
export interface Database {
  /** The version of the first: 5 to 8. */
  readonly version: number;
  /** By DAG hash, in file order. */
  readonly records: ReadonlyMap<string, InstallRecord>;
  readonly graph: SpecGraph;
  /** Dependencies that no database has; like Spack, the graph leaves out these edges. */
  readonly dangling: readonly Dangling[];
}

/** The bytes of a database, and its name in messages. */
export interface DatabaseSource extends JsonSource {
  readonly bytes: Uint8Array;
}

/** The JSON of one database, before its records are read. */
export interface DatabaseDocument {
  /** Where it comes from, for messages. */
  readonly source: JsonSource;
  readonly document: JsonObject;
}

/** Maximum number of values, for a database of DATABASE_LIMIT bytes. */
const VALUE_LIMIT = 20_000_000;

/** Two more than JSON_DEPTH_LIMIT: nodes lie deeper here than in a spec file, and what can be read can be recorded. */
const DEPTH_LIMIT = 66;

// The spec format of the nodes, by version of the database.
const FORMATS: ReadonlyMap<string, number> = new Map([
  ["5", 1],
  ["6", 3],
  ["7", 4],
  ["8", 5],
]);

/** What to do about a database that cannot be used. */
export const REINDEX_HINT = "run `spack reindex` with the Spack that owns the store";

/** The newest supported database version (Spack 1.0 to 1.2). */
export const NEWEST_DATABASE = 8;

/** The text of a database of this version without records. */
export function emptyDatabase(version: number): Buffer {
  return Buffer.from(`{"database":{"version":"${version}","installs":{}}}`);
}

/** Parses one database or index. Throws as `readDatabases`. */
export function readDatabase(source: DatabaseSource): Database {
  return readDatabases([source]);
}

/**
 * Parses the JSON of a database; `linkDatabases` reads its records. Throws CONTENT_INVALID, or TOO_LARGE if it has too
 * many values.
 */
export function parseDatabase({ bytes, ...source }: DatabaseSource): DatabaseDocument {
  const document = parseJsonBytes(bytes, { values: VALUE_LIMIT, depth: DEPTH_LIMIT, ...source });
  if (!isObject(document)) throw wrong({ source }, "", document, "an object");
  return { source, document };
}

/**
 * Parses a database and its upstreams together: dependencies are resolved across all of them, and of duplicate records
 * the first counts. Throws CONTENT_INVALID unless it is a database of a supported version, SPEC_INVALID if its specs do
 * not form a DAG, TOO_LARGE if one has too many values; all name the place.
 */
export function readDatabases(sources: readonly DatabaseSource[]): Database {
  return linkDatabases(sources.map(parseDatabase));
}

/** Reads the records of parsed databases and links their graphs. Throws as `readDatabases`, except TOO_LARGE. */
export function linkDatabases(documents: readonly DatabaseDocument[]): Database {
  const heads = documents.map(readHead);
  const builder = new GraphBuilder();
  const records = new Map<string, InstallRecord>();
  for (const [at, { version, installs, place }] of heads.entries())
    readInstalls({ installs, version, place }, at, builder, records);
  const dangling: Dangling[] = [];
  const graph = builder.build((missing) => dangling.push(missing));
  return { version: heads[0]?.version ?? NEWEST_DATABASE, records, graph, dangling };
}

interface Head {
  readonly version: number;
  readonly installs: JsonObject;
  readonly place: Place;
}

function readHead({ source, document }: DatabaseDocument): Head {
  const root: Place = { source };
  const database = objectAt(document, "database", root);
  const place = inside(root, "database");
  const version = readVersion(own(database, "version"), place);
  return { version, installs: objectAt(database, "installs", place), place: inside(place, "installs") };
}

/** The version of a database. Throws CONTENT_INVALID for one that is not supported. */
export function databaseVersion(document: DatabaseDocument): number {
  return readHead(document).version;
}

/** Reads `database.version`, 5 to 8. Throws CONTENT_INVALID with advice for other versions. */
export function readVersion(value: JsonValue | undefined, place: Place): number {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text === "string" && FORMATS.has(text)) return Number(text);
  const error = wrong(place, "version", value, `a database version from 5 to ${NEWEST_DATABASE}`);
  if (typeof text !== "string" || !/^[0-9]+(\.[0-9]+)*$/.test(text)) throw error;
  const newer = Number.parseInt(text, 10) > NEWEST_DATABASE;
  throw error.with({
    hint: newer
      ? "it was written by a newer Spack; update stave"
      : "it was written by an old Spack; run `spack reindex`",
  });
}

/** The spec format of nodes in a database of this version. */
export function nodeFormat(version: number): number {
  return FORMATS.get(String(version)) ?? NEWEST_FORMAT;
}

function readInstalls(
  { installs, version, place }: Pick<Head, "installs" | "version" | "place">,
  database: number,
  builder: GraphBuilder,
  records: Map<string, InstallRecord>,
): void {
  const format = nodeFormat(version);
  const specs: Place = { ...place, source: { ...place.source, code: "SPEC_INVALID" } };
  for (const hash of Object.keys(installs)) {
    if (!isDagHash(hash)) throw wrong(place, hash, installs[hash], "only DAG hashes as keys");
    if (records.has(hash)) continue;
    const record = installs[hash];
    if (!isObject(record)) throw wrong(place, hash, record, "an object");
    const where = inside(specs, hash);
    const node = builder.add(own(record, "spec"), format, inside(where, "spec"), hash);
    if (node.hash !== hash) throw wrong(inside(where, "spec"), "hash", node.hash, `the key of the record, ${hash}`);
    records.set(hash, { node, ...readRecordFields(record, inside(place, hash), database), raw: record });
  }
}

/** Reads what a record says about its installation. Throws CONTENT_INVALID. */
export function readRecordFields(record: JsonObject, place: Place, database: number): RecordFields {
  const deprecatedFor = optionalStringAt(record, "deprecated_for", place);
  return {
    path: readPath(record, place),
    installed: booleanAt(record, "installed", place, false),
    explicit: booleanAt(record, "explicit", place, false),
    refCount: readNumber(record, "ref_count", place) ?? 0,
    installationTime: readNumber(record, "installation_time", place),
    deprecatedFor,
    origin: optionalStringAt(record, "origin", place),
    inBuildcache: booleanAt(record, "in_buildcache", place, false),
    database,
  };
}

// Old databases write Python's None as a string.
function readPath(record: JsonObject, place: Place): string | null {
  const path = optionalStringAt(record, "path", place);
  if (path === undefined || path === "None") return null;
  if (!path.startsWith("/") || path.includes("\0")) throw wrong(place, "path", path, "an absolute path");
  return path;
}

function readNumber(record: JsonObject, key: string, place: Place): number | undefined {
  const value = own(record, key) ?? undefined;
  if (value !== undefined && typeof value !== "number") throw wrong(place, key, value, "a number");
  return value;
}

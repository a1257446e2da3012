// Reads Spack's files in `.spack/` of an install prefix: the spec and the list of installed files.
import { isStaveError, StaveError } from "../../errors.ts";
import { release } from "../../util/free-chunks.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { shortName } from "../spec/node-reader.ts";
import { readSpecDocument, SPEC_FILE_LIMIT, type SpecDocument } from "../spec/spec-file.ts";
import { inside, own, type Place, wrong } from "../text/fields.ts";
import { isObject, parseJsonBytes } from "../text/json.ts";
import type { JsonObject } from "../text/json-value.ts";
import type { Recurring } from "../text/recurring.ts";
import { type InstallRecord, REINDEX_HINT } from "./database.ts";
import type { Store } from "./store.ts";

/** The folder of Spack's own files inside a prefix. */
export const METADATA_FOLDER = ".spack";

const SPEC_FILE = `${METADATA_FOLDER}/spec.json`;

/**
 * Reads the spec in the prefix of a record and checks that it is the recorded one. Throws SPEC_NOT_INSTALLED if it is
 * missing, SPEC_INVALID if it is another spec. `recurring` shares its nodes with other specs.
 */
export async function readInstalledSpec(
  store: Store,
  record: Pick<InstallRecord, "node" | "installed">,
  recurring?: Recurring,
): Promise<SpecDocument> {
  const prefix = store.prefixOf(record.node);
  const directory = store.locate(prefix);
  const file = `${directory}/${SPEC_FILE}`;
  const bytes = readBelow(directory, SPEC_FILE, SPEC_FILE_LIMIT);
  if (bytes === undefined) throw notThere(file, record);
  const document = readSpecDocument(parseJsonBytes(bytes, { name: file, ...(recurring && { recurring }) }), {
    name: file,
  });
  release(bytes);
  if (document.root.hash === record.node.hash) return document;
  const problem = `${file} is the spec ${shortName(document.root)}, but the database has ${shortName(record.node)} there`;
  throw new StaveError("SPEC_INVALID", problem, { subject: file, hint: REINDEX_HINT });
}

function notThere(file: string, { node, installed }: Pick<InstallRecord, "node" | "installed">): StaveError {
  return new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is not installed: ${file} does not exist`, {
    subject: node.hash,
    hint: installed ? `the database is stale; ${REINDEX_HINT}` : "install it first",
  });
}

// Undefined if the file or its folder is missing.
function readBelow(directory: string, path: string, limit: number): Buffer | undefined {
  try {
    using tree = new HeldTree(directory);
    return tree.read(path, limit);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

/** The path of the list of installed files, relative to a prefix. */
export const INSTALL_MANIFEST: string = `${METADATA_FOLDER}/install_manifest.json`;

/** The name of a file that Spack writes after the list, and ignores in every folder when verifying. */
export const INSTALL_TIMES = "install_times.json";

const NANO = 1_000_000_000n;

/** Converts nanoseconds to seconds since the epoch exactly as Python does: times are compared for equality. */
export function pythonTime(nanoseconds: bigint): number {
  const rest = ((nanoseconds % NANO) + NANO) % NANO;
  return Number((nanoseconds - rest) / NANO) + 1e-9 * Number(rest);
}

/** One path of `install_manifest.json` (Spack `verify.py`). */
export interface ManifestEntry {
  /** The full `st_mode`. */
  readonly mode: number;
  readonly owner: number;
  readonly group: number;
  /** For files: SHA-1 in upper-case base32, modification time in seconds, and size in bytes. */
  readonly hash?: string;
  readonly time?: number;
  readonly size?: number;
  /** For symbolic links: the target. */
  readonly dest?: string;
}

/** The size limit of an install manifest, in bytes: about a million files. */
const MANIFEST_LIMIT = 256 * 1024 * 1024;
const MANIFEST_VALUES = 10_000_000;

/**
 * The prefix that the install manifest in a folder describes, possibly another folder; undefined if the manifest is
 * missing or empty. Throws CONTENT_INVALID and TOO_LARGE.
 */
export async function readManifestPrefix(directory: string): Promise<string | undefined> {
  const file = `${directory}/${INSTALL_MANIFEST}`;
  const bytes = readBelow(directory, INSTALL_MANIFEST, MANIFEST_LIMIT);
  if (bytes === undefined) return undefined;
  const place: Place = { source: { name: file } };
  const document = parseJsonBytes(bytes, { ...place.source, values: MANIFEST_VALUES });
  if (!isObject(document)) throw wrong(place, "", document, "an object");
  // All other paths are below the prefix.
  let shortest: string | undefined;
  for (const path of Object.keys(document)) if (path.length < (shortest?.length ?? Infinity)) shortest = path;
  return shortest;
}

/**
 * Reads the list of installed files of a prefix, by absolute path; undefined if missing. After an install from a build
 * cache, the paths may be those of the build machine. Throws CONTENT_INVALID.
 */
export async function readInstallManifest(
  store: Store,
  record: InstallRecord,
): Promise<ReadonlyMap<string, ManifestEntry> | undefined> {
  const prefix = store.locate(store.prefixOf(record.node));
  const file = `${prefix}/${INSTALL_MANIFEST}`;
  const bytes = readBelow(prefix, INSTALL_MANIFEST, MANIFEST_LIMIT);
  if (bytes === undefined) return undefined;
  const place: Place = { source: { name: file } };
  const document = parseJsonBytes(bytes, { ...place.source, values: MANIFEST_VALUES });
  if (!isObject(document)) throw wrong(place, "", document, "an object");
  return new Map(
    Object.keys(document).map((path) => {
      const entry = document[path];
      if (!path.startsWith("/")) throw wrong(place, path, entry, "only absolute paths as keys");
      if (!isObject(entry)) throw wrong(place, path, entry, "an object");
      return [path, readEntry(entry, inside(place, path))];
    }),
  );
}

function readEntry(entry: JsonObject, place: Place): ManifestEntry {
  const number = (key: string): number | undefined => {
    const value = own(entry, key) ?? undefined;
    if (value !== undefined && typeof value !== "number") throw wrong(place, key, value, "a number");
    return value;
  };
  const text = (key: string): string | undefined => {
    const value = own(entry, key) ?? undefined;
    if (value !== undefined && typeof value !== "string") throw wrong(place, key, value, "a string");
    return value;
  };
  const [mode, owner, group] = ["mode", "owner", "group"].map(number);
  if (mode === undefined) throw wrong(place, "mode", undefined, "a number");
  const [hash, dest] = ["hash", "dest"].map(text);
  const [time, size] = ["time", "size"].map(number);
  return {
    mode,
    owner: owner ?? 0,
    group: group ?? 0,
    ...(hash === undefined ? {} : { hash }),
    ...(time === undefined ? {} : { time }),
    ...(size === undefined ? {} : { size }),
    ...(dest === undefined ? {} : { dest }),
  };
}

// `verify`: checks whether installed files have changed since installation (Spack `verify.py`).
import { createHash } from "node:crypto";
import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { fileError, isStaveError, systemCode } from "../../errors.ts";
import { walkTree } from "../../relocate/tree/walk-tree.ts";
import { base32 } from "../../spack/spec/dag-hash.ts";
import type { InstallRecord } from "../../spack/store/database.ts";
import {
  INSTALL_MANIFEST,
  INSTALL_TIMES,
  type ManifestEntry,
  pythonTime,
  readInstallManifest,
} from "../../spack/store/prefix-metadata.ts";
import type { Store } from "../../spack/store/store.ts";
import { type ByteString, bytesOfPythonText, bytesOfText, shownName } from "../../util/byte-string.ts";
import { type FsPath, HeldTree } from "../../util/held-tree.ts";
import { forEachLimit } from "../../util/limit.ts";

/** What to verify. */
export interface VerifyOptions {
  readonly store: Store;
  /** The specs; externals have no list of files and are skipped. */
  readonly records: readonly InstallRecord[];
  /** How many specs are read at once. */
  readonly jobs: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a path differs from the list, in Spack's terms. */
export type Difference =
  | "added"
  | "deleted"
  | "owner"
  | "group"
  | "mode"
  | "link"
  | "type"
  | "size"
  | "mtime"
  | "hash"
  | "manifest missing"
  | "manifest corrupted"
  | "manifest of another prefix"
  | "prefix missing";

/** One spec that was checked. */
export interface VerifiedSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** The prefix as recorded. */
  readonly prefix: string;
  /** How many files, links and folders were compared. */
  readonly entries: number;
  /** By recorded path, made printable. */
  readonly differences: Readonly<Record<string, readonly Difference[]>>;
}

/** The report of `verify`. */
export interface VerifyReport {
  readonly store: string;
  /** In the order given. */
  readonly specs: readonly VerifiedSpec[];
  /** How many of them differ. */
  readonly differing: number;
}

/** Compares prefixes with their lists of files. Throws FILE_SYSTEM for files that cannot be read. */
export async function verify({ store, records, jobs, signal }: VerifyOptions): Promise<VerifyReport> {
  const found = new Map<string, VerifiedSpec>();
  const built = records.filter(({ node }) => node.external === undefined);
  await forEachLimit(
    built,
    jobs,
    async (record) => void found.set(record.node.hash, await verifyOne(store, record, signal)),
    signal,
  );
  const specs = built.flatMap(({ node }) => found.get(node.hash) ?? []);
  return {
    store: store.root,
    specs,
    differing: specs.filter((spec) => Object.keys(spec.differences).length > 0).length,
  };
}

async function verifyOne(store: Store, record: InstallRecord, signal: AbortSignal | undefined): Promise<VerifiedSpec> {
  const { name, version, hash } = record.node;
  const prefix = store.prefixOf(record.node);
  const differences: Record<string, readonly Difference[]> = {};
  const done = (entries: number): VerifiedSpec => ({ name, version, hash, prefix, entries, differences });
  const whole = (difference: Difference): VerifiedSpec => {
    differences[prefix] = [difference];
    return done(0);
  };
  const directory = store.locate(prefix);
  const root = statsOf(directory);
  if (root === undefined) return whole("prefix missing");
  using tree = new HeldTree(directory);
  let manifest: ReadonlyMap<string, ManifestEntry> | undefined;
  try {
    manifest = await readInstallManifest(store, record);
  } catch (error) {
    if (isStaveError(error, "CONTENT_INVALID", "TOO_LARGE")) return whole("manifest corrupted");
    throw error;
  }
  if (manifest === undefined) return whole("manifest missing");
  // If Spack installed the spec from a build cache, this is the list of the machine that built it.
  if (!manifest.has(prefix) && manifest.size > 0) return whole("manifest of another prefix");
  const expected = new Map(Array.from(manifest, ([path, entry]) => [bytesOfPythonText(path), entry]));
  let entries = 0;
  const compare = async (path: ByteString, below: ByteString, stats: BigIntStats | undefined): Promise<void> => {
    const entry = expected.get(path);
    expected.delete(path);
    const problems = stats === undefined ? ["deleted" as const] : await compareEntry(tree, below, stats, entry);
    if (problems.length > 0) differences[shownName(path)] = problems;
    entries++;
  };
  const recorded = bytesOfText(prefix);
  await compare(recorded, "", root);
  for (const { path } of walkTree(tree)) {
    signal?.throwIfAborted();
    // A list cannot contain its own hash; the times are written after it.
    if (path === INSTALL_MANIFEST || path.slice(path.lastIndexOf("/") + 1) === INSTALL_TIMES) continue;
    await compare(`${recorded}/${path}`, path, statsOf(tree.at(path), path));
  }
  for (const path of expected.keys()) differences[shownName(path)] = ["deleted"];
  return done(entries);
}

async function compareEntry(
  tree: HeldTree,
  path: ByteString,
  stats: BigIntStats,
  entry: ManifestEntry | undefined,
): Promise<Difference[]> {
  if (entry === undefined) return ["added"];
  const out: Difference[] = [];
  if (stats.uid !== BigInt(entry.owner)) out.push("owner");
  if (stats.gid !== BigInt(entry.group)) out.push("group");
  if (stats.isSymbolicLink()) {
    if (entry.dest === undefined || tree.target(path) !== bytesOfPythonText(entry.dest)) out.push("link");
    return out;
  }
  // Old lists have the mode of a link's target, so skip links.
  if (stats.mode !== BigInt(entry.mode)) out.push("mode");
  if (!stats.isFile()) return entry.hash === undefined ? out : [...out, "type"];
  if (entry.hash === undefined) return [...out, "type"];
  if (stats.size !== BigInt(entry.size ?? -1)) out.push("size");
  if (pythonTime(stats.mtimeNs) !== entry.time) out.push("mtime");
  if ((await hashOf(tree, path)) !== entry.hash) out.push("hash");
  return out;
}

function statsOf(place: FsPath, shown = String(place)): BigIntStats | undefined {
  try {
    return lstatSync(place, { bigint: true });
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(cause) ?? "")) return undefined;
    throw fileError(cause, "read", shownName(shown));
  }
}

const WINDOW = 1 << 20;
const readAt = promisify(read);

async function hashOf(tree: HeldTree, path: ByteString): Promise<string> {
  try {
    const file = openSync(tree.at(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const sha1 = createHash("sha1");
      const { size } = fstatSync(file);
      const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(size, WINDOW)));
      for (;;) {
        const { bytesRead } = await readAt(file, buffer, 0, buffer.length, null);
        if (bytesRead === 0) return base32(sha1.digest()).toUpperCase();
        sha1.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw fileError(cause, "read", shownName(path));
  }
}

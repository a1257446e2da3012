// `uninstall`: removes installed specs from a store, unless others need them (Spack `cmd/uninstall.py`).
import { access, constants, readdir } from "node:fs/promises";
import { aggregate, fileError, isStaveError, StaveError, systemCode } from "../errors.ts";
import { topological } from "../spack/dag.ts";
import type { Database, InstallRecord } from "../spack/database.ts";
import { printable } from "../spack/json.ts";
import { readEnvironmentLock } from "../spack/lockfile.ts";
import { shortName } from "../spack/name.ts";
import { LINK, RUN, type SpecNode } from "../spack/node.ts";
import type { Store } from "../spack/store.ts";
import type { Release, StoreLocks } from "../store/locks.ts";
import { placeInStore } from "../store/place.ts";
import { removePrefix } from "../store/staged-prefix.ts";
import { updateDatabase } from "../store/update.ts";
import type { Clock } from "../util/time.ts";

/** What is removed. */
export interface UninstallOptions {
  readonly store: Store;
  /** Installed specs of this store. */
  readonly nodes: readonly SpecNode[];
  /** What links or runs them goes too; otherwise it is a reason to refuse. */
  readonly dependents: boolean;
  /** The folder of named environments; one that has any of them is a reason to refuse. */
  readonly environmentsRoot?: string | undefined;
  /** The folder of the environment in use, which is none. */
  readonly environment?: string | undefined;
  /** There is no reason to refuse. */
  readonly force?: boolean | undefined;
}

/** One spec that is or was removed. */
export interface UninstalledSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** Null for an external that is known by its modules only. */
  readonly prefix: string | null;
  /** Only its record goes: it was not installed by Spack. */
  readonly external: boolean;
  /** It was not named; it depends on what was. */
  readonly dependent: boolean;
}

export interface UninstallReport {
  readonly store: string;
  /** Dependents first. */
  readonly specs: readonly UninstalledSpec[];
}

/**
 * What an uninstallation would remove, dependents first. Throws CONFLICT, listing them, when specs that stay depend on it, or
 * environments have it; SPEC_NOT_INSTALLED for what is not there, and UNSUPPORTED for what is in an upstream store.
 */
export async function planUninstall(options: UninstallOptions): Promise<UninstallReport> {
  const { store } = options;
  const specs = chosen(store.database, options.nodes, options);
  if (options.force !== true) await checkEnvironments(options, new Set(specs.map(({ hash }) => hash)));
  return { store: store.root, specs };
}

/**
 * Removes specs: first from the database, so that nothing counts as installed that is half there, then from disk. Throws
 * as the plan; CONFLICT too when something came to depend on them meanwhile, PARTIAL when prefixes could not be removed.
 */
export async function uninstall(
  options: UninstallOptions & { readonly locks: StoreLocks; readonly clock: Clock },
): Promise<UninstallReport> {
  const { store, nodes, locks, clock } = options;
  const { specs } = await planUninstall(options);
  const hashes = new Set(specs.map(({ hash }) => hash));
  const held: Release[] = [];
  try {
    // In one order, so that two that wait for each other cannot be.
    for (const hash of [...hashes].toSorted()) held.push(await locks.prefix(hash, "exclusive"));
    for (const { prefix, external } of specs) if (!external && prefix !== null) await checkRemovable(store, prefix);
    let done: UninstalledSpec[] = [];
    await updateDatabase(store, { clock, locks }, (database) => {
      // Somebody else may have removed some of them meanwhile.
      const left = nodes.filter(({ hash }) => database.records.get(hash)?.installed);
      done = chosen(database, left, options);
      const [more] = done.filter(({ hash }) => !hashes.has(hash));
      if (more !== undefined)
        throw new StaveError("CONFLICT", `${more.name}@${more.version} was installed meanwhile, and depends on them`, {
          subject: more.hash,
          hint: "run the same command again",
        });
      return done.map(({ hash }) => ({ op: "remove", hash }));
    });
    const failures: StaveError[] = [];
    for (const { hash, external } of done) {
      const node = store.get(hash)?.node;
      if (node === undefined || external) continue;
      await removePrefix(store, node).catch((error: unknown) => failures.push(fileError(error, "remove", hash)));
    }
    if (failures.length > 0) throw aggregate(failures, "prefixes to be removed");
    return { store: store.root, specs: done };
  } finally {
    for (const release of held) release();
  }
}

// What the database is told must be possible on disk.
async function checkRemovable(store: Store, prefix: string): Promise<void> {
  const { parent } = await placeInStore(store, prefix);
  try {
    await access(parent, constants.W_OK);
  } catch (cause) {
    const error = fileError(cause, "write", parent);
    // What is gone already needs no permission.
    if (error.code !== "NOT_FOUND") throw error;
  }
}

function chosen(
  database: Database,
  nodes: readonly SpecNode[],
  { dependents, force }: Pick<UninstallOptions, "dependents" | "force">,
): UninstalledSpec[] {
  const records = nodes.map((node) => recordOf(database, node));
  const named = new Set(records.map(({ node }) => node.hash));
  const above = dependents || force !== true ? dependentsOf(database, named) : [];
  if (above.length > 0 && !dependents) throw needed(above);
  const all = new Map([...records, ...above].map((record) => [record.node.hash, record]));
  return topological([...all.values()].map(({ node }) => node)).flatMap((node) => {
    const record = all.get(node.hash);
    if (record === undefined) return [];
    const { name, version, hash } = node;
    const external = node.external !== undefined;
    return [{ name, version, hash, prefix: record.path, external, dependent: !named.has(hash) }];
  });
}

function recordOf(database: Database, node: SpecNode): InstallRecord {
  const record = database.records.get(node.hash);
  if (record === undefined || !record.installed)
    throw new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is not installed`, { subject: node.hash });
  if (record.database > 0)
    throw new StaveError("UNSUPPORTED", `${shortName(node)} is in an upstream store, which is never changed`, {
      subject: node.hash,
    });
  return record;
}

// The installed specs that link or run any of them, or what does.
function dependentsOf(database: Database, hashes: ReadonlySet<string>): InstallRecord[] {
  const parents = new Map<string, InstallRecord[]>();
  for (const record of database.records.values())
    for (const { child, types } of record.node.edges) {
      if ((types & (LINK | RUN)) === 0) continue;
      const known = parents.get(child.hash);
      if (known) known.push(record);
      else parents.set(child.hash, [record]);
    }
  const seen = new Set(hashes);
  const found: InstallRecord[] = [];
  const todo = [...hashes];
  for (let hash = todo.pop(); hash !== undefined; hash = todo.pop())
    for (const record of parents.get(hash) ?? []) {
      if (seen.has(record.node.hash)) continue;
      seen.add(record.node.hash);
      todo.push(record.node.hash);
      if (record.installed && record.database === 0) found.push(record);
    }
  return found;
}

async function checkEnvironments(
  { environmentsRoot: root, environment }: UninstallOptions,
  hashes: ReadonlySet<string>,
): Promise<void> {
  if (root === undefined) return;
  const found: string[] = [];
  for (const name of await foldersOf(root)) {
    const folder = `${root}/${name}`;
    if (folder !== environment && (await hasAny(folder, hashes))) found.push(name);
  }
  if (found.length === 0) return;
  const [has, environments] = found.length === 1 ? ["has", "environment"] : ["have", "environments"];
  throw new StaveError(
    "CONFLICT",
    `the ${environments} ${printable(found.join(", "))} ${has} what is to be uninstalled`,
    {
      subject: root,
      hint: "remove it from there with `spack -e NAME remove`, or use --force",
    },
  );
}

// An environment that is not concretized needs nothing.
async function hasAny(folder: string, hashes: ReadonlySet<string>): Promise<boolean> {
  try {
    const { graph } = await readEnvironmentLock(folder);
    return [...hashes].some((hash) => graph.get(hash) !== undefined);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return false;
    throw error;
  }
}

async function foldersOf(root: string): Promise<string[]> {
  try {
    const entries = await readdir(root, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isFile() ? [] : [entry.name])).toSorted();
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read folder", root);
  }
}

const LISTED = 10;

function needed(above: readonly InstallRecord[]): StaveError {
  const names = above.slice(0, LISTED).map(({ node }) => shortName(node));
  const more = above.length > LISTED ? ` and ${above.length - LISTED} more` : "";
  const depend = above.length === 1 ? "depends" : "depend";
  return new StaveError("CONFLICT", `${names.join(", ")}${more} ${depend} on what is to be uninstalled`, {
    hint: "--dependents uninstalls what depends on it too, --force leaves that broken",
  });
}

// `uninstall`: removes installed specs from a store, unless others need them (Spack `cmd/uninstall.py`).
import { isStaveError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { readEnvironmentLock } from "../../spack/spec/lockfile.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Database, InstallRecord } from "../../spack/store/database.ts";
import type { Store } from "../../spack/store/store.ts";
import type { StoreLocks } from "../../store/locks.ts";
import type { Clock } from "../../util/time.ts";
import { namedEnvironments } from "./named-environments.ts";
import { removeSpecs, type UninstalledSpec, uninstalledSpecs } from "./remove-specs.ts";

/** What to remove, and what may prevent it. */
export interface UninstallOptions {
  readonly store: Store;
  /** Installed specs of this store. */
  readonly nodes: readonly SpecNode[];
  /** Also remove specs that link or run them; otherwise refuse if there are any. */
  readonly dependents: boolean;
  /** The folder of named environments; refuse if one of them contains any of the specs. */
  readonly environmentsRoot?: string | undefined;
  /** The folder of the environment in use, which does not prevent removal. */
  readonly environment?: string | undefined;
  /** Remove the specs in any case. */
  readonly force?: boolean | undefined;
}

/** The report of `uninstall`. */
export interface UninstallReport {
  readonly store: string;
  /** Dependents first. */
  readonly specs: readonly UninstalledSpec[];
}

/**
 * Plans an uninstallation, dependents first. Throws CONFLICT if other specs or environments need a spec,
 * SPEC_NOT_INSTALLED for a spec that is not installed, and UNSUPPORTED for a spec of an upstream store.
 */
export async function planUninstall(options: UninstallOptions): Promise<UninstallReport> {
  const { store } = options;
  const specs = chosen(store.database, options.nodes, options);
  if (options.force !== true) await checkEnvironments(options, new Set(specs.map(({ hash }) => hash)));
  return { store: store.root, specs };
}

/**
 * Removes specs: moves their prefixes away, updates the database, and deletes the files, in the order of
 * store/protocol.ts. Throws like the plan, CONFLICT if a dependent was installed in the meantime, and PARTIAL if
 * prefixes could not be deleted.
 */
export async function uninstall(
  options: UninstallOptions & { readonly locks: StoreLocks; readonly clock: Clock },
): Promise<UninstallReport> {
  const { store } = options;
  const { specs } = await planUninstall(options);
  const choose = (database: Database): UninstalledSpec[] => chooseAgain(database, options, specs);
  return { store: store.root, specs: await removeSpecs(options, { specs, choose }) };
}

// Another process may have removed some of them in the meantime, or installed dependents.
function chooseAgain(
  database: Database,
  options: UninstallOptions,
  specs: readonly UninstalledSpec[],
): UninstalledSpec[] {
  const left = options.nodes.filter(({ hash }) => database.records.get(hash)?.installed);
  const done = chosen(database, left, options);
  const known = new Set(specs.map(({ hash }) => hash));
  const [more] = done.filter(({ hash }) => !known.has(hash));
  if (more !== undefined)
    throw new StaveError("CONFLICT", `${more.name}@${more.version} was installed meanwhile, and depends on them`, {
      subject: more.hash,
      hint: "run the same command again",
    });
  return done;
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
  return uninstalledSpecs([...all.values()], (hash) => !named.has(hash));
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

// The installed specs that link or run any of them, directly or indirectly.
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
  for (const name of await namedEnvironments(root)) {
    const folder = `${root}/${name}`;
    if (folder !== environment && (await hasAny(folder, hashes))) found.push(name);
  }
  if (found.length === 0) return;
  const [has, environments] = found.length === 1 ? ["has", "environment"] : ["have", "environments"];
  throw new StaveError(
    "CONFLICT",
    `the ${environments} ${printable(found.join(", "))} ${has} specs to be uninstalled`,
    {
      subject: root,
      hint: "remove it from there with `spack -e NAME remove`, or use `force`",
    },
  );
}

// An environment that is not concretized needs no specs.
async function hasAny(folder: string, hashes: ReadonlySet<string>): Promise<boolean> {
  try {
    const { graph } = await readEnvironmentLock(folder);
    return [...hashes].some((hash) => graph.get(hash) !== undefined);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return false;
    throw error;
  }
}

const LISTED = 10;

function needed(above: readonly InstallRecord[]): StaveError {
  const names = above.slice(0, LISTED).map(({ node }) => shortName(node));
  const more = above.length > LISTED ? ` and ${above.length - LISTED} more` : "";
  const depend = above.length === 1 ? "depends" : "depend";
  return new StaveError("CONFLICT", `${names.join(", ")}${more} ${depend} on specs to be uninstalled`, {
    hint: "`dependents` uninstalls what depends on it too, `force` leaves that broken",
  });
}

// `uninstall`: removes installed specs from a store, unless others need them (Spack `cmd/uninstall.py`).
import { access, constants, readdir } from "node:fs/promises";
import { aggregate, fileError, isStaveError, StaveError, systemCode } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { readEnvironmentLock } from "../../spack/spec/lockfile.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { topological } from "../../spack/spec/traversal.ts";
import type { Database, InstallRecord } from "../../spack/store/database.ts";
import type { Store } from "../../spack/store/store.ts";
import { LatestStore } from "../../store/latest-store.ts";
import type { SpecLock, StoreLocks } from "../../store/locks.ts";
import { readNote, removeNote, writeNote } from "../../store/notes.ts";
import { placeInStore } from "../../store/prefix-place.ts";
import { type Actions, carryOut, type UninstallStep, uninstalling } from "../../store/protocol.ts";
import { settle } from "../../store/recover.ts";
import { StagedPrefix } from "../../store/staged-prefix.ts";
import { LockedDatabase } from "../../store/write-database.ts";
import type { Clock } from "../../util/time.ts";

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

/** One spec that is or was removed. */
export interface UninstalledSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** Null for an external that is known only by its modules. */
  readonly prefix: string | null;
  /** Only its record is removed: Spack did not install it. */
  readonly external: boolean;
  /** It was not named, but depends on a spec that was. */
  readonly dependent: boolean;
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
  const run = new UninstallRun(options, specs);
  try {
    await carryOut(uninstalling(specs.map(({ hash }) => hash)), run.actions());
  } finally {
    await run.end();
  }
  if (run.failures.length > 0) throw aggregate(run.failures, "prefixes to be removed");
  return { store: store.root, specs: run.chosen };
}

// Carries out the steps of the protocol.
class UninstallRun {
  readonly failures: StaveError[] = [];
  chosen: readonly UninstalledSpec[] = [];
  readonly #options: UninstallOptions & { readonly locks: StoreLocks; readonly clock: Clock };
  readonly #specs: readonly UninstalledSpec[];
  readonly #held = new Map<string, SpecLock[]>();
  readonly #places = new Map<string, StagedPrefix>();
  #database: LockedDatabase | undefined;

  constructor(
    options: UninstallOptions & { readonly locks: StoreLocks; readonly clock: Clock },
    specs: readonly UninstalledSpec[],
  ) {
    this.#options = options;
    this.#specs = specs;
  }

  actions(): Actions<UninstallStep> {
    const { store, locks } = this.#options;
    return {
      tryLocks: async (hash) => {
        const held: SpecLock[] = [];
        this.#held.set(hash, held);
        for (const kind of ["work", "prefix"] as const) {
          const lock = await locks.trySpec(kind, hash);
          if (lock !== undefined) held.push(lock);
          else this.#unlock(hash);
          if (lock === undefined) return false;
        }
        return true;
      },
      awaitLocks: async (hash) => {
        for (const kind of ["work", "prefix"] as const) (await locks.spec(kind, hash, "exclusive"))?.release();
      },
      unlock: (hash) => this.#unlock(hash),
      lockDatabase: async () => {
        for (const { hash, prefix, external } of this.#specs)
          if (!external && prefix !== null) this.#places.set(hash, await removable(store, hash, prefix));
        this.#database = await LockedDatabase.open(store, this.#options);
        this.chosen = this.#choose(this.#database.database);
      },
      unlockDatabase: () => this.#unlockDatabase(),
      isChosen: (hash) => this.chosen.some((spec) => spec.hash === hash),
      note: async (hash) => {
        const place = this.#places.get(hash);
        if (place) await writeNote(store, hash, place.prefix);
      },
      moveAside: async (hash) => void (await this.#places.get(hash)?.moveAside()),
      forget: async () => {
        await this.#database?.write(this.chosen.map(({ hash }) => ({ op: "remove", hash })));
      },
      clear: async (hash) => {
        const place = this.#places.get(hash);
        this.#places.delete(hash);
        try {
          await place?.clear();
          if (place) removeNote(store, hash);
        } catch (error) {
          this.failures.push(fileError(error, "remove", hash));
        }
      },
    };
  }

  /** Releases all locks, after undoing unfinished steps. */
  async end(): Promise<void> {
    try {
      const { store } = this.#options;
      if (this.#places.size > 0) {
        const latest = await new LatestStore(store).get();
        for (const [hash, place] of this.#places)
          if (readNote(store, hash) !== undefined) await settle(latest, hash, place);
      }
    } catch {
      // The notes stay, so the next run repairs it.
    } finally {
      await this.#unlockDatabase();
      for (const hash of this.#held.keys()) this.#unlock(hash);
    }
  }

  // Another process may have removed some of them in the meantime, or installed dependents.
  #choose(database: Database): UninstalledSpec[] {
    const left = this.#options.nodes.filter(({ hash }) => database.records.get(hash)?.installed);
    const done = chosen(database, left, this.#options);
    const known = new Set(this.#specs.map(({ hash }) => hash));
    const [more] = done.filter(({ hash }) => !known.has(hash));
    if (more !== undefined)
      throw new StaveError("CONFLICT", `${more.name}@${more.version} was installed meanwhile, and depends on them`, {
        subject: more.hash,
        hint: "run the same command again",
      });
    return done;
  }

  #unlock(hash: string): void {
    for (const lock of this.#held.get(hash) ?? []) lock.release();
    this.#held.delete(hash);
  }

  async #unlockDatabase(): Promise<void> {
    await this.#database?.[Symbol.asyncDispose]();
    this.#database = undefined;
  }
}

// The place of a prefix. The removal must be possible on disk before the database is changed.
async function removable(store: Store, hash: string, prefix: string): Promise<StagedPrefix> {
  const { parent } = await placeInStore(store, prefix);
  try {
    await access(parent, constants.W_OK);
  } catch (cause) {
    const error = fileError(cause, "write", parent);
    // A prefix that is already gone needs no permission.
    if (error.code !== "NOT_FOUND") throw error;
  }
  return await StagedPrefix.at(store, hash, prefix);
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
  for (const name of await foldersOf(root)) {
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
  return new StaveError("CONFLICT", `${names.join(", ")}${more} ${depend} on specs to be uninstalled`, {
    hint: "`dependents` uninstalls what depends on it too, `force` leaves that broken",
  });
}

// `gc`: removes the specs of a store that no root needs (Spack `cmd/gc.py`, `Database.unused_specs`).
import { BUILD, LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import type { Database, InstallRecord } from "../../spack/store/database.ts";
import type { Store } from "../../spack/store/store.ts";
import { type RemovalOptions, removeSpecs, type UninstalledSpec, uninstalledSpecs } from "./remove-specs.ts";

/** What keeps specs, besides that a user asked to install them. Each set has DAG hashes. */
export interface GcRoots {
  /** The specs of recent runs. */
  readonly runs: ReadonlySet<string>;
  /** The specs of environments. */
  readonly environments: ReadonlySet<string>;
  /** Specs whose files a running program uses. */
  readonly inUse: ReadonlySet<string>;
}

/** What to remove. */
export interface GcOptions {
  readonly store: Store;
  readonly roots: GcRoots;
  /** Specs that were installed less than this ago stay; in milliseconds. */
  readonly grace: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Also keep what the roots were built with. */
  readonly keepsBuildDependencies: boolean;
}

/** How many installed specs stay for each reason; a spec with several reasons counts for the first. */
export interface GcKept {
  readonly explicit: number;
  readonly environments: number;
  readonly runs: number;
  readonly inUse: number;
  readonly young: number;
  readonly dependencies: number;
}

/** The report of `gc`. */
export interface GcReport {
  readonly store: string;
  /** Removed, or to be removed; dependents first. */
  readonly specs: readonly UninstalledSpec[];
  readonly kept: GcKept;
  /** The hashes of unneeded specs that stay, because another process holds them. */
  readonly locked: readonly string[];
}

/** Reports what `gc` would remove, and changes nothing. */
export function planGc(options: GcOptions): GcReport {
  const { store } = options;
  const { unused, kept } = judge(store.database, options);
  return { store: store.root, specs: uninstalledSpecs(unused), kept, locked: [] };
}

/**
 * Removes what no root needs. Specs that another process has locked stay, with what they need. What was installed or
 * asked for meanwhile is considered again under the lock of the database. Throws PARTIAL if prefixes could not be
 * deleted.
 */
export async function gc(options: GcOptions & Omit<RemovalOptions, "store">): Promise<GcReport> {
  const { store } = options;
  const plan = planGc(options);
  let locked: readonly string[] = [];
  let { kept } = plan;
  const choose = (database: Database, held: ReadonlySet<string>): UninstalledSpec[] => {
    const others = plan.specs.map(({ hash }) => hash).filter((hash) => !held.has(hash));
    const again = judge(database, options, others);
    locked = others.filter((hash) => database.records.get(hash)?.installed);
    kept = again.kept;
    return uninstalledSpecs(again.unused.filter(({ node }) => held.has(node.hash)));
  };
  const specs = await removeSpecs(options, { specs: plan.specs, choose, skipsLocked: true });
  return { store: store.root, specs, kept, locked };
}

function judge(
  database: Database,
  { roots, grace, now, keepsBuildDependencies }: GcOptions,
  locked: readonly string[] = [],
): { readonly unused: readonly InstallRecord[]; readonly kept: GcKept } {
  const kept = { explicit: 0, environments: 0, runs: 0, inUse: 0, young: 0, dependencies: 0 };
  const held = new Set(locked);
  const top: SpecNode[] = [];
  const named = new Set<string>();
  for (const { node, explicit, installed, installationTime, database: at } of database.records.values()) {
    const { hash } = node;
    const isYoung = installed && (installationTime ?? 0) * 1000 > now - grace;
    const reason = explicit
      ? "explicit"
      : ((["environments", "runs", "inUse"] as const).find((each) => roots[each].has(hash)) ??
        (isYoung ? "young" : undefined));
    if (reason === undefined && !held.has(hash)) continue;
    top.push(node);
    named.add(hash);
    if (reason !== undefined && installed && at === 0) kept[reason]++;
  }
  const types = keepsBuildDependencies ? LINK | RUN | BUILD : LINK | RUN;
  const needed = new Set(postOrder(top, { types }).map(({ hash }) => hash));
  const unused: InstallRecord[] = [];
  for (const record of database.records.values()) {
    if (!record.installed || record.database > 0) continue;
    const { hash } = record.node;
    if (needed.has(hash) && !named.has(hash)) kept.dependencies++;
    else if (!needed.has(hash)) unused.push(record);
  }
  return { unused, kept };
}

// Carries out an installation: specs in parallel, each in the order of store/protocol.ts. A spec is finished once its
// dependencies are in place, whether this run or another put them there; several are written to the database at once.
import { isStaveError, StaveError } from "../../errors.ts";
import { PlacePool } from "../../relocate/place/place-pool.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { edgesOf } from "../../spack/spec/traversal.ts";
import { Recurring } from "../../spack/text/recurring.ts";
import { LatestStore, type RecordLookup } from "../../store/latest-store.ts";
import type { SpecLock } from "../../store/locks.ts";
import { carryOut, installing } from "../../store/protocol.ts";
import { recoverStore } from "../../store/recover.ts";
import { Failures } from "../../util/failures.ts";
import { isGone } from "../../util/inspect-path.ts";
import { Limit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import type { Stop } from "../../util/stop.ts";
import type { InstallSettings } from "./options.ts";
import { Registrar } from "./registrar.ts";
import type { InstalledSpec } from "./report.ts";
import { type SpecCommon, SpecInstall } from "./spec-install.ts";

/** True if the database has a spec as installed and its prefix exists. */
export function isThere(records: RecordLookup, node: SpecNode): boolean {
  const record = records.get(node.hash);
  if (record?.installed !== true) return false;
  return record.path === null || !isGone(record.path, records.sysroot);
}

/** How many small archives may be in memory, being fetched or waiting for a thread. */
const SPOOL = 24;

/**
 * How many specs may be in progress, counted from the first that is not in place: each holds locks and what it waits
 * for. Many, so that one large archive does not hold up the others.
 */
const SPECS_AHEAD = 400;

/** One run. */
export class InstallRun {
  readonly #options: InstallSettings;
  readonly #nodes: readonly SpecNode[];
  readonly #pool: PlacePool;
  readonly #spool = new Limit(SPOOL);
  readonly #registrar: Registrar;
  readonly #latest: LatestStore;
  readonly #explicit: ReadonlySet<string>;
  /** The specs of the graphs of all roots, by DAG hash. */
  readonly #known = new Map<string, InstallSettings["roots"][number]>();
  /** Specs in progress, by DAG hash; resolves once the spec is in place. */
  readonly #placed = new Map<string, PromiseWithResolvers<void>>();
  /** Locks on what this run relies on, held until it ends. */
  readonly #kept: SpecLock[] = [];
  readonly #failures = new Failures();
  readonly #stop: Stop;
  readonly #guarded = new Map<string, Promise<void>>();
  readonly #started: number;
  #working = 0;

  /** `stop` ends the run; after a failure that concerns all specs, the run ends itself. */
  constructor(options: InstallSettings, nodes: readonly SpecNode[], stop: Stop) {
    this.#options = { ...options, signal: stop.signal };
    this.#stop = stop;
    this.#nodes = nodes;
    this.#pool = new PlacePool(options.jobs);
    const { store, locks, clock } = options;
    // If another process changes the database, it is read again. Most of its nodes are also in the images, so they are
    // shared.
    const recurring = new Recurring({ known: (hash) => this.#known.get(hash)?.node.raw });
    this.#latest = new LatestStore(store, recurring);
    this.#registrar = new Registrar(store, { clock, locks, latest: this.#latest });
    this.#explicit = new Set(options.isExplicit ? options.roots.map(({ node }) => node.hash) : []);
    this.#started = options.clock.now();
    for (const { graph } of options.roots)
      for (const node of graph.nodes()) this.#known.set(node.hash, { node, graph });
  }

  /** Installs everything. Failures are in the results; throws only if stopped from outside, or what `onSpec` throws. */
  async run(): Promise<{ specs: InstalledSpec[]; failures: readonly StaveError[] }> {
    const { store, locks } = this.#options;
    await recoverStore(store, locks, this.#stop.signal);
    this.#stop.signal.throwIfAborted();
    this.#working = this.#nodes.length;
    for (const { hash } of this.#nodes) {
      const placed = Promise.withResolvers<void>();
      // Dependents may await this; without any, a rejection must not count as unhandled.
      placed.promise.catch(() => {});
      this.#placed.set(hash, placed);
    }
    // Then no spec is waited for that might be recorded in the same write.
    const { signal } = this.#stop;
    const flush = (): void => this.#registrar.flush();
    signal.addEventListener("abort", flush, { once: true });
    try {
      const specs = await this.#stop.mapInWindow(this.#nodes, SPECS_AHEAD, (node, over) => this.#spec(node, over));
      return { specs, failures: this.#failures.causes };
    } finally {
      signal.removeEventListener("abort", flush);
      for (const lock of this.#kept) lock.release();
      await this.#pool[Symbol.asyncDispose]();
    }
  }

  // Calls `onOver` when the spec is in place, even if it is not recorded yet.
  async #spec(node: SpecNode, onOver: () => void): Promise<InstalledSpec> {
    const { name, version, hash } = node;
    const explicit = this.#explicit.has(hash);
    const prefix = node.external ? (node.external.path ?? null) : this.#options.store.prefixOf(node);
    const common = { name, version, hash, prefix, explicit };
    const over = this.#work(onOver);
    let spec: InstalledSpec;
    try {
      this.#stop.signal.throwIfAborted();
      spec = node.external ? this.#external(node, common) : await this.#install(node, common, over);
      this.#placed.get(hash)?.resolve();
    } catch (caught) {
      if (!isStaveError(caught)) this.#stop.end(caught);
      // Settle this even for unknown errors, so that no dependent waits forever.
      this.#placed.get(hash)?.reject(caught);
      if (!isStaveError(caught)) throw caught;
      spec = { ...common, outcome: "failed", error: this.#failed(node, caught) };
    } finally {
      over();
    }
    // Specs that were interrupted are not reported.
    if (spec.outcome !== "failed" || !this.#stop.signal.aborted) this.#options.onSpec?.(spec);
    return spec;
  }

  #failed(node: SpecNode, error: StaveError): StaveError {
    if (this.#stop.signal.aborted) return error;
    const ending = this.#options.source.isEveryCache(error) ? this.#failures.endedBy(error) : undefined;
    if (ending !== undefined) {
      this.#failures.end(ending);
      this.#stop.end(ending);
      return ending;
    }
    const name = shortName(node);
    return this.#failures.add(error, name, `${name} was not installed`);
  }

  // Once no spec is in progress, pending records need not wait for others.
  #work(onOver: () => void): () => void {
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      onOver();
      if (--this.#working === 0) this.#registrar.flush();
    };
  }

  #external(node: SpecNode, common: SpecCommon): InstalledSpec {
    const { store, progress = noProgress } = this.#options;
    const { path } = node.external ?? {};
    if (typeof path === "string" && isGone(path, store.sysroot))
      progress({
        type: "warning",
        text: `${shortName(node)} is expected at ${path}, which does not exist on this machine`,
      });
    return { ...common, outcome: "external" };
  }

  async #install(node: SpecNode, common: SpecCommon, over: () => void): Promise<InstalledSpec> {
    const { force } = this.#options;
    const graph = this.#known.get(node.hash)?.graph;
    if (graph === undefined) throw new StaveError("INTERNAL", `no graph has ${shortName(node)}`);
    const install = new SpecInstall(
      {
        options: this.#options,
        pool: this.#pool,
        spool: this.#spool,
        latest: this.#latest,
        graph,
        isKnown: (hash) => this.#known.has(hash),
        isThere: () => this.#isThere(node),
        awaitDependencies: () => this.#dependencies(node),
        record: async () => {
          this.#placed.get(node.hash)?.resolve();
          this.#failures.succeeded();
          const recorded = this.#registrar.add(node, common.explicit || undefined);
          over();
          await recorded;
        },
      },
      node,
      common,
    );
    try {
      const outcome = await carryOut(installing(node.hash, { dependenciesFirst: force }), install.actions());
      if (install.lock) this.#kept.push(install.lock);
      if (outcome === "installed" && install.report) return install.report;
    } catch (error) {
      await install.undo();
      throw error;
    }
    const isMarked = !common.explicit || (await this.#latest.get()).get(node.hash)?.explicit === true;
    const marked = isMarked ? undefined : this.#registrar.mark(node.hash);
    over();
    await marked;
    return { ...common, outcome: "present" };
  }

  // With --force, a spec installed before this run does not count.
  async #isThere(node: SpecNode): Promise<boolean> {
    const { store, force } = this.#options;
    if (isGone(store.prefixOf(node), store.sysroot)) return false;
    const latest = await this.#latest.get();
    const installed = latest.get(node.hash)?.installationTime ?? 0;
    return isThere(latest, node) && (!force || installed * 1000 > this.#started);
  }

  async #dependencies(node: SpecNode): Promise<void> {
    for (const { child } of edgesOf(node, { types: LINK | RUN })) {
      const placed = this.#placed.get(child.hash);
      if (placed === undefined) await this.#guard(child);
      else
        await placed.promise.catch((cause: unknown) => {
          throw this.#failures.following(shortName(child), cause);
        });
    }
  }

  // Keeps an existing dependency that is not itself installed by this run.
  async #guard(node: SpecNode): Promise<void> {
    if (node.external) return;
    const { locks } = this.#options;
    const guarded =
      this.#guarded.get(node.hash) ??
      (async () => {
        if (!isThere(await this.#latest.get(), node)) return;
        const lock = await locks.spec("prefix", node, "shared", () => {
          this.#stop.signal.throwIfAborted();
          return false;
        });
        if (lock) this.#kept.push(lock);
      })();
    this.#guarded.set(node.hash, guarded);
    await guarded;
  }
}

// Carries an installation out: specs side by side, each fetched, unpacked and relocated as it comes, finished and moved into
// its place when what it needs is in its own, and told to the database.
import { lstatSync } from "node:fs";
import { isStaveError, StaveError } from "../errors.ts";
import { writeInstalledSpec, writeInstallTimes } from "../relocate/metadata.ts";
import type { PlaceJob } from "../relocate/place.ts";
import { PlacePool } from "../relocate/place-pool.ts";
import { newPrefixes } from "../relocate/prefixes.ts";
import { compressionOf } from "../relocate/unpack.ts";
import { edgesOf } from "../spack/dag.ts";
import { shortName } from "../spack/name.ts";
import { LINK, RUN, type SpecGraph, type SpecNode } from "../spack/node.ts";
import type { Store } from "../spack/store.ts";
import { removeLeftovers, StagedPrefix } from "../store/staged-prefix.ts";
import { withRefetch } from "../target/refetch.ts";
import type { BlobFetcher } from "../target/target.ts";
import { noProgress } from "../util/progress.ts";
import type { InstallOptions } from "./install-options.ts";
import type { InstalledSpec } from "./install-report.ts";
import type { FoundSpec } from "./install-source.ts";
import { Registrar } from "./registrar.ts";

/** Tells whether the database has a spec as installed and its prefix is there. */
export function isThere(store: Store, node: SpecNode): boolean {
  const record = store.get(node.hash);
  if (record?.installed !== true) return false;
  return record.path === null || lstatSync(store.locate(record.path), { throwIfNoEntry: false }) !== undefined;
}

type Common = Pick<InstalledSpec, "name" | "version" | "hash" | "prefix" | "explicit">;

/** One run. */
export class InstallRun {
  readonly #options: InstallOptions;
  readonly #nodes: readonly SpecNode[];
  readonly #signal: AbortSignal;
  readonly #pool: PlacePool;
  readonly #registrar: Registrar;
  readonly #explicit: ReadonlySet<string>;
  readonly #graphs = new Map<string, SpecGraph>();
  /** Specs on their way, by DAG hash: in its place when it resolves. */
  readonly #done = new Map<string, Promise<void>>();
  #reread: Promise<Store> | undefined;

  constructor(options: InstallOptions, nodes: readonly SpecNode[]) {
    this.#options = options;
    this.#nodes = nodes;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#pool = new PlacePool(options.jobs);
    this.#registrar = new Registrar(options.store, options.locks, options.clock);
    this.#explicit = new Set(options.roots.map(({ node }) => node.hash));
    for (const { graph } of options.roots) for (const node of graph.nodes()) this.#graphs.set(node.hash, graph);
  }

  /** Installs everything; failures are in what it returns. */
  async run(): Promise<InstalledSpec[]> {
    const [first] = this.#nodes.filter((node) => !node.external);
    if (first) await removeLeftovers(this.#options.store, this.#options.locks, first);
    try {
      return await Promise.all(this.#nodes.map((node) => this.#spec(node)));
    } finally {
      await this.#pool[Symbol.asyncDispose]();
    }
  }

  async #spec(node: SpecNode): Promise<InstalledSpec> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Whoever needs it waits for it; nobody may.
    promise.catch(() => {});
    this.#done.set(node.hash, promise);
    const { name, version, hash } = node;
    const explicit = this.#explicit.has(hash);
    const prefix = node.external ? (node.external.path ?? null) : this.#options.store.prefixOf(node);
    const common = { name, version, hash, prefix, explicit };
    let spec: InstalledSpec;
    try {
      spec = node.external ? this.#external(node, common) : await this.#install(node, common);
      resolve();
    } catch (caught) {
      if (!isStaveError(caught)) throw caught;
      reject(caught);
      const error = this.#signal.aborted ? caught : failure(node, caught);
      spec = { ...common, outcome: "failed", error };
    }
    this.#options.onSpec?.(spec);
    return spec;
  }

  #external(node: SpecNode, common: Common): InstalledSpec {
    const { store, progress = noProgress } = this.#options;
    const { path } = node.external ?? {};
    if (typeof path === "string" && lstatSync(store.locate(path), { throwIfNoEntry: false }) === undefined)
      progress({
        type: "warning",
        text: `${shortName(node)} is to be found at ${path}, where nothing is on this machine`,
      });
    return { ...common, outcome: "external" };
  }

  async #install(node: SpecNode, common: Common): Promise<InstalledSpec> {
    const { store, locks, force } = this.#options;
    if (!force && isThere(store, node)) return await this.#present(node, common);
    const release = await locks.prefix(node.hash, "exclusive");
    try {
      this.#signal.throwIfAborted();
      // Somebody else may have been quicker.
      if (!force && (await this.#isThereNow(node))) return await this.#present(node, common);
      const found = await this.#options.source.use(
        node,
        { signal: this.#signal, isKnown: (hash) => this.#graphs.has(hash) },
        ({ cache, image }) =>
          withRefetch(cache.target, (target) => this.#place(node, common, { cache, image, target })),
      );
      await this.#registrar.add(node, common.explicit || undefined);
      return found;
    } finally {
      release();
    }
  }

  async #present(node: SpecNode, common: Common): Promise<InstalledSpec> {
    if (common.explicit && this.#options.store.get(node.hash)?.explicit !== true) await this.#registrar.mark(node.hash);
    return { ...common, outcome: "present" };
  }

  // Asks the database again when something is in the place of a spec that was not installed when it was read.
  async #isThereNow(node: SpecNode): Promise<boolean> {
    const { store } = this.#options;
    if (lstatSync(store.locate(store.prefixOf(node)), { throwIfNoEntry: false }) === undefined) return false;
    // Once for all of the same moment: a large database takes a while to read.
    this.#reread ??= store.reread().finally(() => {
      this.#reread = undefined;
    });
    return isThere(await this.#reread, node);
  }

  // Fetches a spec from one cache and puts it in its place.
  async #place(
    node: SpecNode,
    common: Common,
    { cache, image, target }: FoundSpec & { readonly target: BlobFetcher },
  ): Promise<InstalledSpec> {
    const { store, clock, permissionsOf, allFiles, patchelf, strict, progress = noProgress } = this.#options;
    const { archive, diffId } = image;
    const signal = this.#signal;
    const permissions = permissionsOf(node.name);
    const id = node.hash;
    const label = shortName(node);
    progress({ type: "queued", id, size: archive.size });
    await using staged = await StagedPrefix.create(store, node, { mode: permissions.directory, replace: true });
    const job: PlaceJob = {
      folder: staged.directory,
      hash: node.hash,
      name: label,
      prefix: staged.prefix,
      root: store.root,
      prefixes: newPrefixes(node, { root: store.root, prefixOf: (other) => store.prefixOf(other) }),
      compression: compressionOf(archive.mediaType),
      diffId,
      permissions,
      allFiles,
      patchelf,
    };
    let outcome: "copied" | "failed" = "failed";
    let started = clock.now();
    try {
      const open = async () => {
        started = clock.now();
        progress({ type: "start", id, label, size: archive.size });
        return await target.fetchBlob(archive, { signal });
      };
      const onBytes = (count: number): void => progress({ type: "bytes", id, count });
      const placed = await this.#pool.place(open, job, { signal, onBytes, size: archive.size });
      const { directory } = placed;
      const placedAt = clock.now();
      if (placed.hasRelativeRpaths)
        progress({
          type: "warning",
          text: `${label} was packed with relative search paths; its libraries may not be found`,
        });
      // What is finished now may look for what it needs, and nobody sees it before that is there.
      await this.#dependencies(node);
      if (!placed.hasSpecFile) writeInstalledSpec(directory, node, this.#graphs.get(node.hash) ?? image.document.graph);
      writeInstallTimes(directory, node, [{ path: "install", seconds: (placedAt - started) / 1000 }]);
      const { prefix, root, prefixes } = job;
      const finished = await this.#pool.finish({ directory, prefix, root, prefixes, sysroot: store.sysroot }, signal);
      if (strict && finished.leftovers.length > 0) throw leftBehind(finished.leftovers);
      signal.throwIfAborted();
      await staged.commit(directory);
      outcome = "copied";
      const { texts, links, headers, patched, strings, others } = placed.relocated;
      const changed = new Set([texts, links, headers, patched, strings, others].flat());
      return {
        ...common,
        outcome: "installed",
        cache: cache.name,
        downloadSize: archive.size,
        bytes: placed.bytes,
        files: placed.members,
        milliseconds: clock.now() - started,
        relocated: changed.size,
        leftovers: finished.leftovers,
      };
    } finally {
      progress({ type: "done", id, label, outcome, size: archive.size, isTold: true });
    }
  }

  async #dependencies(node: SpecNode): Promise<void> {
    for (const { child } of edgesOf(node, { types: LINK | RUN }))
      await this.#done.get(child.hash)?.catch((cause: unknown) => {
        const code = isStaveError(cause) ? cause.code : "INTERNAL";
        throw new StaveError(code, `its dependency ${shortName(child)} failed`, { cause });
      });
  }
}

function leftBehind(files: readonly string[]): StaveError {
  const more = files.length > 1 ? ` and ${files.length - 1} more` : "";
  return new StaveError("RELOCATION_FAILED", `${files[0]}${more} still name the old place`, {
    subject: files[0] ?? "",
    hint: "add --all-files to change those that can be, or leave out --strict",
  });
}

// The same failure, saying what was not installed because of it.
function failure(node: SpecNode, error: StaveError): StaveError {
  const name = shortName(node);
  const { code, hint, status, registry, attempts, side, errors, message } = error;
  const known = Object.entries({ hint, status, registry, attempts, side, errors }).filter(
    ([, value]) => value !== undefined,
  );
  return new StaveError(code, `${name} was not installed: ${message}`, {
    ...Object.fromEntries(known),
    subject: name,
    cause: error,
  });
}

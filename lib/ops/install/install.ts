// `install`: installs specs from build caches into a store, with their link and run dependencies.
import { isStaveError, StaveError } from "../../errors.ts";
import { DEFAULT_LOCKS } from "../../spack/config/settings.ts";
import { fitsHost } from "../../spack/spec/fits-host.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import { NEWEST_DATABASE, nodeFormat } from "../../spack/store/database.ts";
import type { Store } from "../../spack/store/store.ts";
import { createStore } from "../../store/create.ts";
import { StoreLocks } from "../../store/locks.ts";
import { ensureSbang } from "../../store/sbang.ts";
import { DOCUMENTS_AT_ONCE } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import { Stop } from "../../util/stop.ts";
import { type InstallOptions, type InstallPlanSettings, type InstallSettings, installSettings } from "./options.ts";
import type { InstallPlanReport, InstallReport, PlannedInstall } from "./report.ts";
import { type RootRoom, roomText, rootRoom } from "./root-length.ts";
import { InstallRun, isThere } from "./run.ts";

export type { InstallOptions } from "./options.ts";
export type { InstallPlanReport, InstallReport } from "./report.ts";

/**
 * Installs specs, each after its dependencies. Failures are in the report, and whatever does not depend on them is
 * installed. Throws if nothing can be done: a spec does not fit the machine, or the store cannot be created; and the
 * signal's reason.
 */
export async function install(given: InstallOptions): Promise<InstallReport> {
  const options = installSettings(given);
  const { store, clock, signal, locks } = options;
  signal?.throwIfAborted();
  if (locks !== undefined) return await installLocked({ ...options, locks });
  await using own = new StoreLocks(store, { clock, settings: DEFAULT_LOCKS, signal });
  return await installLocked({ ...options, locks: own });
}

async function installLocked(options: InstallSettings): Promise<InstallReport> {
  const { store, clock, signal } = options;
  const started = clock.now();
  const nodes = installNodes(options);
  checkSplices(nodes);
  checkArchitecture(nodes, options);
  checkFormats(nodes, store);
  await warnOfRoot(nodes, options);
  await createStore(store);
  await ensureSbang(store);
  const { specs, failures } = await new InstallRun(options, nodes, new Stop(signal)).run();
  signal?.throwIfAborted();
  const sum = (of: (spec: (typeof specs)[number]) => number | undefined): number =>
    specs.reduce((total, spec) => total + (spec.outcome === "installed" ? (of(spec) ?? 0) : 0), 0);
  return {
    store: store.root,
    specs,
    totals: {
      installed: sum(() => 1),
      downloaded: sum(({ downloadSize }) => downloadSize),
      bytes: sum(({ bytes }) => bytes),
      files: sum(({ files }) => files),
    },
    failures,
    milliseconds: clock.now() - started,
  };
}

/** Reports what an installation would do, and writes nothing. Throws as `install` does. */
export async function planInstall(given: InstallOptions): Promise<InstallPlanReport> {
  const options = installSettings(given);
  const { store, source, force, signal } = options;
  const nodes = installNodes(options);
  checkSplices(nodes);
  checkArchitecture(nodes, options);
  checkFormats(nodes, store);
  const room = await warnOfRoot(nodes, options);
  const specs = await mapLimit(
    nodes,
    DOCUMENTS_AT_ONCE,
    async (node): Promise<PlannedInstall> => {
      const { name, version, hash } = node;
      const common = {
        name,
        version,
        hash,
        prefix: node.external ? (node.external.path ?? null) : store.prefixOf(node),
      };
      if (node.external) return { ...common, action: "external" };
      if (isThere(store, node) && !force) return { ...common, action: "keep" };
      try {
        return await source.use(node, { signal }, ({ cache, image }) => {
          return Promise.resolve({
            ...common,
            action: "install" as const,
            cache: cache.name,
            size: image.archive.size,
          });
        });
      } catch (error) {
        if (!isStaveError(error, "SPEC_ABSENT")) throw error;
        return { ...common, action: "absent" };
      }
    },
    signal,
  );
  const wanted = specs.filter(({ action }) => action === "install");
  return {
    store: store.root,
    specs,
    totals: { install: wanted.length, download: wanted.reduce((total, { size = 0 }) => total + size, 0) },
    ...(room && { room }),
  };
}

// Warns if the root is too long for the images, and returns the limit.
async function warnOfRoot(nodes: readonly SpecNode[], options: InstallPlanSettings): Promise<RootRoom | undefined> {
  const { store, source, force, progress, signal } = options;
  // One image shows the prefixes of its dependencies, too.
  const wanted = nodes.findLast((node) => node.external === undefined && (force || !isThere(store, node)));
  if (wanted === undefined) return undefined;
  try {
    const room = rootRoom(store, [await source.readAhead(wanted, { signal })]);
    if (room !== undefined) progress?.({ type: "warning", text: roomText(room, source.name) });
    return room;
  } catch (error) {
    // An unreadable image is reported when its turn comes.
    if (!isStaveError(error) || signal?.aborted) throw error;
    return undefined;
  }
}

/** The specs to install, each after its dependencies; includes externals. */
function installNodes({ roots, only, withBuildDependencies }: InstallPlanSettings): SpecNode[] {
  const asked = new Set(roots.map(({ node }) => node.hash));
  const all = postOrder(
    roots.map(({ node }) => node),
    withBuildDependencies ? {} : { types: LINK | RUN },
  );
  return all.filter(({ hash }) => only === "all" || asked.has(hash) === (only === "package"));
}

// A splice is the archive of another spec with dependencies it was not built with. Spack rewires it; stave does not.
function checkSplices(nodes: readonly SpecNode[]): void {
  const spliced = nodes.find(({ buildSpec }) => buildSpec !== undefined);
  if (spliced === undefined) return;
  throw new StaveError("UNSUPPORTED", `${shortName(spliced)} is spliced, which only Spack can install`, {
    subject: spliced.hash,
    hint: `spack install --cache-only /${spliced.hash}`,
  });
}

// Checked first, so that nothing is fetched that the database cannot represent.
function checkFormats(nodes: readonly SpecNode[], store: Store): void {
  const { version } = store.database;
  if (version === NEWEST_DATABASE) return;
  const wanted = nodeFormat(version);
  const other = nodes.find((node) => node.format !== wanted && store.get(node.hash)?.installed !== true);
  if (other === undefined) return;
  const why = `${shortName(other)} is written in spec format ${other.format}, but the database of ${store.root} has version ${version}, which has format ${wanted}`;
  throw new StaveError("UNSUPPORTED", why, {
    subject: other.hash,
    hint: "install into another store with `store`; a new one gets `databaseVersion`",
  });
}

function checkArchitecture(nodes: readonly SpecNode[], { host }: InstallPlanSettings): void {
  if (host === undefined) return;
  const failures = nodes.flatMap((node): StaveError[] => {
    if (node.external) return [];
    if (fitsHost(node, host)) return [];
    const { platform, os, target } = node;
    const here = `${host.platform}-${host.os ?? "any"}-${host.target ?? "any"}`;
    const problem = `${shortName(node)} is for ${platform}-${os}-${target}, and this machine is ${here}`;
    return [new StaveError("PLATFORM_MISMATCH", problem, { subject: node.hash })];
  });
  const [first, ...more] = failures;
  if (first === undefined) return;
  const hint = "nothing was installed; use `anyArchitecture` to install anyway";
  if (more.length === 0) throw first.with({ hint });
  const problem = `${failures.length} specs are not for this machine`;
  throw new StaveError("PLATFORM_MISMATCH", problem, { errors: failures, hint });
}

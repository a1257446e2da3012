// A store of small invented specs that depend on each other, pushed to a cache with the built command.
import assert from "node:assert/strict";
import { join } from "node:path";
import { LINK, RUN, type SpecNode } from "../../lib/spack/spec/node.ts";
import { postOrder } from "../../lib/spack/spec/traversal.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { isWhole, makeStore } from "../../scripts/make-store.ts";
import { stave } from "./cli.ts";

// Long, because strings in programs cannot grow.
const ROOT = "/opt/software/of/a/long/name/made/up/for/tests";

/** The specs that were pushed. */
export interface MadeCache {
  /** The specs that can be installed, each after its dependencies; no externals. */
  readonly nodes: readonly SpecNode[];
  /** The options of the command that name the store. */
  readonly storeOptions: readonly string[];
  /** The names of all packages, including externals. */
  readonly packages: readonly string[];
  /** The spec file of a node. */
  specFile(node: SpecNode): string;
}

/** Creates a store below `work`, and pushes it to a cache. */
export async function madeCache(work: string, cache: string, specs: number, seed: number): Promise<MadeCache> {
  const sysroot = join(work, "made");
  makeStore(`${sysroot}${ROOT}`, { bytes: specs * 20_000, files: specs * 5, specs, seed, root: ROOT });
  const store = await Store.open(ROOT, { clock: systemClock, sysroot });
  const all = postOrder(
    [...store.records()].map(({ node }) => node),
    { types: LINK | RUN },
  );
  const nodes = all.filter((node) => node.external === undefined && isWhole(store, node, { types: LINK | RUN }));
  const storeOptions = ["--sysroot", sysroot, "--store", ROOT, "--no-env"];
  const ran = await stave(
    ["push", cache, ...storeOptions, "--update-index", "-q", ...nodes.map(({ hash }) => `/${hash}`)],
    {
      env: { XDG_CACHE_HOME: join(work, "xdg") },
    },
  );
  assert.equal(ran.status, 0, ran.stderr);
  return {
    nodes,
    storeOptions,
    packages: [...new Set([...store.database.graph.nodes()].map(({ name }) => name))],
    specFile: (node) => `${sysroot}${store.prefixOf(node)}/.spack/spec.json`,
  };
}

// Proves that omitted options have the command line's defaults: a push needs four options, an installation three.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { test } from "node:test";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { inspect } from "../../lib/ops/image/inspect.ts";
import { install } from "../../lib/ops/install/install.ts";
import { InstallSource } from "../../lib/ops/install/source.ts";
import { planOf, push } from "../../lib/ops/push/push.ts";
import { specTag } from "../../lib/spack/spec/spec-name.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { emptyLayout } from "../support/caches.ts";
import { failsWith } from "../support/errors.ts";
import { goldenStore, named } from "../support/push.ts";

const { store } = await goldenStore();

test("a push and an installation need only what has no default", async (t) => {
  const target = await emptyLayout();
  const cache = new OciCache(target);
  const root = named(store, "hull");
  const { specs, failures } = await push({ store, target, cache, roots: [root] });
  assert.deepEqual(failures, []);
  assert.ok(specs.some(({ name, outcome }) => name === "hull" && outcome === "pushed"));
  const { config } = await inspect(target, specTag(root), {});
  assert.match(JSON.stringify(config), /"CMAKE_PREFIX_PATH=/);

  const folder = mkdtempSync("/tmp/");
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { document } = await cache.fetchSpec(specTag(root));
  const there = await Store.open(folder, { clock: systemClock, mayBeEmpty: true });
  const roots = [{ node: document.root, graph: document.graph }];
  const report = await install({ store: there, source: new InstallSource([cache]), roots });
  assert.deepEqual(report.failures, []);
  assert.equal((await there.reread()).get(root.hash)?.installed, true);
});

test("an empty table of inspections is refused, for a plan too; images without variables must be asked for", async () => {
  const target = await emptyLayout();
  const options = { store, target, cache: new OciCache(target), roots: [named(store, "hull")] };
  for (const run of [push, planOf])
    await failsWith("USAGE", () => run({ ...options, environment: { inspections: [] } }), /CMAKE_PREFIX_PATH/);
  await push({ ...options, environment: { inspections: "none" } });
  const { config } = await inspect(target, specTag(named(store, "hull")), {});
  assert.doesNotMatch(JSON.stringify(config), /CMAKE_PREFIX_PATH/);
});

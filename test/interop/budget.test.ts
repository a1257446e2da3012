// Proves that an environment of 400 specs fits into 100 layers that podman, buildah and umoci accept, that programs
// run in it, and that an update sends little more than what changed.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { planBudget } from "../../lib/image/budget.ts";
import { configSchema } from "../../lib/oci/manifest.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { fetchConfig } from "../../lib/target/image-config.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { makeSpecs } from "../../scripts/histories.ts";
import { makeBase } from "../../scripts/make-base.ts";
import { makeEnvironment } from "../../scripts/make-environment.ts";
import { stave } from "../support/cli.ts";
import { containerTools, peerTest, run, runIn } from "../support/peers.ts";

// podman takes the path of a layout for a name, which must be in lower case.
const folder = join(tmpdir(), `stave-budget-${process.pid}`);
mkdirSync(folder);
after(() => rmSync(folder, { recursive: true, force: true }));

const SPECS = 400;
const SCALE = 1 / 400;

interface Pushed {
  readonly images: readonly { readonly layers: number }[];
  readonly specs: readonly { readonly name: string; readonly layer?: { readonly size: number } }[];
  readonly totals: { readonly sentBytes: number };
}

interface Layer {
  readonly digest: string;
  readonly size: number;
  readonly specs: string;
}

async function layersOf(layout: string): Promise<Layer[]> {
  const target = await LayoutTarget.open(layout, { clock });
  const document = parseFetched(await target.fetchManifest("app"), target.name);
  assert.ok(document.kind === "manifest");
  const { config, layers } = document.value;
  const { history } = configSchema.parse(JSON.parse((await fetchConfig(target, config)).toString()));
  const entries = (history ?? []).filter((entry) => entry.empty_layer !== true);
  return layers.map(({ digest, size }, at) => ({ digest, size, specs: String(entries[at]?.created_by) }));
}

peerTest(["podman", "buildah", "umoci"], `an environment of ${SPECS} specs in 100 layers`, async () => {
  makeBase(join(folder, "base"), { tag: "small" });
  const layout = join(folder, "cache");
  const root = join(folder, "store");
  const env = { XDG_CACHE_HOME: mkdtempSync(join(folder, "xdg-")) };
  const push = async (): Promise<Pushed> => {
    const base = ["--base-image", `oci-layout:${join(folder, "base")}:small`];
    const args = ["push", "--store", root, `oci-layout:${layout}`, "--all", "--tag", "app", ...base, "--json"];
    const ran = await stave(args, { env });
    assert.equal(ran.status, 0, ran.stderr.slice(-2000));
    return JSON.parse(ran.stdout).report;
  };
  const specs = makeSpecs(SPECS, 3);
  makeEnvironment(root, specs, SCALE);
  assert.equal((await push()).images[0]?.layers, 100);
  assert.equal((await push()).totals.sentBytes, 0);

  const before = await layersOf(layout);

  // A spec that nothing needs is built again: its hash changes.
  const needed = new Set(specs.flatMap(({ needs }) => needs));
  const together = planBudget({ specs, budget: 98 }).map((group) => group.flatMap(({ ids }) => ids));
  const leaf = specs.find(({ id }) => !needed.has(id) && together.some((ids) => ids.length > 2 && ids.includes(id)));
  assert.ok(leaf);
  const next = specs.map((spec) => (spec === leaf ? { ...spec, id: `${spec.id}-again` } : spec));
  rmSync(root, { recursive: true });
  const hashes = makeEnvironment(root, next, SCALE);
  const update = await push();
  assert.equal(update.images[0]?.layers, 100);
  const packed = update.specs.flatMap(({ name, layer }) => (layer ? [{ name, size: layer.size }] : []));
  assert.deepEqual(
    packed.map(({ name }) => name),
    [leaf.name],
  );
  const own = packed[0]?.size ?? 0;
  const after = await layersOf(layout);
  const fresh = after.filter(({ digest }) => !before.some((layer) => layer.digest === digest));
  const sent = fresh.reduce((sum, { size }) => sum + size, 0);
  const home = after.find(({ specs }) => specs.includes(`${leaf.name}@`))?.size ?? 0;
  console.log(`one spec of ${own} bytes built again, in a layer of ${home} bytes: ${sent + own} bytes of layers sent`);
  assert.ok(home > own);
  assert.ok(sent + own <= 1.1 * (own + home), `${fresh.length} layers of ${sent} bytes`);

  const { flags, env: confined } = containerTools();
  const buildah = (...args: string[]) => run("buildah", [...flags, ...args], confined);
  await run("podman", [...flags, "pull", "-q", `oci:${layout}:app`], confined);
  const container = (await buildah("from", `oci:${layout}:app`)).trim();
  assert.equal(await runIn(container, [leaf.name], { flags, env: confined }), `${leaf.name} runs\n`);
  const bundle = join(folder, "bundle");
  await run("umoci", ["unpack", "--rootless", "--image", `${layout}:app`, bundle]);
  for (const { id, name } of next)
    assert.ok(existsSync(join(bundle, "rootfs", root, "linux-x86_64", `${name}-1.0-${hashes.get(id)}`, "bin", name)));
});

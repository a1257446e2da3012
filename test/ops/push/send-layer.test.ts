// Proves that a layer that cannot be read again does not hold up those after it, and that on a slow file system other
// threads read the prefixes, with the same result.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_COMPRESSION } from "../../../lib/image/pack/compression.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { PackPool } from "../../../lib/image/pack/pack-pool.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { archiveJob, LayerSender } from "../../../lib/ops/push/send-layer.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { noProgress } from "../../../lib/util/progress.ts";
import { systemClock as clock } from "../../../lib/util/time.ts";
import { emptyLayout } from "../../support/caches.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named } from "../../support/push.ts";
import { replaceMethods } from "../../support/replace-methods.ts";
import { temporaryFolder } from "../../support/tree.ts";

test("a remembered layer whose packing cannot start frees its slot", { timeout: 30_000 }, async () => {
  const { store } = await goldenStore();
  const node = named(store, "rigging");
  // Too many files to be packed without a thread.
  const folder = store.locate(`${store.prefixOf(node)}/many`);
  mkdirSync(folder);
  for (let file = 0; file < 60; file++) writeFileSync(`${folder}/${file}`, "x");
  const digest = digestOf(Buffer.from("x"));
  const known = { digest, size: 1, diffId: digest, archiveSize: 1, files: 60 };
  const memory = new LayerMemory(new DiskCache({ folder: temporaryFolder(), clock }), DEFAULT_COMPRESSION);
  const pool = new PackPool(1);
  await pool.close();
  const sender = new LayerSender({
    ...{ store, pool, clock, compression: DEFAULT_COMPRESSION, spackPrefix: undefined, progress: noProgress },
    target: await emptyLayout(),
    memory: replaceMethods(memory, { recall: () => known }),
    signal: new AbortController().signal,
    packing: 1,
    force: false,
  });
  for (let attempt = 0; attempt < 2; attempt++)
    await failsWith("INTERNAL", sender.send(node), /packing threads have been stopped/);
});

test("on a slow file system threads survey and pack even small prefixes, with the same result", async () => {
  const { store } = await goldenStore();
  const nodes = ["rigging", "hull"].map((name) => named(store, name));
  const sent = async (milliseconds: number): Promise<{ layers: unknown[]; surveyed: number }> => {
    let now = 0;
    let surveyed = 0;
    const pool = new PackPool(2);
    const counted = replaceMethods(pool, {
      survey: (job) => {
        surveyed++;
        return pool.survey(job);
      },
    });
    const sender = new LayerSender({
      ...{ store, compression: DEFAULT_COMPRESSION, spackPrefix: undefined, progress: noProgress, memory: undefined },
      pool: counted,
      clock: { ...clock, now: () => (now += milliseconds) },
      target: await emptyLayout(),
      signal: new AbortController().signal,
      packing: 1,
      force: false,
    });
    const layers = [];
    for (const node of nodes) {
      const { digest, size, diffId, skipped } = await sender.send(node);
      layers.push({ digest, size, diffId, skipped });
    }
    await pool.close();
    return { layers, surveyed };
  };
  const fast = await sent(0);
  const slow = await sent(10_000);
  assert.deepEqual(slow.layers, fast.layers);
  assert.deepEqual([fast.surveyed, slow.surveyed], [0, 1], "the first survey shows that the file system is slow");
});

test("a survey that fails on a thread fails as it does on the calling one", async () => {
  const { store } = await goldenStore();
  const pool = new PackPool(1);
  const job = { ...archiveJob(named(store, "rigging"), store, undefined), directory: "/nowhere" };
  await failsWith("SPEC_NOT_INSTALLED", pool.survey(job));
  const waiting = failsWith("ABORTED", pool.survey(job));
  await Promise.all([waiting, pool.close()]);
});

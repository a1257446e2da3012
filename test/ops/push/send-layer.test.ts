// Proves that a layer that cannot be read again does not hold up those after it.
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_COMPRESSION } from "../../../lib/image/pack/compression.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { PackPool } from "../../../lib/image/pack/pack-pool.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { LayerSender } from "../../../lib/ops/push/send-layer.ts";
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

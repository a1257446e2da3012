// Proves that a short round of `make soak` passes: commands that compete, are killed, and meet a full disk and a faulty
// registry.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { soak } from "../soak/run.ts";
import { chooseSeed } from "../support/seed.ts";

test("whatever happens to commands that run at once, a store and its caches stay whole", {
  timeout: 600_000,
}, async () => {
  const seed = chooseSeed();
  console.log(`seed ${seed} (make it again with make soak MINUTES=1 SOAK_SEED=${seed})`);
  const folder = join(import.meta.dirname, "../../soak-failures");
  const { problems, operations } = await soak({ seed, milliseconds: 10_000, round: 10_000, processes: 8, folder });
  assert.deepEqual(problems, []);
  assert.ok(operations > 0);
});

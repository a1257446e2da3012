// Proves on 10^4 random inputs that every parser accepts them or throws a StaveError, quickly and with bounded memory.
// `make fuzz` tries a hundred times as many.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { chooseSeed } from "../support/seed.ts";
import { drive } from "./drive.ts";
import { FAMILIES } from "./families.ts";

const COUNT = 10_000;
const seed = chooseSeed();
console.log(`seed ${seed} (make it again with STAVE_TEST_SEED=${seed})`);

describe("no input hangs a parser, grows without bound or fails in disorder", { concurrency: 2 }, () => {
  for (const family of FAMILIES)
    test(family, async () => {
      const folder = join(import.meta.dirname, "../../fuzz-failures");
      assert.deepEqual(await drive({ seed, count: COUNT, jobs: 1, only: family, folder }), []);
    });
});

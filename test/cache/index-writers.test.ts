// Many writers of one index: whatever comes between them, in the end it says what the cache has.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { isStaveError } from "../../lib/errors.ts";
import { LayoutTarget } from "../../lib/target/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { dice } from "../../scripts/dice.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import { connect } from "../support/client.ts";
import { type Fault, startRegistry } from "../support/registry.ts";
import { useSeed } from "../support/seed.ts";
import { temporaryFolder } from "../support/tree.ts";

const WRITERS = 8;
const ROUNDS = Number(process.env["STAVE_TEST_ROUNDS"] ?? 12);
const seed = useSeed();

test(`${WRITERS} writers push and index at once, ${ROUNDS} times, with delays and failures`, async (t) => {
  const random = dice(seed);
  const registry = await startRegistry();
  t.after(() => registry.close());
  const name = "org/cache";
  const present = new Set<string>();
  const one = async (round: number, writer: number): Promise<void> => {
    const { target, close } = connect(registry.host, name, { retry: { attempts: 3 } });
    await setTimeout(random() * 40);
    const spec = madeSpec(`p${round}-${writer}`, "1.0", [madeSpec("shared", `${round}.0`)]);
    present.add(await again(() => pushSpec(target, spec)));
    // Now and then something is deleted meanwhile.
    const [victim] = present;
    if (victim !== undefined && random() < 0.1) {
      present.delete(victim);
      await again(() => target.deleteManifest(victim)).catch(() => {});
    }
    // A writer that fails is run again, as a job would be.
    await again(() => updateIndex(new OciCache(target)));
    await close();
  };
  for (let round = 0; round < ROUNDS; round++) {
    registry.rules.splice(0, registry.rules.length, ...someFaults(random));
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => one(round, writer)));
    registry.rules.length = 0;
    const { target, close } = connect(registry.host, name);
    const cache = new OciCache(target);
    const report = await checkIndex(cache);
    assert.deepEqual([report.isCurrent, report.added, report.dropped], [true, [], []], `round ${round}`);
    assert.equal(report.specs, (await cache.list()).specs.size);
    await close();
  }
});

async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 20; ; left--)
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !isStaveError(error)) throw error;
    }
}

// What writers meet between their looking and their writing.
function someFaults(random: () => number) {
  const places = [/tags\/list/, /manifests\/index\.spack/, /blobs\/uploads/, /manifests\/p/, /blobs\/sha256/];
  const kinds = (): Fault[] => [{ delay: Math.floor(random() * 12) }, { status: 503 }, "reset", "lost commit"];
  // A slow writer: what it puts is stale by then.
  const put = { method: "PUT", path: /manifests\/index\.spack/ };
  const slow = { ...put, after: Math.floor(random() * 4), times: 1, fault: { delay: 30 + random() * 40 } };
  const others = Array.from({ length: 6 }, () => {
    const [place, all] = [places[Math.floor(random() * places.length)], kinds()];
    const fault = all[Math.floor(random() * all.length)] ?? "reset";
    return {
      ...(place && { path: place }),
      after: Math.floor(random() * 20),
      times: 1 + Math.floor(random() * 5),
      fault,
    };
  });
  return [slow, ...others];
}

test("processes that push into one directory and index it", async () => {
  const folder = temporaryFolder();
  const program = join(import.meta.dirname, "../support/cache-writer.ts");
  const runs = Array.from({ length: 4 }, (_, at) => {
    const child = spawn(process.execPath, [program, folder, `w${at}`, "5"], { stdio: ["ignore", "ignore", "inherit"] });
    return new Promise((resolve) => child.on("close", resolve));
  });
  assert.deepEqual(await Promise.all(runs), [0, 0, 0, 0]);
  const report = await checkIndex(new OciCache(await LayoutTarget.open(folder, { clock: systemClock })));
  assert.deepEqual([report.isCurrent, report.specs, report.skipped], [true, 20, []]);
});

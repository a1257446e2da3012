// Proves that an index with many concurrent writers is complete in the end.
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { dice } from "../../scripts/dice.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import { connect } from "../support/client.ts";
import { LOADER } from "../support/loader.ts";
import { type Fault, startRegistry, UNCONDITIONAL } from "../support/registry.ts";
import { useSeed } from "../support/seed.ts";
import { temporaryFolder } from "../support/tree.ts";

const WRITERS = 8;
const ROUNDS = 50;
const seed = useSeed();

test(`${WRITERS} processes push and index at once, ${ROUNDS} rounds, with delays and failures`, async (t) => {
  const random = dice(seed);
  const registry = await startRegistry();
  t.after(() => registry.close());
  const writers = new Writers(seed, [registry.host, "org/cache"]);
  t.after(() => writers.stop());
  const { target, close } = connect(registry.host, "org/cache");
  for (let round = 0; round < ROUNDS; round++) {
    const conditions = random() < 0.5 ? [] : [UNCONDITIONAL];
    registry.rules.splice(0, registry.rules.length, ...someFaults(random), ...conditions);
    await writers.round(round);
    registry.rules.length = 0;
    const cache = new OciCache(target);
    const report = await checkIndex(cache);
    assert.deepEqual([report.isCurrent, report.added, report.dropped], [true, [], []], `round ${round}`);
    assert.equal(report.specs, (await cache.list()).specs.size);
  }
  await close();
});

/** Processes that each do one push and one index update per round, concurrently. */
class Writers {
  readonly #children: readonly ChildProcess[];

  constructor(seed: number, place: readonly string[]) {
    const program = join(import.meta.dirname, "../support/cache-writer.ts");
    this.#children = Array.from({ length: WRITERS }, (_, at) =>
      fork(program, [`w${at}`, `${seed + at}`, ...place], { execArgv: [...LOADER] }),
    );
  }

  async round(at: number): Promise<void> {
    await Promise.all(
      this.#children.map(
        (child) =>
          new Promise<void>((resolve, reject) => {
            const exited = (code: number | null): void => reject(new Error(`a writer ended with ${code}`));
            child.once("exit", exited);
            child.once("message", () => {
              child.off("exit", exited);
              resolve();
            });
            child.send(at);
          }),
      ),
    );
  }

  stop(): void {
    for (const child of this.#children) if (child.connected) child.disconnect();
  }
}

// Faults between a writer's read and its write.
function someFaults(random: () => number) {
  const places = [/tags\/list/, /manifests\/index\.spack/, /blobs\/uploads/, /manifests\/p/, /blobs\/sha256/];
  const kinds = (): Fault[] => [{ delay: Math.floor(random() * 12) }, { status: 503 }, "reset", "lost commit"];
  // A slow writer: what it writes is outdated by then.
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

test("an index that somebody else has replaced meanwhile is read, and both are kept", async (t) => {
  const registry = await startRegistry();
  t.after(() => registry.close());
  const { target, close } = connect(registry.host, "org/cache");
  const push = (name: string): Promise<string> => pushSpec(target, madeSpec(name, "1.0"));
  const tags = [await push("first")];
  await updateIndex(new OciCache(target));
  tags.push(await push("second"));
  const cache = new OciCache(target);
  const { writeIndex } = OciCache.prototype;
  let others = 0;
  cache.writeIndex = async (text, options) => {
    if (others++ === 0) {
      tags.push(await push("third"));
      await updateIndex(new OciCache(target));
    }
    return await writeIndex.call(cache, text, options);
  };
  const report = await updateIndex(cache);
  assert.deepEqual([report.rounds, report.specs, report.isWritten], [2, 3, false]);
  assert.deepEqual(report.added, tags.slice(1).toSorted());
  assert.equal(registry.requests.filter(({ status }) => status === 412).length, 1);
  assert.equal((await checkIndex(cache)).isCurrent, true);
  await close();
});

test("a put whose answer is lost is found to have happened", async (t) => {
  const registry = await startRegistry();
  t.after(() => registry.close());
  const { target, close } = connect(registry.host, "org/cache");
  const cache = new OciCache(target);
  await pushSpec(target, madeSpec("first", "1.0"));
  await updateIndex(cache);
  await pushSpec(target, madeSpec("second", "1.0"));
  registry.rules.push({ method: "PUT", path: /manifests\/index\.spack/, times: 1, fault: "lost commit" });
  const report = await updateIndex(cache);
  assert.deepEqual([report.rounds, report.specs, report.isWritten], [2, 2, true]);
  assert.equal((await checkIndex(cache)).isCurrent, true);
  await close();
});

test("processes that push into one directory and index it", async (t) => {
  const folder = temporaryFolder();
  const writers = new Writers(seed, [folder]);
  t.after(() => writers.stop());
  for (let round = 0; round < 3; round++) await writers.round(round);
  const cache = new OciCache(await LayoutTarget.open(folder, { clock: systemClock }));
  const report = await checkIndex(cache);
  assert.deepEqual([report.isCurrent, report.specs, report.skipped], [true, (await cache.list()).specs.size, []]);
});

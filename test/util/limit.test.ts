// Proves that concurrency limits, priorities, single-flight and aborts work.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { forEachLimit, Limit, SingleFlight } from "../../lib/util/limit.ts";

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

test("at most as many at once as there are places, small priorities first", async () => {
  const limit = new Limit(2);
  const order: string[] = [];
  let running = 0;
  let most = 0;
  const work = (name: string) => async () => {
    most = Math.max(most, ++running);
    order.push(name);
    await tick();
    running--;
  };
  await Promise.all([
    limit.run(work("a")),
    limit.run(work("b")),
    limit.run(work("blob 1"), { priority: 1 }),
    limit.run(work("blob 2"), { priority: 1 }),
    limit.run(work("manifest"), { priority: 0 }),
  ]);
  assert.equal(most, 2);
  assert.deepEqual(order, ["a", "b", "manifest", "blob 1", "blob 2"]);
});

test("what weighs more takes more room; what weighs too much runs alone, and nothing overtakes it", async () => {
  const limit = new Limit(10);
  const order: string[] = [];
  let running = 0;
  let most = 0;
  const run = (name: string, weight: number): Promise<void> =>
    limit.run(
      async () => {
        order.push(name);
        running += weight;
        if (name !== "whale") most = Math.max(most, running);
        else assert.equal(running, weight);
        await tick();
        running -= weight;
      },
      { weight },
    );
  await Promise.all([run("a", 6), run("b", 4), run("whale", 50), run("c", 1), run("d", 9), run("e", 1)]);
  assert.equal(most, 10);
  assert.deepEqual(order, ["a", "b", "whale", "c", "d", "e"]);
});

test("what gives up no longer keeps lighter work waiting", async () => {
  const limit = new Limit(10);
  const release = await limit.acquire({ weight: 5 });
  const abort = new AbortController();
  const heavy = limit.acquire({ weight: 8, signal: abort.signal });
  const light = limit.acquire({ weight: 2 });
  abort.abort(new Error("enough"));
  await assert.rejects(heavy, /enough/);
  (await light)();
  release();
});

test("who gives up while waiting takes no place", async () => {
  const limit = new Limit(1);
  const release = await limit.acquire();
  const abort = new AbortController();
  const waiting = limit.acquire({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  release();
  release();
  const [a] = await Promise.all([limit.acquire()]);
  a();
});

test("waiters on one signal share one listener, which goes when all have started; an abort rejects only its own", async () => {
  const limit = new Limit(1);
  const { signal } = new AbortController();
  const release = await limit.acquire();
  const waiting = Array.from({ length: 50 }, () => limit.run(tick, { signal }));
  assert.equal(getEventListeners(signal, "abort").length, 1);
  release();
  await Promise.all(waiting);
  assert.equal(getEventListeners(signal, "abort").length, 0);

  const abort = new AbortController();
  const again = await limit.acquire();
  const given = [1, 2, 3].map(() => limit.run(tick, { signal: abort.signal }));
  const kept = limit.run(() => Promise.resolve("kept"), { signal });
  abort.abort(new Error("enough"));
  for (const one of given) await assert.rejects(one, /enough/);
  again();
  assert.equal(await kept, "kept");
});

test("many who ask for the same share one flight, and a failure is not remembered", async () => {
  const flights = new SingleFlight<number>();
  let count = 0;
  const work = async () => {
    await tick();
    return ++count;
  };
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => flights.run("k", work))), [1, 1, 1]);
  await assert.rejects(
    flights.run("k", () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await flights.run("k", work), 2);
});

test("the first failure stops what has not begun, and is thrown after the rest has ended", async () => {
  const started: number[] = [];
  let ended = 0;
  const work = async (n: number) => {
    started.push(n);
    await tick();
    ended++;
    if (n === 1) throw new Error("one");
  };
  await assert.rejects(forEachLimit([1, 2, 3, 4, 5, 6], 2, work), /one/);
  assert.ok(started.length < 6);
  assert.equal(ended, started.length);
});

test("items that cannot be listed further fail the work, after what is under way has ended", async () => {
  async function* items(): AsyncIterable<number> {
    yield 1;
    throw new Error("no more");
  }
  let hasEnded = false;
  const work = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    hasEnded = true;
  };
  await assert.rejects(forEachLimit(items(), 2, work), /no more/);
  assert.ok(hasEnded);
});

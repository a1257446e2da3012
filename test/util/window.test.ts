// Proves that ordered work stays in its window, and may wait for what is before it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stop } from "../../lib/util/stop.ts";
import { mapInWindow, Window } from "../../lib/util/window.ts";
import { dice } from "../../scripts/dice.ts";
import { useSeed } from "../support/seed.ts";

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

test("a number begins once all that are the size of the window below it have ended, in any order", async () => {
  const window = new Window(2);
  const begun: number[] = [];
  const begin = async (number: number): Promise<void> => {
    await window.begin(number);
    begun.push(number);
  };
  const all = Promise.all(numbers(5).map(begin));
  await tick();
  assert.deepEqual(begun, [0, 1]);
  window.end(1);
  await tick();
  assert.deepEqual(begun, [0, 1], "0 holds up the window");
  window.end(0);
  window.end(0);
  await tick();
  assert.deepEqual(begun, [0, 1, 2, 3]);
  // Numbers may end before they begin.
  window.end(4);
  window.end(2);
  await all;
});

test("items may wait for any that are before them, and their results are in order", async () => {
  const random = dice(useSeed());
  const count = 300;
  for (const size of [1, 3, 50]) {
    const done = numbers(count).map(() => Promise.withResolvers<void>());
    const running = new Set<number>();
    let most = 0;
    const results = await mapInWindow(numbers(count), size, async (item) => {
      running.add(item);
      most = Math.max(most, item - Math.min(...running));
      for (let waits = 0; waits < 3 && item > 0; waits++) await done[Math.floor(random() * item)]?.promise;
      if (random() < 0.5) await tick();
      running.delete(item);
      done[item]?.resolve();
      return item * 2;
    });
    assert.deepEqual(
      results,
      numbers(count).map((item) => item * 2),
    );
    assert.ok(most < size, `an item ran ${most} ahead`);
  }
});

test("an item that is over makes room before its work has ended", async () => {
  const end = Promise.withResolvers<void>();
  const begun: number[] = [];
  const all = mapInWindow(numbers(4), 1, async (item, over) => {
    begun.push(item);
    over();
    await end.promise;
    return item;
  });
  await tick();
  assert.deepEqual(begun, [0, 1, 2, 3]);
  end.resolve();
  assert.deepEqual(await all, [0, 1, 2, 3]);
});

test("after a failure no further item begins, and it is thrown once the others have ended", async () => {
  const begun: number[] = [];
  let ended = 0;
  const stop = new Stop();
  const all = stop.mapInWindow(numbers(9), 3, async (item) => {
    begun.push(item);
    await tick();
    if (item === 1) throw new Error("one failed");
    await tick();
    ended++;
  });
  await assert.rejects(all, /one failed/);
  assert.deepEqual(begun, [0, 1, 2]);
  assert.equal(ended, 2);
  assert.ok(stop.signal.aborted, "the failure ends the run");
});

// Proves that readers of a changing database never get a state older than their question.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store } from "../../lib/spack/store/store.ts";
import { LatestStore } from "../../lib/store/latest-store.ts";
import { updateDatabase } from "../../lib/store/write-database.ts";
import { systemClock } from "../../lib/util/time.ts";
import { named } from "../support/push.ts";
import { copyOf, locksOf, openStore, SPACK_1 } from "../support/stores.ts";

async function mark(store: Store, hash: string, explicit: boolean): Promise<void> {
  await using locks = locksOf(store);
  await updateDatabase(store, { clock: systemClock, locks }, () => [{ op: "mark", hash, explicit }]);
}

test("a change made while another caller reads the database is seen, and concurrent callers share a read", async () => {
  const store = await openStore(SPACK_1, await copyOf(SPACK_1));
  const { hash } = named(store, "hull");
  const gate = Promise.withResolvers<void>();
  const [read, reads] = [Promise.withResolvers<void>(), { count: 0 }];
  // The first read has its bytes, but is not finished.
  const slow = (one: Store): Store => {
    const reread = one.reread.bind(one);
    return Object.assign(one, {
      reread: async () => {
        reads.count++;
        const next = slow(await reread());
        read.resolve();
        await gate.promise;
        return next;
      },
    });
  };
  const latest = new LatestStore(slow(store));
  await mark(store, hash, false);
  const first = latest.get();
  await read.promise;
  await mark(store, hash, true);
  const later = [latest.get(), latest.get(), latest.get()];
  gate.resolve();
  assert.equal((await first).get(hash)?.explicit, false);
  for (const one of await Promise.all(later)) assert.equal(one.get(hash)?.explicit, true);
  assert.equal(reads.count, 2);
  assert.equal((await latest.get()).get(hash)?.explicit, true);
  assert.equal(reads.count, 2);
});

// Proves that readers of a changing database never get a state older than their question.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store } from "../../lib/spack/store/store.ts";
import { isObject } from "../../lib/spack/text/json.ts";
import type { JsonValue } from "../../lib/spack/text/json-value.ts";
import { LatestStore } from "../../lib/store/latest-store.ts";
import { updateDatabase } from "../../lib/store/write-database.ts";
import { systemClock } from "../../lib/util/time.ts";
import { named } from "../support/push.ts";
import { copyOf, databaseFile, installsOf, locksOf, openStore, SPACK_1 } from "../support/stores.ts";

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

test("what this process wrote is not read again, and what another wrote is not lost", async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  const [hull, fleet] = [named(store, "hull").hash, named(store, "fleet").hash];
  await using locks = locksOf(store);
  const latest = new LatestStore(store);
  const update = (hash: string, explicit: boolean): Promise<unknown> =>
    updateDatabase(store, { clock: systemClock, locks, latest }, () => [{ op: "mark", hash, explicit }]);
  const record = (hash: string): JsonValue | undefined => {
    const { database } = latest.local?.document ?? {};
    const { installs } = isObject(database) ? database : {};
    return isObject(installs) ? installs[hash] : undefined;
  };
  const facts = async (hash: string): Promise<boolean | undefined> => (await latest.get()).get(hash)?.explicit;

  const first = record(fleet);
  assert.ok(first !== undefined);
  await update(hull, false);
  await update(hull, true);
  await update(hull, false);
  // The record that did not change is the object that was read when the store was opened.
  assert.equal(record(fleet), first);
  assert.equal(await facts(hull), false);
  assert.deepEqual(installsOf(databaseFile(SPACK_1, sysroot))[hull]?.["explicit"], false);

  // Another process, which knows nothing of these.
  const wasExplicit = (await facts(fleet)) ?? assert.fail();
  await updateDatabase(await openStore(SPACK_1, sysroot), { clock: systemClock, locks }, () => [
    { op: "mark", hash: fleet, explicit: !wasExplicit },
  ]);
  assert.equal(await facts(fleet), !wasExplicit);
  await update(hull, true);
  assert.deepEqual([await facts(fleet), await facts(hull)], [!wasExplicit, true]);
  const written = installsOf(databaseFile(SPACK_1, sysroot));
  assert.deepEqual([written[fleet]?.["explicit"], written[hull]?.["explicit"]], [!wasExplicit, true]);
  // What can only be seen in the graph is still there.
  const { database } = await openStore(SPACK_1, sysroot);
  assert.equal(database.records.size, store.database.records.size);
});

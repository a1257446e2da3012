// Proves that readers of a changing database never get a state older than their question.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { mock, test } from "node:test";
import { computeHash } from "../../lib/spack/spec/dag-hash.ts";
import { GraphBuilder } from "../../lib/spack/spec/graph.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { isObject } from "../../lib/spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../lib/spack/text/json-value.ts";
import { createStore } from "../../lib/store/create.ts";
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
    const { database } = latest.known?.document ?? {};
    const { installs } = isObject(database) ? database : {};
    return isObject(installs) ? installs[hash] : undefined;
  };
  const isExplicit = async (hash: string): Promise<boolean | undefined> => (await latest.get()).get(hash)?.explicit;

  const unchanged = record(fleet);
  assert.ok(unchanged !== undefined);
  const build = mock.method(GraphBuilder.prototype, "build");
  await update(hull, false);
  await update(hull, true);
  await update(hull, false);
  assert.equal(build.mock.callCount(), 0, "graphs were linked");
  build.mock.restore();
  // The record that did not change is the object that was read when the store was opened.
  assert.equal(record(fleet), unchanged);
  assert.equal(await isExplicit(hull), false);
  assert.equal(record(fleet), unchanged);
  assert.equal(installsOf(databaseFile(SPACK_1, sysroot))[hull]?.["explicit"], false);

  // Another process, which knows nothing of these.
  const wasExplicit = (await isExplicit(fleet)) ?? assert.fail();
  await updateDatabase(await openStore(SPACK_1, sysroot), { clock: systemClock, locks }, () => [
    { op: "mark", hash: fleet, explicit: !wasExplicit },
  ]);
  assert.equal(await isExplicit(fleet), !wasExplicit);
  await update(hull, true);
  assert.deepEqual([await isExplicit(fleet), await isExplicit(hull)], [!wasExplicit, true]);
  const written = installsOf(databaseFile(SPACK_1, sysroot));
  assert.deepEqual([written[fleet]?.["explicit"], written[hull]?.["explicit"]], [!wasExplicit, true]);
  // No record is lost, and no edge.
  const { database } = await openStore(SPACK_1, sysroot);
  assert.deepEqual(
    Array.from(database.graph.nodes(), ({ hash, edges }) => [hash, edges.length]),
    Array.from(store.database.graph.nodes(), ({ hash, edges }) => [hash, edges.length]),
  );
});

test("a change by another process is seen although the file has the same size and whole seconds as its time", async () => {
  const sysroot = await copyOf(SPACK_1);
  const file = databaseFile(SPACK_1, sysroot);
  const second = 1_700_000_000;
  utimesSync(file, second, second);
  const store = await openStore(SPACK_1, sysroot);
  const [hull, fleet] = [named(store, "hull").hash, named(store, "fleet").hash];
  const installed = (): unknown => installsOf(file)[fleet]?.["installation_time"];
  const latest = new LatestStore(store);
  // In the same inode, as a file system does that uses freed inodes again.
  const text = readFileSync(file, "utf8");
  const before = String(installed());
  const later = before.replace(/\.(\d)/, (_, digit) => `.${(Number(digit) + 1) % 10}`);
  writeFileSync(file, text.replaceAll(before, later));
  const after = installed();
  assert.notEqual(String(after), before);
  writeFileSync(join(dirname(file), "index_verifier"), randomUUID());
  utimesSync(file, second, second);
  assert.equal((await openStore(SPACK_1, sysroot)).stamp, store.stamp);
  await using locks = locksOf(store);
  await updateDatabase(store, { clock: systemClock, locks, latest }, () => [
    { op: "mark", hash: hull, explicit: false },
  ]);
  assert.equal(installed(), after);
});

test("what this process wrote comes before the records of upstreams, which are still found", async () => {
  const sysroot = await copyOf(SPACK_1);
  const upstream = await openStore(SPACK_1, sysroot);
  const [hull, fleet] = [named(upstream, "hull"), named(upstream, "fleet")];
  const root = "/own";
  const options = { clock: systemClock, sysroot, upstreams: [upstream.root], mayBeEmpty: true };
  const store = await Store.open(root, options);
  await createStore(store);
  const record = (explicit: boolean): object => ({ spec: hull.raw, path: `${root}/hull`, installed: true, explicit });
  const installs = { [hull.hash]: record(false) };
  writeFileSync(store.locate(`${root}/.spack-db/index.json`), JSON.stringify({ database: { version: "8", installs } }));
  const opened = await Store.open(root, options);
  await using locks = locksOf(opened);
  const latest = new LatestStore(opened);
  await updateDatabase(opened, { clock: systemClock, locks, latest }, () => [
    { op: "mark", hash: hull.hash, explicit: true },
  ]);
  const records = await latest.get();
  assert.notEqual(records, opened);
  const [own, other] = [records.get(hull.hash), records.get(fleet.hash)];
  assert.deepEqual([own?.database, own?.explicit, own?.path], [0, true, `${root}/hull`]);
  assert.deepEqual([other?.database, other?.path], [1, upstream.get(fleet.hash)?.path]);
  assert.equal(records.get("a".repeat(32)), undefined);
});

test("a node that a spec file may have can be recorded, however deep it is nested", async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  const gcc = named(store, "gcc");
  let deep: JsonObject = {};
  for (let level = 0; level < 58; level++) deep = { deep };
  const rest: JsonObject = { ...gcc.raw, deep };
  delete rest["hash"];
  const raw = { ...rest, hash: computeHash({ raw: rest, buildSpec: undefined }) };
  const file = JSON.stringify({ spec: { _meta: { version: 5 }, nodes: [raw] } });
  const { root: node } = readSpecFile(Buffer.from(file), "spec.json");
  await using locks = locksOf(store);
  await updateDatabase(store, { clock: systemClock, locks }, () => [{ op: "add", node }]);
  assert.equal((await openStore(SPACK_1, sysroot)).get(node.hash)?.installed, true);
  await updateDatabase(store, { clock: systemClock, locks }, () => [{ op: "mark", hash: node.hash, explicit: true }]);
});

// Proves that the sizes of an image add up, by package and by kind, with the base apart.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { FactsMemory } from "../../../lib/loader/facts-memory.ts";
import { imageSize } from "../../../lib/ops/image/size.ts";
import { push } from "../../../lib/ops/push/push.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { layoutForTests } from "../../support/caches.ts";
import { withSections } from "../../support/elf-sections.ts";
import { loadableElf } from "../../support/loadable-elf.ts";
import { glibc, pushTree } from "../../support/made-base.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { temporaryFolder } from "../../support/tree.ts";

test("debug sections are counted where a slim image has the file, from its headers alone", async () => {
  const { store } = await goldenStore();
  const hull = store.locate(store.prefixOf(named(store, "hull")));
  const elf = loadableElf({ soname: "libextra.so" });
  const debug = (size: number): Buffer =>
    withSections(elf, { ".debug_info": "d".repeat(size), ".zdebug_line": "l".repeat(70_000), ".comment": "c" });
  for (const [path, bytes] of [
    ["lib/libextra.so", debug(5000)],
    ["lib/debug/libextra.so.debug", debug(400)],
    ["include/libextra.h", debug(30)],
    ["lib/libplain.so", withSections(elf, {})],
    ["lib/libcut.so", debug(60).subarray(0, -100)],
  ] as const) {
    mkdirSync(dirname(join(hull, path)), { recursive: true });
    writeFileSync(join(hull, path), bytes, { mode: 0o755 });
  }
  const target = await layoutForTests();
  await push(pushOptions(store, target, { tags: ["app"] }));
  const memory = new FactsMemory(new DiskCache({ folder: temporaryFolder(), clock: systemClock }));
  const platform = { os: "linux", architecture: "amd64" };
  for (const how of ["read", "remembered"]) {
    const report = await imageSize(target, "app", { platform, memory });
    const own = report.packages.find(({ name }) => name.startsWith("hull@"));
    assert.deepEqual([own?.debug, report.debug], [75_000, 75_000], how);
  }
});

test("the sizes of packages and of kinds add up to those of the image", async () => {
  const { store } = await goldenStore();
  const target = await LayoutTarget.open(join(temporaryFolder(), "l"), { clock: systemClock, create: true, name: "l" });
  await pushTree(target, "base", glibc(36), 5000);
  await push(pushOptions(store, target, { base: { name: "b", target, reference: "base" }, tags: ["app"] }));
  const platform = { os: "linux", architecture: "amd64" };
  const report = await imageSize(target, "app", { platform });
  const sum = (all: readonly { bytes: number }[]): number => all.reduce((total, { bytes }) => total + bytes, 0);
  assert.equal(sum(report.packages), report.bytes);
  for (const { name, bytes, kinds } of report.packages) assert.equal(sum(kinds), bytes, name);
  const own = report.packages.filter(({ isBase }) => !isBase);
  assert.equal(sum(report.kinds), sum(own));
  assert.equal(
    own.reduce((total, { dispensable }) => total + dispensable, 0),
    report.dispensable,
  );
  const names = report.packages.map(({ name }) => name.replace(/@.*/, ""));
  assert.deepEqual(names.toSorted(), [
    "fleet",
    "gcc-runtime",
    "hull",
    "paddle",
    "rigging",
    "the base image",
    "voyage",
    "zlib-ish",
  ]);
  const base = report.packages.find(({ isBase }) => isBase);
  assert.ok(base && base.bytes > 5000);
  assert.ok(report.compressedBase > 0 && report.compressedBase < report.compressed);
  const hull = report.packages.find(({ name }) => name.startsWith("hull@"));
  const kinds = new Map(hull?.kinds.map(({ kind, bytes }) => [kind, bytes]));
  assert.ok((kinds.get("libraries") ?? 0) > 0);
  assert.ok((kinds.get("static libraries") ?? 0) > 0);
  assert.ok((hull?.dispensable ?? 0) >= (kinds.get("static libraries") ?? 0));
  await target.close();
});

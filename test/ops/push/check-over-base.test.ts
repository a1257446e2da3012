// Proves that a push over a base image tags nothing that would not start, and says why.
import assert from "node:assert/strict";
import { join } from "node:path";
import { Readable } from "node:stream";
import { before, test } from "node:test";
import { FactsMemory } from "../../../lib/loader/facts-memory.ts";
import { readLayer } from "../../../lib/loader/layer-reader.ts";
import { OCI_LAYER_GZIP } from "../../../lib/oci/mediatype.ts";
import { readPrefixFacts } from "../../../lib/ops/push/prefix-facts.ts";
import { type PushOptions, push } from "../../../lib/ops/push/push.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { layoutForTests } from "../../support/caches.ts";
import { archiveOf } from "../../support/loading.ts";
import { glibc, pushTree } from "../../support/made-base.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { makeTree, temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();
const bases = await layoutForTests();
before(async () => {
  await pushTree(bases, "new", glibc(36));
  await pushTree(bases, "old", glibc(31));
});

const over = (tag: string): PushOptions["base"] => ({ name: `base:${tag}`, target: bases, reference: tag });

test("an image that would not start is not tagged; the images of its specs are pushed", async () => {
  const target = await layoutForTests();
  const report = await push(pushOptions(store, target, { base: over("old"), tags: ["app"] }));
  assert.deepEqual(
    report.failures.map(({ code, message }) => [code, message]),
    [
      [
        "LIBC_TOO_OLD",
        "the image app was not pushed: over base:old programs would not start: paddle of paddle@3.1/kvupzkz needs glibc 2.34, but the image has 2.31 (and 1 more file)",
      ],
    ],
  );
  assert.match(report.failures[0]?.hint ?? "", /glibc 2.34 or later, for example rockylinux:9.*`checkRun: false`/);
  assert.equal(await target.headManifest("app"), undefined);
  assert.ok(report.specs.filter(({ outcome }) => outcome === "pushed").length > 5);
});

test("it is tagged without the check, and over a base that fits", async () => {
  for (const more of [{ base: over("old"), checkRun: false }, { base: over("new") }]) {
    const target = await layoutForTests();
    const report = await push(pushOptions(store, target, { tags: ["app"], ...more }));
    assert.deepEqual(report.failures, []);
    assert.deepEqual(
      report.findings.map(({ severity, code }) => `${severity} ${code}`),
      // The script that starts through sbang, which is in no prefix.
      more.checkRun === false ? [] : ["warning SCRIPT_INTERPRETER_MISSING"],
    );
    assert.ok(await target.headManifest("app"));
  }
});

test("a library that is left out is an error, unless layers may be missing", async () => {
  const roots = [named(store, "voyage")];
  const more = { base: over("new"), tags: ["app"], roots, only: "package" as const, allowMissing: true };
  const target = await layoutForTests();
  const report = await push(pushOptions(store, target, more));
  assert.deepEqual(report.failures, []);
  assert.ok(report.findings.some(({ severity, code }) => severity === "error" && code === "LIBRARY_MISSING"));
});

test("a push that changes no tag checks nothing, and one that was checked reads the base no more", async () => {
  const target = await layoutForTests();
  const facts = new FactsMemory(new DiskCache({ folder: temporaryFolder(), clock: systemClock }));
  const fetched: string[] = [];
  const counted = new Proxy(bases, {
    get: (object, key) => {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== "function") return value;
      if (key !== "fetchBlob") return value.bind(object);
      return (descriptor: { digest: string }) => {
        fetched.push(descriptor.digest);
        return object.fetchBlob(descriptor as never);
      };
    },
  });
  const base = { name: "base", target: counted, reference: "new" };
  const run = async (tag: string): Promise<number> => {
    await push(pushOptions(store, target, { base, tags: [tag], facts }));
    return fetched.splice(0).length;
  };
  // The config twice, and the layer for the check and for the copy.
  assert.deepEqual([await run("one"), await run("one"), await run("two")], [3, 1, 1]);
});

test("what is read of a prefix is what its layer says", async () => {
  const root = temporaryFolder();
  const prefix = join(root, "store/thing");
  makeTree(prefix, [
    { type: "file", path: "bin/tool", content: "#!/bin/sh -e\necho\nmore\n", mode: 0o755 },
    { type: "file", path: "bin/data", content: "#!/bin/sh\n" },
    { type: "file", path: "bin/empty" },
    { type: "hardlink", path: "bin/tool2", target: "bin/tool" },
    { type: "symlink", path: "lib64", target: "lib" },
    { type: "file", path: "lib/n\xe9", content: "\x7fELF" },
    { type: "file", path: "share/big", content: "x".repeat(5000), mode: 0o755 },
    ...glibc(36),
  ]);
  const said = readPrefixFacts({ prefix });
  const layer = { mediaType: OCI_LAYER_GZIP, subject: "a layer" };
  const read = await readLayer(Readable.from([archiveOf(prefix)]), layer);
  const below = new Map(
    [...said.entries].flatMap(([path, entry]) => {
      const name = path.slice(prefix.length);
      if (path.length < prefix.length) return [];
      return [[name, entry.kind === "same" ? { ...entry, target: entry.target.slice(prefix.length) } : entry] as const];
    }),
  );
  const plain = (entries: ReadonlyMap<string, unknown>): unknown[] => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(plain(below), plain(read.entries));
});

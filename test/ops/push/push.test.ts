// Proves that pushes handle broken images, absent specs and misbehaving registries.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { checkIndex } from "../../../lib/cache/index-update.ts";
import { OciCache } from "../../../lib/cache/oci-cache.ts";
import { copyGraph } from "../../../lib/copy.ts";
import { parseCompression } from "../../../lib/image/pack/compression.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { canonicalBytes } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX } from "../../../lib/oci/mediatype.ts";
import { type PushOptions, planOf, push } from "../../../lib/ops/push/push.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import type { Store } from "../../../lib/spack/store/store.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { Target } from "../../../lib/target/target.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { makeBase } from "../../../scripts/make-base.ts";
import { connect, type TestClient } from "../../support/client.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { type Rule, startRegistry, type TestRegistry } from "../../support/registry.ts";
import { replaceMethods } from "../../support/replace-methods.ts";
import { temporaryFolder } from "../../support/tree.ts";

const golden = await goldenStore();

/** Runs a test against a registry of its own. */
async function withRegistry(
  run: (at: { registry: TestRegistry; target: Target; client: TestClient }) => Promise<void>,
  rules: Rule[] = [],
): Promise<void> {
  const registry = await startRegistry({ rules });
  const client = connect(registry.host, "org/cache", { retry: { attempts: 2 } });
  try {
    await run({ registry, target: client.target, client });
  } finally {
    await client.close();
    await registry.close();
  }
}

const outcomes = (report: Awaited<ReturnType<typeof push>>): Record<string, string> =>
  Object.fromEntries(report.specs.map(({ name, outcome }) => [name, outcome]));

async function layersOf(target: Target, tag: string): Promise<number> {
  const document = parseFetched(await target.fetchManifest(tag), target.name);
  return document.kind === "manifest" ? document.value.layers.length : -1;
}

const tagOf = (store: Store, name: string): string => specTag(named(store, name));

describe("an image that is there and broken is pushed anew", () => {
  const BREAKAGES: { name: string; breaks(target: Target, tag: string): Promise<unknown> }[] = [
    { name: "an image without a spec", breaks: (target, tag) => pushImage(target, imageOf("x"), tag) },
    {
      name: "an index",
      breaks: (target, tag) =>
        target.pushManifest(canonicalBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }), OCI_INDEX, {
          tag,
        }),
    },
    {
      name: "the image of another spec",
      breaks: async (target, tag) => {
        const other = await target.fetchManifest(tagOf(golden.store, "rigging"));
        await target.pushManifest(other.bytes, other.descriptor.mediaType, { tag });
      },
    },
  ];
  for (const { name, breaks } of BREAKAGES)
    test(name, () =>
      withRegistry(async ({ target }) => {
        const { store } = golden;
        const first = await push(pushOptions(store, target));
        await breaks(target, tagOf(store, "hull"));
        // Read because its layer is needed.
        const again = await push(pushOptions(store, target, { tags: ["app"] }));
        assert.deepEqual(again.failures, []);
        assert.equal(outcomes(again)["hull"], "repaired");
        const digests = (report: typeof first) => report.specs.find((spec) => spec.name === "hull")?.manifest;
        assert.equal(digests(again), digests(first));
      }),
    );

  test("with --verify, also where nobody needs its layer", () =>
    withRegistry(async ({ target }) => {
      const { store } = golden;
      await push(pushOptions(store, target));
      await pushImage(target, imageOf("x"), tagOf(store, "fleet"));
      assert.equal(outcomes(await push(pushOptions(store, target)))["fleet"], "present");
      assert.equal(outcomes(await push(pushOptions(store, target, { verify: true })))["fleet"], "repaired");
    }));
});

describe("an answer that is no clear `not there` stops the push before anything is written", () => {
  const rows = [
    // A 401 without a challenge cannot be answered.
    { status: 401, path: /tags\/list/, code: "UNSUPPORTED" },
    { status: 403, path: /tags\/list/, code: "DENIED" },
    { status: 500, path: /tags\/list/, code: "REGISTRY_ERROR" },
    { status: 403, path: /manifests\/hull/, code: "DENIED" },
    { status: 503, path: /manifests\/hull/, code: "REGISTRY_ERROR" },
  ] as const;
  for (const { status, path, code } of rows)
    test(`${status} at ${path}`, () =>
      withRegistry(async ({ registry, target }) => {
        const { store } = golden;
        await push(pushOptions(store, target));
        registry.rules.push({ method: "GET", path, fault: { status } });
        const before = registry.requests.length;
        await assert.rejects(push(pushOptions(store, target, { tags: ["app"] })), (error: { code?: string }) => {
          assert.equal(error.code, code);
          return true;
        });
        const written = registry.requests.slice(before).filter(({ method }) => method !== "GET" && method !== "HEAD");
        assert.deepEqual(written, []);
      }));
});

describe("a prefix that cannot be packed", () => {
  const BROKEN: { name: string; breaks(prefix: string): void; message: RegExp }[] = [
    {
      name: "is missing",
      breaks: (prefix) => rmSync(prefix, { recursive: true }),
      message: /hull@.* was not pushed: the prefix .* is missing/,
    },
    {
      name: "is a file",
      breaks: (prefix) => {
        rmSync(prefix, { recursive: true });
        writeFileSync(prefix, "x");
      },
      message: /is a file, expected a directory/,
    },
  ];
  for (const { name, breaks, message } of BROKEN)
    test(`${name}: it fails with what needs it, the rest is pushed, and no tag is made`, () =>
      withRegistry(async ({ target }) => {
        const { store } = await goldenStore();
        breaks(store.locate(store.prefixOf(named(store, "hull"))));
        const report = await push(pushOptions(store, target, { tags: ["app"] }));
        assert.deepEqual(outcomes(report), {
          "compiler-wrapper": "pushed",
          "gcc-runtime": "pushed",
          "zlib-ish": "pushed",
          rigging: "pushed",
          hull: "failed",
          paddle: "failed",
          voyage: "failed",
          fleet: "failed",
        });
        assert.match(report.failures[0]?.message ?? "", message);
        // Dependents do not count as failures of their own; their specs say why.
        assert.equal(report.failures.length, 1);
        const fleet = report.specs.find((spec) => spec.name === "fleet");
        assert.match(fleet?.error?.message ?? "", /fleet@.* was not pushed: its dependency hull@.* failed/);
        assert.deepEqual(report.images, []);
        const tags = await Array.fromAsync(target.tags());
        assert.equal(tags.length, 4);
      }));

  test("stops everything with --fail-fast", () =>
    withRegistry(async ({ target }) => {
      const { store } = await goldenStore();
      rmSync(store.locate(store.prefixOf(named(store, "zlib-ish"))), { recursive: true });
      const report = await push(pushOptions(store, target, { failFast: true, jobs: 1 }));
      assert.equal(outcomes(report)["fleet"], "failed");
      assert.equal(report.failures.length, 1);
    }));
});

test("a registry that takes blobs and refuses manifests: what fails by itself is named, nothing is tagged", () =>
  withRegistry(
    async ({ target }) => {
      const report = await push(pushOptions(golden.store, target, { tags: ["app"] }));
      assert.deepEqual([...new Set(Object.values(outcomes(report)))], ["failed"]);
      // The others depend on one of these, and are not reported again.
      const causes = report.failures.map(({ subject }) => subject?.replace(/@.*/, ""));
      assert.deepEqual(causes.sort(), ["compiler-wrapper", "gcc-runtime", "rigging"]);
      assert.match(report.failures[0]?.message ?? "", /was not pushed/);
    },
    [
      {
        method: "PUT",
        path: /\/manifests\//,
        fault: { status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' },
      },
    ],
  ));

describe("base images", () => {
  async function withBase(make: Parameters<typeof makeBase>[1], more: Partial<PushOptions>): Promise<void> {
    const folder = join(temporaryFolder(), "base");
    makeBase(folder, make);
    const from = await LayoutTarget.open(folder, { clock: systemClock, create: false, name: "base" });
    await withRegistry(async ({ target, registry }) => {
      const base = { name: "the base", target: from, reference: make.tag };
      try {
        const report = await push(pushOptions(golden.store, target, { base, tags: ["app"], ...more }));
        assert.deepEqual(report.failures, []);
        assert.equal(report.images[0]?.layers, 9);
        assert.equal(await layersOf(target, "app"), 9);
        const { descriptor } = await target.fetchManifest("app");
        assert.match(descriptor.mediaType, make.docker ? /docker/ : /oci/);
        // Each layer of the base was sent once, though nine images use it.
        assert.equal(report.totals.blobs.pushed, 10);
      } catch (error) {
        assert.equal(registry.requests.filter(({ method }) => method === "PUT").length, 0);
        throw error;
      }
    });
    await from.close();
  }
  test("with OCI media types", () => withBase({ tag: "b" }, {}));
  test("with Docker's media types", () => withBase({ tag: "b", docker: true }, {}));
  test("of the same registry are mounted, and nothing of them is sent", () =>
    withRegistry(async ({ target, registry }) => {
      const folder = join(temporaryFolder(), "base");
      makeBase(folder, { tag: "b" });
      const from = await LayoutTarget.open(folder, { clock: systemClock, create: false, name: "base" });
      const near = connect(registry.host, "org/base");
      await copyGraph(from, near.target, "b", { tag: "b" });
      const base = { name: "near", target: near.target, reference: "b" };
      const plan = await planOf(pushOptions(golden.store, target, { base, tags: ["app"] }));
      assert.deepEqual([plan.totals.mounts, plan.base[0]?.mayMount], [2, true]);
      const report = await push(pushOptions(golden.store, target, { base, tags: ["app"] }));
      assert.deepEqual([report.failures, report.totals.blobs.mounted, report.images[0]?.layers], [[], 2, 9]);
      const again = await planOf(pushOptions(golden.store, target, { base, tags: ["app"] }));
      assert.deepEqual([again.totals.mounts, again.base[0]?.missing, again.totals.sendBytes], [0, 0, 0]);
      await near.close();
      await from.close();
    }));
  test("of another architecture are refused", async () => {
    const error = await failsWith(
      "PLATFORM_MISMATCH",
      withBase({ tag: "b", architecture: "arm64" }, {}),
      /is for linux\/arm64, expected linux\/amd64/,
    );
    assert.match(error.hint ?? "", /`baseImage`/);
  });
  test("with Docker's media types and zstd layers are refused before anything is packed", async () => {
    const refused = withBase({ tag: "b", docker: true }, { compression: parseCompression("zstd") });
    await failsWith("UNSUPPORTED", refused, /docker media types/);
  });
  test("that are artifacts are refused", () =>
    withRegistry(async ({ target, client }) => {
      await pushImage(target, imageOf("a", [10], { artifactType: "application/x" }), "artifact");
      const base = { name: "x", target: client.target, reference: "artifact" };
      await failsWith("MEDIA_TYPE", push(pushOptions(golden.store, target, { base })), /is an artifact of type/);
    }));
});

describe("what is selected", () => {
  const rows: { name: string; more: Partial<PushOptions>; expect: string[] }[] = [
    {
      name: "everything",
      more: {},
      expect: ["compiler-wrapper", "fleet", "gcc-runtime", "hull", "paddle", "rigging", "voyage", "zlib-ish"],
    },
    { name: "only the specs themselves", more: { only: "package" }, expect: ["fleet", "hull"] },
    {
      name: "only what they depend on",
      more: { only: "dependencies" },
      expect: ["compiler-wrapper", "gcc-runtime", "paddle", "rigging", "voyage", "zlib-ish"],
    },
    {
      name: "nothing for building only",
      more: { buildDependencies: "without" },
      expect: ["fleet", "gcc-runtime", "hull", "paddle", "rigging", "voyage", "zlib-ish"],
    },
  ];
  for (const { name, more, expect } of rows)
    test(name, () =>
      withRegistry(async ({ target }) => {
        const report = await push(pushOptions(golden.store, target, more));
        assert.deepEqual(report.specs.map((spec) => spec.name).sort(), expect);
      }),
    );

  test("layers that are nowhere are told, and keep a tag from being made unless that is allowed", () =>
    withRegistry(async ({ target }) => {
      const options = pushOptions(golden.store, target, { only: "package", tags: ["app"] });
      const report = await push(options);
      assert.deepEqual(
        report.failures.map(({ code }) => code),
        ["SPEC_ABSENT"],
      );
      assert.match(
        report.failures[0]?.message ?? "",
        /the image app was not pushed: the layers of .* are neither being packed nor in the cache/,
      );
      assert.ok(report.specs.every(({ outcome, missing }) => outcome === "pushed" && (missing?.length ?? 0) > 0));
      const allowed = await push({ ...options, allowMissing: true });
      assert.deepEqual([allowed.failures, allowed.images[0]?.layers], [[], 2]);
      // Once the others exist, the images get their layers.
      const all = await push(pushOptions(golden.store, target, { tags: ["app"] }));
      assert.deepEqual([outcomes(all)["fleet"], outcomes(all)["voyage"]], ["completed", "pushed"]);
      assert.deepEqual([all.images[0]?.layers, await layersOf(target, tagOf(golden.store, "fleet"))], [7, 7]);
      assert.equal(all.totals.blobs.pushed, 6);
    }));

  test("an image is completed with the layer of a spec that comes later in push order", () =>
    withRegistry(async ({ target }) => {
      const { store } = golden;
      const all = (names: string[]) => names.map((name) => named(store, name));
      const others = all(["gcc-runtime", "zlib-ish", "rigging", "paddle", "voyage"]);
      const first = await push(pushOptions(store, target, { roots: others, only: "package" }));
      const missing = first.specs.find(({ name }) => name === "voyage")?.missing;
      assert.match(`${missing}`, /^hull@[^,]*$/);
      const roots = all(["hull", "voyage"]);
      const report = await push(pushOptions(store, target, { roots, tags: ["app"] }));
      const { hull, paddle, voyage } = outcomes(report);
      assert.deepEqual([report.failures, hull, paddle, voyage], [[], "pushed", "completed", "completed"]);
      const order = report.specs.map(({ name }) => name);
      assert.ok(order.indexOf("voyage") < order.indexOf("hull"), order.join(" "));
    }));

  test("a push that only completes images tells where their variables come from", () =>
    withRegistry(async ({ target }) => {
      const roots = [named(golden.store, "fleet")];
      for (const only of ["package", "dependencies"] as const)
        await push(pushOptions(golden.store, target, { roots, only }));
      const report = await push(pushOptions(golden.store, target, { roots, only: "package", verify: true }));
      assert.deepEqual(outcomes(report), { fleet: "completed" });
      assert.deepEqual(report.environment, {
        ...{ from: "install tree", version: undefined, notUnderstood: [], libraryPath: [] },
      });
    }));

  test("what is not installed is told, and the rest is pushed", () =>
    withRegistry(async ({ target }) => {
      const { store } = golden;
      const absent = { ...named(store, "hull"), hash: "a".repeat(32), name: "ghost" };
      const report = await push(pushOptions(store, target, { roots: [absent, named(store, "rigging")] }));
      assert.deepEqual([outcomes(report)["ghost"], outcomes(report)["rigging"]], ["not installed", "pushed"]);
      assert.deepEqual(
        report.failures.map(({ code }) => code),
        ["SPEC_NOT_INSTALLED"],
      );
      await failsWith(
        "SPEC_NOT_INSTALLED",
        push(pushOptions(store, target, { roots: [absent], failFast: true })),
        /ghost@/,
      );
    }));
});

test("jobs that share the packing end with whole images, whoever tags", () =>
  withRegistry(async ({ target, registry }) => {
    const { store } = golden;
    const whole = connect(registry.host, "org/whole");
    const reference = await push(pushOptions(store, whole.target, { tags: ["app"] }));
    const packed = new Map<string, number>();
    for (const index of [3, 1, 2]) {
      const report = await push(pushOptions(store, target, { shard: { index, count: 3 } }));
      assert.deepEqual(report.failures, []);
      for (const { name, outcome } of report.specs)
        if (outcome === "pushed") packed.set(name, (packed.get(name) ?? 0) + 1);
    }
    assert.deepEqual([packed.size, [...packed.values()].every((times) => times === 1)], [8, true]);
    const last = await push(pushOptions(store, target, { tags: ["app"] }));
    assert.deepEqual([last.failures, last.totals.blobs.pushed], [[], 0]);
    assert.equal(last.images[0]?.manifest, reference.images[0]?.manifest);
    for (const { tag, manifest } of reference.specs)
      assert.equal((await target.fetchManifest(tag)).descriptor.digest, manifest, tag);
    await whole.close();
  }));

test("the index can be brought up to date in the same run", () =>
  withRegistry(async ({ target, registry }) => {
    const report = await push(pushOptions(golden.store, target, { updateIndex: true }));
    assert.deepEqual([report.index?.specs, report.index?.isWritten], [8, true]);
    // What was just pushed is not read back.
    assert.equal(registry.count("GET", /manifests\/hull/), 0);
    assert.equal((await checkIndex(new OciCache(target))).isCurrent, true);
  }));

describe("what prefixes gave is remembered", () => {
  const later = { ...systemClock, now: () => systemClock.now() + 60_000 };
  const remembering = (folder: string): Partial<PushOptions> => ({
    clock: later,
    memory: new LayerMemory(new DiskCache({ folder, clock: later }), parseCompression("gzip")),
  });

  test("a second registry's layers are not packed to know what they are", () =>
    withRegistry(async ({ target }) => {
      const more = remembering(temporaryFolder());
      const { store } = await goldenStore();
      const first = await push(pushOptions(store, target, more));
      assert.ok(first.totals.packedBytes > 0);
      const forced = await push(pushOptions(store, target, { ...more, force: true }));
      assert.deepEqual([forced.totals.packedBytes, forced.totals.blobs.present], [0, 8]);
      const plan = await planOf(pushOptions(store, target, { ...more, force: true }));
      assert.deepEqual([plan.totals.isEstimate, plan.totals.packSpecs], [false, 8]);
      // A changed file is detected.
      const prefix = store.locate(store.prefixOf(named(store, "rigging")));
      writeFileSync(join(prefix, "added"), "x");
      const changed = await push(pushOptions(store, target, { ...more, force: true }));
      assert.deepEqual([changed.totals.blobs.pushed, changed.totals.blobs.present], [1, 7]);
    }));

  test("a memory that is wrong, damaged or cannot be written does no harm", () =>
    withRegistry(async ({ target }) => {
      const folder = temporaryFolder();
      const { store } = await goldenStore();
      const reference = await push(pushOptions(store, target, remembering(folder)));
      const [kind = ""] = readdirSync(folder);
      for (const [at, file] of readdirSync(join(folder, kind), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .entries()) {
        const path = join(file.parentPath, file.name);
        if (at === 0) writeFileSync(path, "{");
        if (at === 1) writeFileSync(path, '{"fingerprint":1}');
      }
      mkdirSync(join(folder, "x"));
      chmodSync(folder, 0o500);
      const again = await push(pushOptions(store, target, { ...remembering(folder), force: true }));
      chmodSync(folder, 0o700);
      assert.deepEqual(
        again.specs.map(({ manifest }) => manifest),
        reference.specs.map(({ manifest }) => manifest),
      );
    }));
});

test("a plan tells everything and writes nothing", () =>
  withRegistry(async ({ target, registry }) => {
    const plan = await planOf(pushOptions(golden.store, target, { tags: ["app"] }));
    assert.deepEqual([plan.totals.packSpecs, plan.totals.isEstimate, plan.images[0]?.layers], [8, true, 7]);
    assert.ok(plan.totals.packBytes > 100_000);
    assert.deepEqual([...new Set(registry.requests.map(({ method }) => method))], ["GET"]);
    // A list of tags; a layer, a config and a manifest for each spec; and a config and a manifest for the image.
    assert.equal(plan.totals.requests, 1 + 3 * 8 + 2);
    const before = registry.requests.length;
    await push(pushOptions(golden.store, target, { tags: ["app"] }));
    assert.ok(registry.requests.length - before >= plan.totals.requests);
    const after = await planOf(pushOptions(golden.store, target, { tags: ["app"] }));
    assert.deepEqual([after.totals.packSpecs, after.totals.packBytes, after.images[0]?.missing], [0, 0, []]);
    assert.equal(after.totals.requests, 1);
  }));

test("a plan can be stopped between two specs", () =>
  withRegistry(async ({ target }) => {
    const stop = new AbortController();
    let recalled = 0;
    const cache = new DiskCache({ folder: temporaryFolder(), clock: systemClock });
    const memory = replaceMethods(new LayerMemory(cache, parseCompression("gzip")), {
      recall: () => {
        recalled++;
        stop.abort();
        return undefined;
      },
    });
    const plan = planOf(pushOptions(golden.store, target, { memory, signal: stop.signal }));
    await assert.rejects(plan, { name: "AbortError" });
    assert.equal(recalled, 1);
  }));

test("it can be stopped, and leaves only whole images", () =>
  withRegistry(
    async ({ target, registry }) => {
      const stop = new AbortController();
      const report = push(pushOptions(golden.store, target, { signal: stop.signal, jobs: 1 }));
      const timer = setInterval(() => registry.count("PUT", /manifests/) > 0 && stop.abort(new Error("stopped")), 1);
      await assert.rejects(report, /stopped/);
      clearInterval(timer);
      const cache = new OciCache(target);
      for (const tag of await Array.fromAsync(target.tags())) await cache.fetchSpec(tag);
    },
    [{ method: "PUT", path: /manifests/, after: 1, fault: { delay: 40 } }],
  ));

// Proves that installations from golden images produce Spack's trees and a database that Spack reads, and that failures
// are handled.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { ReadOciCache } from "../../../lib/cache/oci-cache.ts";
import { copyGraph } from "../../../lib/copy.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { canonicalBytes, describe as describeBytes } from "../../../lib/oci/manifest.ts";
import { OCI_CONFIG } from "../../../lib/oci/mediatype.ts";
import { install, planInstall } from "../../../lib/ops/install/install.ts";
import { InstallSource } from "../../../lib/ops/install/source.ts";
import { push } from "../../../lib/ops/push/push.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { Store } from "../../../lib/spack/store/store.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import type { ReadTarget, Target } from "../../../lib/target/target.ts";
import type { ProgressEvent } from "../../../lib/util/progress.ts";
import { bytesSource } from "../../../lib/util/stream.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { findProgram } from "../../../scripts/peers.ts";
import { emptyLayout } from "../../support/caches.ts";
import { connect } from "../../support/client.ts";
import { failsWith } from "../../support/errors.ts";
import { expectedListing, listing } from "../../support/golden-listing.ts";
import { goldenLayout, installOptions } from "../../support/install.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { temporaryFolder } from "../../support/tree.ts";

const plain = await goldenLayout("spack-1.2/plain.oci");
const padded = await goldenLayout("spack-1.2/padded.oci");
const outcomes = (report: Awaited<ReturnType<typeof install>>): Record<string, string> =>
  Object.fromEntries(report.specs.map(({ name, outcome }) => [name, outcome]));

/** The prefixes of a store below a sysroot, as `platform/name-version-hash`. */
function prefixesIn(place: string): string[] {
  if (!existsSync(place)) return [];
  return readdirSync(place)
    .filter((name) => name.startsWith("linux"))
    .flatMap((name) => readdirSync(join(place, name)).map((inner) => `${name}/${inner}`))
    .sort();
}

describe("what is installed is what Spack installs", () => {
  for (const { layout, root, list } of [
    { layout: "spack-1.2/plain.oci", root: "/opt/q/st", list: "installed-at-opt-q-st" },
    {
      layout: "spack-1.2/padded.oci",
      root: "/opt/quayside/unpadded",
      list: "padded-installed-at-opt-quayside-unpadded",
    },
  ])
    test(`${layout} at ${root}`, async () => {
      const sysroot = temporaryFolder();
      const from = await goldenLayout(layout);
      const options = await installOptions([from], root, ["fleet", "hull"], { sysroot });
      const report = await install(options);
      assert.deepEqual(report.failures, []);
      let compared = 0;
      for (const prefix of prefixesIn(join(sysroot, root))) {
        const expected = expectedListing(list, prefix);
        if (expected.length === 0) continue;
        assert.deepEqual(listing(join(sysroot, root, prefix)).sort(), expected, prefix);
        compared++;
      }
      assert.ok(compared >= 3, `${compared} compared`);
      // The database matches Spack's, except for times.
      const store = await options.store.reread();
      const installed = [...store.records()].filter((record) => record.installed && record.node.external === undefined);
      assert.equal(installed.length, report.totals.installed);
      assert.deepEqual(
        installed
          .filter(({ explicit }) => explicit)
          .map(({ node }) => node.name)
          .sort(),
        layout.includes("plain")
          ? ["fleet", "hull"]
          : installed
              .filter(({ explicit }) => explicit)
              .map(({ node }) => node.name)
              .sort(),
      );
      // A second run has nothing to do.
      const again = await install({ ...options, store });
      assert.deepEqual(
        [again.totals.installed, new Set(Object.values(outcomes(again)))],
        [0, new Set(["present", "external"])],
      );
    });
});

test("at a longer root hull fails with what needs it, the rest is installed, and nothing is left behind", async () => {
  const sysroot = temporaryFolder();
  const root = "/opt/harbor/another-store";
  const patchelf = findProgram("patchelf");
  const report = await install(await installOptions([plain], root, ["fleet"], { sysroot, patchelf }));
  assert.equal(report.failures.length, 1);
  const hull = report.specs.find(({ name }) => name === "hull")?.error;
  assert.equal(hull?.code, "RELOCATION_FAILED");
  // Its search path must grow too, which happens first and needs a program.
  const expected =
    patchelf === undefined ? /lib\/libhull\.so.*patchelf/ : /lib\/libhull\.so.*room for a prefix of \d+ bytes/;
  assert.match(hull?.message ?? "", expected);
  const { rigging, fleet, voyage } = outcomes(report);
  assert.deepEqual([rigging, fleet, voyage], ["installed", "failed", "failed"]);
  const installed = report.specs.filter(({ outcome }) => outcome === "installed").map(({ name }) => name);
  const there = readdirSync(join(sysroot, root, "linux-x86_64"));
  assert.deepEqual(there.map((name) => name.replace(/-[0-9].*/, "")).sort(), installed.sort());
});

test("a root that is too long for an unpadded cache: one warning before anything is downloaded, in a plan too", async () => {
  const cases: { name: ReadTarget; root: string; says: RegExp | undefined }[] = [
    { name: plain, root: "/opt/quayside/unpadded", says: /its root may have at most 17 characters, yours has 22$/ },
    { name: plain, root: "/opt/harbor/stor2", says: undefined },
    { name: padded, root: "/opt/quayside/unpadded", says: undefined },
  ];
  for (const { name, root, says } of cases) {
    const told: string[] = [];
    const progress = (event: ProgressEvent): void => {
      told.push(event.type === "warning" ? event.text : event.type);
    };
    const options = { sysroot: temporaryFolder(), progress };
    const plan = await planInstall(await installOptions([name], root, ["fleet"], options));
    const planned = told.splice(0).filter((text) => /root/.test(text));
    const given = await installOptions([name], root, ["fleet"], options);
    // Specs named by hash are read ahead.
    for (const { node } of given.roots) await given.source.readAhead(node, {});
    await install(given);
    const warned = told.filter((text) => /root/.test(text));
    assert.deepEqual([planned.length, warned.length], says ? [1, 1] : [0, 0], root);
    assert.deepEqual(plan.room, says && { most: 17, root: root.length });
    if (says === undefined) continue;
    assert.match(planned[0] ?? "", says);
    assert.match(told[0] ?? "", says);
  }
});

/** Copies the golden images into a registry that a test may damage. */
async function spoiled(
  spoil: (target: Target) => Promise<void>,
  run: (target: ReadTarget, registry: TestRegistry) => Promise<void>,
): Promise<void> {
  const registry = await startRegistry();
  const client = connect(registry.host, "cache", { retry: { attempts: 2 } });
  try {
    for await (const tag of plain.tags()) await copyGraph(plain, client.target, tag, { tag });
    await spoil(client.target);
    await run(client.target, registry);
  } finally {
    await client.close();
    await registry.close();
  }
}

async function tagOf(target: ReadTarget, name: string): Promise<string> {
  for await (const tag of target.tags()) if (tag.startsWith(`${name}-`) && tag.endsWith(".spack")) return tag;
  throw new Error(`no ${name}`);
}

/** Pushes an image again with another config. */
async function withConfig(
  target: Target,
  name: string,
  change: (config: string, manifest: string) => [string, string],
): Promise<void> {
  const tag = await tagOf(target, name);
  const fetched = await target.fetchManifest(tag);
  const document = parseFetched(fetched, "x");
  if (document.kind === "index") throw new Error("an index");
  const stream = await target.fetchBlob(document.value.config);
  const config = Buffer.concat(await stream.toArray()).toString();
  const [newConfig, newManifest] = change(config, fetched.bytes.toString());
  const bytes = Buffer.from(newConfig);
  const descriptor = describeBytes(bytes, OCI_CONFIG);
  await target.pushBlob(descriptor, bytesSource(bytes));
  const manifest = { ...JSON.parse(newManifest), config: descriptor };
  await target.pushManifest(canonicalBytes(manifest), fetched.descriptor.mediaType, { tag });
}

/** Pushes an image again with an archive that lacks the spec file. */
async function withoutSpecFile(target: Target, name: string, layout: number): Promise<void> {
  const document = parseFetched(await target.fetchManifest(await tagOf(target, name)), "x");
  const layer = document.kind === "manifest" ? document.value.layers.at(-1) : undefined;
  assert.ok(layer);
  const tar = gunzipSync(Buffer.concat(await (await target.fetchBlob(layer)).toArray()));
  const other = withoutFile(tar, /\/\.spack\/spec\.json$/);
  assert.ok(other.length < tar.length);
  const bytes = gzipSync(other);
  const changed = describeBytes(bytes, layer.mediaType);
  await target.pushBlob(changed, bytesSource(bytes));
  const [from, to] = [digestOf(tar), digestOf(other)];
  await withConfig(target, name, (config, manifest) => [
    config
      .replaceAll(layer.digest.slice(7), changed.digest.slice(7))
      .replaceAll(from, to)
      .replace('"buildcache_layout_version":3', `"buildcache_layout_version":${layout}`),
    JSON.stringify(JSON.parse(manifest), (key, value) => (key === "layers" ? [...value.slice(0, -1), changed] : value)),
  ]);
}

/** A tar archive without the files of a name, and the headers that belong to them. */
function withoutFile(tar: Buffer, name: RegExp): Buffer {
  const kept: Buffer[] = [];
  let held: Buffer[] = [];
  for (let at = 0; at < tar.length; ) {
    const header = tar.subarray(at, at + 512);
    const size = Number.parseInt(header.toString("latin1", 124, 136), 8) || 0;
    const entry = tar.subarray(at, at + 512 + 512 * Math.ceil(size / 512));
    at += entry.length;
    const prefix = header.toString("latin1", 345, 500).replace(/\0.*/s, "");
    const path = `${prefix}/${header.toString("latin1", 0, 100).replace(/\0.*/s, "")}`;
    const paxPath = held.map((one) => /\d+ path=(.*)\n/.exec(one.toString("latin1", 512))?.[1]).find(Boolean);
    held.push(entry);
    if (header[156] === 0x78) continue;
    if (!name.test(paxPath ?? path)) kept.push(...held);
    held = [];
  }
  return Buffer.concat([...kept, ...held]);
}

describe("an image that lies is refused, and leaves nothing behind", () => {
  // A config is read if the spec is not known otherwise.
  const rows: { name: string; spoil(target: Target): Promise<void>; code: RegExp; isInConfig?: boolean }[] = [
    {
      name: "a layer of another spec in its place",
      spoil: async (target) => {
        const other = JSON.parse(
          (await target.fetchManifest(await tagOf(target, "zlib-ish"))).bytes.toString(),
        ).layers.at(-1);
        await withConfig(target, "rigging", (config, manifest) => {
          const mine = JSON.parse(manifest).layers.at(-1);
          return [
            config.replaceAll(mine.digest.slice(7), other.digest.slice(7)),
            manifest.replaceAll(mine.digest, other.digest).replace(`"size":${mine.size}`, `"size":${other.size}`),
          ];
        });
      },
      code: /DIGEST_MISMATCH|SPEC_INVALID|CONTENT_INVALID/,
    },
    {
      name: "a checksum that is not the layer's",
      spoil: (target) =>
        withConfig(target, "rigging", (config, manifest) => [
          config.replace(/"hash":"[0-9a-f]{64}"/, `"hash":"${"0".repeat(64)}"`),
          manifest,
        ]),
      code: /DIGEST_MISMATCH|CONTENT_INVALID|SPEC_INVALID/,
      isInConfig: true,
    },
    {
      name: "a diffID that is not the archive's",
      spoil: (target) =>
        withConfig(target, "rigging", (config, manifest) => [
          config.replace(/sha256:[0-9a-f]{64}/g, `sha256:${"1".repeat(64)}`),
          manifest,
        ]),
      code: /DIGEST_MISMATCH/,
    },
    {
      name: "a newer layout",
      spoil: (target) =>
        withConfig(target, "rigging", (config, manifest) => [
          config.replace('"buildcache_layout_version":3', '"buildcache_layout_version":9'),
          manifest,
        ]),
      code: /UNSUPPORTED|CONTENT_INVALID/,
      isInConfig: true,
    },
    {
      name: "the spec of another package",
      spoil: async (target) => {
        const other = await target.fetchManifest(await tagOf(target, "zlib-ish"));
        await target.pushManifest(other.bytes, other.descriptor.mediaType, { tag: await tagOf(target, "rigging") });
      },
      code: /SPEC_INVALID/,
    },
  ];
  for (const { name, spoil, code, isInConfig = false } of rows)
    test(name, () =>
      spoiled(spoil, async (target) => {
        const sysroot = temporaryFolder();
        const options = await installOptions([plain], "/opt/q/st", ["rigging"], { sysroot });
        const bad = await installOptions([target], "/opt/q/st", [], { sysroot });
        if (isInConfig) {
          const [root] = options.roots;
          assert.ok(root);
          await assert.rejects(bad.source.readAhead(root.node, {}), { code });
          return;
        }
        const report = await install({ ...options, source: bad.source });
        assert.deepEqual(outcomes(report), { rigging: "failed" });
        assert.match(report.failures[0]?.code ?? "", code, report.failures[0]?.message);
        assert.deepEqual(prefixesIn(join(sysroot, "opt/q/st")), []);
        // A second cache helps.
        const both = await installOptions([target, plain], "/opt/q/st", [], { sysroot });
        const second = await install({ ...options, source: both.source });
        assert.deepEqual([outcomes(second)["rigging"], second.specs[0]?.cache], ["installed", "spack-1.2/plain.oci"]);
      }),
    );
});

test("the configs of specs that are known are not read", async () => {
  const configs: RegExp[] = [];
  const addConfigs = async (target: Target): Promise<void> => {
    for await (const tag of target.tags()) {
      const document = parseFetched(await target.fetchManifest(tag), "x");
      if (document.kind === "manifest") configs.push(new RegExp(document.value.config.digest));
    }
  };
  await spoiled(addConfigs, async (target, registry) => {
    const options = await installOptions([plain], "/opt/q/st", ["fleet", "hull"], { sysroot: temporaryFolder() });
    registry.rules.push(...configs.map((path) => ({ path, fault: { status: 500 } })));
    registry.requests.length = 0;
    const source = new InstallSource([new ReadOciCache(target)]);
    const { specs, totals, failures } = await install({ ...options, source });
    assert.deepEqual(failures, []);
    assert.equal(totals.installed, specs.filter(({ outcome }) => outcome !== "external").length);
    const asked = registry.requests.filter(({ url }) => /\/blobs\//.test(url));
    // One config is asked for, to check the length of the root; its failure does no harm.
    const others = asked.filter(({ url }) => !configs.some((config) => config.test(url)));
    assert.deepEqual(
      [others.length, new Set(asked.map(({ url }) => url)).size],
      [totals.installed, totals.installed + 1],
    );
  });
});

describe("an archive without a spec file, as in very old caches, is checked by its config", () => {
  for (const { name, layout, outcome } of [
    { name: "which is good", layout: 3, outcome: "installed" },
    { name: "which is of a newer layout", layout: 9, outcome: "failed" },
  ])
    test(name, async () => {
      const spoil = (target: Target): Promise<void> => withoutSpecFile(target, "rigging", layout);
      await spoiled(spoil, async (target) => {
        const sysroot = temporaryFolder();
        const options = await installOptions([plain], "/opt/q/st", ["rigging"], { sysroot });
        const source = new InstallSource([new ReadOciCache(target)]);
        const report = await install({ ...options, source });
        assert.deepEqual(outcomes(report), { rigging: outcome });
        const [prefix] = prefixesIn(join(sysroot, "opt/q/st"));
        assert.equal(prefix === undefined, outcome === "failed");
        if (prefix === undefined) return;
        const file = readFileSync(join(sysroot, "opt/q/st", prefix, ".spack/spec.json"));
        assert.equal(readSpecFile(file, "it").root.hash, options.roots[0]?.node.hash);
      });
    });
});

test("absent and unanswered are told apart", async () => {
  const registry = await startRegistry({ rules: [{ path: /manifests/, fault: { status: 500 } }] });
  const client = connect(registry.host, "cache", { retry: { attempts: 1 } });
  const source = new InstallSource([new ReadOciCache(client.target)]);
  try {
    const options = await installOptions([plain], "/opt/q/st", ["rigging"], { sysroot: temporaryFolder() });
    const unanswered = await install({ ...options, source });
    assert.equal(unanswered.failures[0]?.code, "REGISTRY_ERROR");
    registry.rules.length = 0;
    const absent = await install({ ...options, source });
    assert.equal(absent.failures[0]?.code, "SPEC_ABSENT");
  } finally {
    await client.close();
    await registry.close();
  }
});

test("only the specs, only their dependencies, and a plan", async () => {
  const sysroot = temporaryFolder();
  const options = await installOptions([plain], "/opt/q/st", ["fleet"], { sysroot });
  const plan = await planInstall(options);
  assert.deepEqual([plan.totals.install, plan.specs.find(({ name }) => name === "glibc")?.action], [7, "external"]);
  assert.deepEqual(prefixesIn(join(sysroot, "opt/q/st")), []);
  const dependencies = await install({ ...options, only: "dependencies" });
  assert.deepEqual([dependencies.totals.installed, outcomes(dependencies)["fleet"]], [6, undefined]);
  const rest = await install({ ...options, store: await options.store.reread(), only: "package" });
  assert.deepEqual(outcomes(rest), { fleet: "installed" });
});

test("a spec that another process installs meanwhile is kept, and reported as skipped", async () => {
  const root = "/opt/q/st";
  const other = temporaryFolder();
  const sysroot = temporaryFolder();
  await install(await installOptions([plain], root, ["rigging"], { sysroot: other }));
  const done: string[] = [];
  const options = await installOptions([plain], root, ["rigging"], {
    sysroot,
    progress: (event) => {
      if (event.type === "done") done.push(event.outcome);
      // While its archive is being fetched.
      if (event.type !== "start") return;
      for (const part of [".spack-db/index.json", ".spack-db/index_verifier", "linux-x86_64"])
        cpSync(join(other, root, part), join(sysroot, root, part), { recursive: true });
    },
  });
  assert.deepEqual([outcomes(await install(options)), done], [{ rigging: "present" }, ["skipped"]]);
  assert.equal(prefixesIn(join(sysroot, root)).length, 1);
});

test("--force replaces what is there, and --strict refuses what still names its old place", async () => {
  const sysroot = temporaryFolder();
  const options = await installOptions([plain], "/opt/q/st", ["rigging"], { sysroot });
  await install(options);
  const [prefix = ""] = prefixesIn(join(sysroot, "opt/q/st"));
  const added = join(sysroot, "opt/q/st", prefix, "added");
  writeFileSync(added, "x");
  await install({ ...options, store: await options.store.reread() });
  assert.ok(existsSync(added));
  const forced = await install({ ...options, store: await options.store.reread(), force: true });
  assert.deepEqual([outcomes(forced)["rigging"], existsSync(added)], ["installed", false]);
  const strict = await installOptions([plain], "/opt/q/st", ["hull"], { sysroot, strict: true });
  const report = await install(strict);
  assert.match(
    report.failures.map(({ message }) => message).join("\n"),
    /hull@.*: \S+ and \d+ more still name the old place/,
  );
  // One file, in the singular.
  const { store } = await goldenStore();
  rmSync(store.locate(`${store.prefixOf(named(store, "hull"))}/share/hull/nul.bin`));
  const target = await emptyLayout();
  await push(pushOptions(store, target, { roots: [named(store, "hull")] }));
  const one = await install({ ...strict, source: new InstallSource([new ReadOciCache(target)]) });
  assert.match(one.failures.map(({ message }) => message).join("\n"), /: lib\/libhull\.a still names the old place/);
});

test("specs for another machine are refused unless that is allowed", async () => {
  const sysroot = temporaryFolder();
  const host = { platform: "linux", os: "rhel9", target: "icelake" };
  const options = await installOptions([plain], "/opt/q/st", ["rigging"], { sysroot, host });
  const error = await failsWith(
    "PLATFORM_MISMATCH",
    install(options),
    /rigging@.* is for linux-debian12-x86_64, and this machine is linux-rhel9-icelake/,
  );
  assert.match(error.hint ?? "", /`anyArchitecture`/);
  const many = await installOptions([plain], "/opt/q/st", ["hull"], { sysroot, host });
  const all = await failsWith("PLATFORM_MISMATCH", install(many), /^3 specs are not for this machine$/);
  assert.deepEqual(
    [all.errors?.length, all.errors?.some(({ hint }) => hint !== undefined), all.hint],
    [3, false, error.hint],
  );
  const report = await install({ ...options, host: { ...host, os: "debian12" } });
  assert.equal(report.totals.installed, 1);
});

test("a database that Python's lock holds is waited for, and a reader never sees half of one", {
  timeout: 60_000,
}, async () => {
  const sysroot = temporaryFolder();
  const options = await installOptions([plain], "/opt/q/st", ["fleet"], { sysroot });
  const folder = join(sysroot, "opt/q/st/.spack-db");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "lock"), "");
  const script = `import fcntl,sys,time
f=open(sys.argv[1],"r+"); fcntl.lockf(f,fcntl.LOCK_EX); print("held",flush=True); time.sleep(1.5)`;
  const python = spawn("python3", ["-c", script, join(folder, "lock")], { stdio: ["ignore", "pipe", "ignore"] });
  await new Promise((resolve) => python.stdout.once("data", resolve));
  let reading = true;
  const reader = (async () => {
    while (reading) {
      if (existsSync(join(folder, "index.json"))) await options.store.reread();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  const report = await install(options);
  reading = false;
  await reader;
  assert.deepEqual([report.failures, report.totals.installed], [[], 7]);
});

test("the program runs from its new place", async () => {
  // Strings in programs cannot grow, so the root is short.
  const root = mkdtempSync("/tmp/s");
  try {
    const report = await install(await installOptions([plain], root, ["fleet"]));
    assert.deepEqual(report.failures, []);
    const voyage = report.specs.find(({ name }) => name === "voyage")?.prefix ?? "";
    assert.match(execFileSync(join(voyage, "bin/voyage"), { encoding: "utf8" }), /^voyage 420 from /);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("a database of version 7 gets no specs of format 5: nothing is fetched, and the reason is told", async () => {
  const root = join(temporaryFolder(), "store");
  const store = await Store.open(root, { clock: systemClock, mayBeEmpty: true, emptyVersion: 7 });
  const options = await installOptions([await goldenLayout("spack-1.2/plain.oci")], root, ["fleet"], { store });
  await failsWith("UNSUPPORTED", install(options), /spec format 5, .* has version 7, which has format 4/);
  assert.ok(!existsSync(root));
});

// Proves that `stave prune` keeps and removes the right specs, and never leaves an image without its layers.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { canonicalBytes } from "../../lib/oci/manifest.ts";
import { OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { planPrune } from "../../lib/ops/cache/prune.ts";
import { goldenCache, madeSpec, pushGolden, pushSpec } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { golden } from "../support/golden.ts";
import { type Rule, startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

let registry: TestRegistry;
before(async () => {
  registry = await startRegistry();
});
after(() => registry.close());

// Like most registries, it does not report when a manifest was stored.
const AGELESS: Rule = { path: /\/manifests\//, fault: { withoutHeader: "last-modified" } };

const [lib, tool] = [madeSpec("lib", "1.0"), madeSpec("tool", "1.0")];
const [app, stale] = [madeSpec("app", "1.0", [lib]), madeSpec("stale", "1.0", [lib, tool])];

/** A cache with four specs, and the image of one under an additional name. */
async function fill(cache: OciCache): Promise<Map<string, string>> {
  const tags = new Map<string, string>();
  for (const spec of [lib, tool, app, stale]) tags.set(spec.root.name, await pushSpec(cache.target, spec));
  await updateIndex(cache);
  return tags;
}

// Everything here was just pushed.
const NOW = ["--grace", "0s"];

const specsOf = async (cache: OciCache): Promise<string[]> =>
  [...(await cache.list()).specs.values()].map(({ name }) => name).sort();

test("a dry run tells and changes nothing; --yes keeps what is listed and all it depends on", async () => {
  const client = connect(registry.host, "org/cache");
  const cache = new OciCache(client.target);
  await fill(cache);
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, `# what we use\n/${app.root.hash}\n\n`);
  const where = `oci+http://${registry.host}/org/cache`;
  const dry = await stave(["prune", where, "-k", list, ...NOW]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(
    dry.stdout,
    /^- stale-1\.0-\w+\.spack\n- tool-1\.0-\w+\.spack\nwould remove 2 specs; 2 kept\nnothing was changed/,
  );
  assert.equal(registry.count("DELETE"), 0);
  const done = await stave(["prune", where, "-k", list, ...NOW, "--yes", "--json"]);
  const { report } = JSON.parse(done.stdout);
  assert.deepEqual([report.removed, report.kept, report.index.dropped.length], [2, 2, 2]);
  assert.deepEqual(await specsOf(cache), ["app", "lib"]);
  assert.equal((await checkIndex(cache)).isCurrent, true);
  await client.close();
});

test("an environment, lock files and tags of other names are kept; without rules no spec is removed", async () => {
  const client = connect(registry.host, "org/golden");
  const cache = new OciCache(client.target);
  await pushGolden("spack-1.2/plain.oci", client.target);
  const extra = await pushSpec(client.target, madeSpec("extra", "1.0"));
  const { bytes, descriptor } = await client.target.fetchManifest(extra);
  const where = `oci+http://${registry.host}/org/golden`;
  assert.match((await stave(["prune", where])).stdout, /^would remove 0 specs; 9 kept\n$/);
  for (const rule of [
    ["-e", golden("spack-1.2")],
    ["--keep-lock", join(golden("spack-1.2"), "spack.lock")],
  ])
    assert.match(
      (await stave(["prune", where, ...NOW, ...rule])).stdout,
      /^- extra-1\.0-\w+\.spack\nwould remove 1 spec; 8 kept/,
    );
  await client.target.pushManifest(bytes, descriptor.mediaType, { tag: "mine" });
  const named = await stave(["prune", where, "-e", golden("spack-1.2"), ...NOW, "--yes"]);
  assert.match(named.stdout, /^removed 0 specs; 9 kept/);
  assert.equal(await cache.has("mine"), true);
  await client.close();
});

test("what refers to an image goes with it", async () => {
  const client = connect(registry.host, "org/signed");
  const cache = new OciCache(client.target);
  const tags = await fill(cache);
  const subject = await client.target.headManifest(tags.get("stale") ?? "");
  const { bytes } = await client.target.fetchManifest(tags.get("lib") ?? "");
  const signature = { ...JSON.parse(bytes.toString()), subject, artifactType: "application/x.signature" };
  const { descriptor } = await client.target.pushManifest(canonicalBytes(signature), OCI_MANIFEST);
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, `${app.root.hash}\n${tool.root.hash}\n`);
  const ran = await stave(["prune", `oci+http://${registry.host}/org/signed`, "-k", list, ...NOW, "--yes", "--json"]);
  assert.deepEqual(JSON.parse(ran.stdout).report.images[0].referrers, [descriptor.digest], ran.stderr);
  assert.equal(await client.target.headManifest(descriptor.digest), undefined);
  assert.deepEqual(await specsOf(cache), ["app", "lib", "tool"]);
  await client.close();
});

test("lists of referrers and signatures under tags go with their image, and no others", async () => {
  const client = connect(registry.host, "org/attached");
  const cache = new OciCache(client.target);
  const tags = await fill(cache);
  const [gone, kept] = await Promise.all(
    ["stale", "lib"].map(async (name) => (await client.target.headManifest(tags.get(name) ?? ""))?.digest ?? ""),
  );
  const { bytes } = await client.target.fetchManifest(tags.get("lib") ?? "");
  const attach = async (digest: string, ending: string): Promise<string> => {
    const tag = `${digest.replace(":", "-")}${ending}`;
    const manifest = { ...JSON.parse(bytes.toString()), annotations: { tag } };
    await client.target.pushManifest(canonicalBytes(manifest), OCI_MANIFEST, { tag });
    return tag;
  };
  for (const ending of ["", ".sig", ".att", ".sbom"]) await attach(gone ?? "", ending);
  const mine = [await attach(kept ?? "", ""), await attach(kept ?? "", ".sig")];
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, `${app.root.hash}\n${tool.root.hash}\n`);
  const ran = await stave(["prune", `oci+http://${registry.host}/org/attached`, "-k", list, ...NOW, "--yes"]);
  assert.equal(ran.status, 0, ran.stderr);
  const left = (await Array.fromAsync(client.target.tags())).filter((tag) => tag.startsWith("sha256-"));
  assert.deepEqual(left.sort(), mine.sort());
  await client.close();
});

test("a registry that does not support deletion is reported, and nothing is changed", async () => {
  const client = connect(registry.host, "org/fixed");
  const cache = new OciCache(client.target);
  await fill(cache);
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, app.root.hash);
  const rule = { method: "DELETE", path: /org\/fixed/, fault: { status: 405 } };
  registry.rules.push(rule);
  const ran = await stave(["prune", `oci+http://${registry.host}/org/fixed`, "-k", list, ...NOW, "--yes"]);
  registry.rules.splice(registry.rules.indexOf(rule), 1);
  assert.deepEqual([ran.status, /does not support deletion/.test(ran.stderr)], [6, true], ran.stderr);
  assert.match(ran.stdout, /^- stale/);
  assert.equal((await specsOf(cache)).length, 4);
  await client.close();
});

test("the index never names what is gone, whichever step fails", async () => {
  const client = connect(registry.host, "org/failing");
  const cache = new OciCache(client.target);
  await fill(cache);
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, app.root.hash);
  const args = ["prune", `oci+http://${registry.host}/org/failing`, "-k", list, ...NOW, "--yes", "--retries", "0"];
  const rules: [Rule, string[]][] = [
    [{ method: "PUT", path: /org\/failing/, fault: { status: 500 } }, ["app", "lib", "stale", "tool"]],
    // The first DELETE only checks whether deletion is allowed.
    [{ method: "DELETE", path: /org\/failing/, after: 1, fault: { status: 500 } }, ["app", "lib", "stale", "tool"]],
    [{ method: "DELETE", path: /org\/failing/, after: 2, fault: { status: 500 } }, ["app", "lib", "tool"]],
  ];
  for (const [rule, left] of rules) {
    registry.rules.push(rule);
    const ran = await stave(args);
    registry.rules.splice(registry.rules.indexOf(rule), 1);
    assert.equal(ran.status, 4, ran.stderr);
    assert.deepEqual(await specsOf(cache), left);
    const { isCurrent, added, dropped } = await checkIndex(cache);
    assert.deepEqual([isCurrent, added, dropped], [true, [], []]);
  }
  assert.equal((await stave(args)).status, 0);
  assert.deepEqual(await specsOf(cache), ["app", "lib"]);
  assert.equal((await checkIndex(cache)).isCurrent, true);
  await client.close();
});

test("undo puts back what was removed", async () => {
  const client = connect(registry.host, "org/undone");
  const cache = new OciCache(client.target);
  await fill(cache);
  const folder = temporaryFolder();
  const [list, file] = [join(folder, "keep"), join(folder, "removed.json")];
  writeFileSync(list, app.root.hash);
  const where = `oci+http://${registry.host}/org/undone`;
  assert.equal((await stave(["prune", where, "-k", list, ...NOW, "--yes", "--undo-file", file])).status, 0);
  assert.deepEqual(await specsOf(cache), ["app", "lib"]);
  const undone = await stave(["prune", where, "--undo", file]);
  assert.equal(undone.status, 0, undone.stderr);
  assert.deepEqual(await specsOf(cache), ["app", "lib", "stale", "tool"]);
  assert.equal((await checkIndex(cache)).isCurrent, true);
  const again = await stave(["prune", where, "-k", list, ...NOW, "--yes", "--undo-file", file]);
  assert.equal(again.status, 10, "a file that is there is not overwritten");
  await client.close();
});

test("a directory is collected: blobs that nothing leads to, but none that is young", async () => {
  const cache = await goldenCache("spack-1.2/plain.oci");
  const blobs = join(cache.target.name.slice("oci-layout:".length), "blobs/sha256");
  const count = (): number => readdirSync(blobs).length;
  const [first, tags] = [count(), await fill(cache)];
  const lock = join(golden("spack-1.2"), "spack.lock");
  const args = ["prune", cache.target.name, "--keep-lock", lock, "--yes"];
  const young = await stave(args);
  assert.match(young.stdout, /^removed 0 specs; 12 kept\n$/, "all of it was written just now");
  const undone = await stave([...args, "--grace", "0s", "--undo-file", join(temporaryFolder(), "removed.json")]);
  assert.match(undone.stdout, /removed 4 specs; 8 kept\n$/, "what can be undone is not collected");
  const done = await stave([...args, "--grace", "0s"]);
  assert.match(done.stdout, /^removed 0 specs and \d+ blobs of [0-9.]+ kB; 8 kept\n$/);
  assert.equal(count(), first - 1 + 1, "what the golden cache had, with another index");
  assert.equal(tags.size, 4);
  const whole = await stave(["check", "--all", "--bytes", "-m", cache.target.name]);
  assert.equal(whole.status, 0, whole.stdout);
  for await (const tag of cache.target.tags()) await cache.target.fetchManifest(tag);
});

test("age: recent pushes are kept with their dependencies; specs of unknown age are kept and reported", async () => {
  const cache = await goldenCache("spack-1.2/plain.oci");
  await fill(cache);
  const options = { keep: { within: 1000 }, grace: 0, now: Date.now() + 500 };
  assert.equal((await planPrune(cache, options)).images.length, 0);
  const later = { ...options, now: Date.now() + 10_000 };
  assert.equal((await planPrune(cache, later)).images.length, 12);
  const client = connect(registry.host, "org/aged");
  const remote = new OciCache(client.target);
  await fill(remote);
  const known = await planPrune(remote, { ...later, keep: { within: 60_000 } });
  assert.deepEqual([known.images.length, known.ageless, known.kept], [0, [], 4]);
  registry.rules.push(AGELESS);
  const plan = await planPrune(remote, later);
  registry.rules.length = 0;
  assert.deepEqual([plan.images.length, plan.ageless.length, plan.kept], [0, 4, 4]);
  await client.close();
});

test("grace on a registry: what is young by Last-Modified, or not in the index yet, is kept with what it depends on", async () => {
  const client = connect(registry.host, "org/graced");
  const cache = new OciCache(client.target);
  const tags = await fill(cache);
  const names = ({ images }: { images: { tag: string }[] }) => images.map(({ tag }) => tag.split("-")[0]);
  const keep = { hashes: new Set([lib.root.hash]) };
  const options = { keep, grace: 60_000, now: 0 };
  const timed = await planPrune(cache, options);
  assert.deepEqual([names(timed), timed.young], [[], [tags.get("app"), tags.get("stale")]]);
  registry.rules.push(AGELESS);
  assert.deepEqual(names(await planPrune(cache, options)), ["app", "stale", "tool"], "the registry does not tell ages");
  // The index is older than the push of `stale`; that needs `tool`.
  await cache.target.deleteManifest(tags.get("stale") ?? "");
  await updateIndex(cache);
  await pushSpec(cache.target, stale);
  const plan = await planPrune(cache, options);
  assert.deepEqual([names(plan), plan.young], [["app"], [tags.get("stale")]]);
  assert.deepEqual(names(await planPrune(cache, { ...options, grace: 0 })), ["app", "stale", "tool"]);
  const where = `oci+http://${registry.host}/org/graced`;
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, lib.root.hash);
  const ran = await stave(["prune", where, "-k", list]);
  assert.match(ran.stdout, /^- app-\S+\nwould remove 1 spec; 3 kept\n/);
  assert.match(ran.stderr, /1 spec kept because of --grace 1h/);
  registry.rules.length = 0;
  await client.close();
});

test("a directory in which a manifest cannot be read is not collected", async () => {
  const cache = await goldenCache("spack-1.2/plain.oci");
  const entry = await cache.target.headManifest("fleet-env");
  const file = join(cache.target.name.slice("oci-layout:".length), "blobs", entry?.digest.replace(":", "/") ?? "");
  writeFileSync(file, readFileSync(file, "utf8").replace("sha256", "sha512"));
  await failsWith("DIGEST_MISMATCH", planPrune(cache, { keep: {}, grace: 0, now: Date.now() + 10_000 }));
});

test("mistakes", async () => {
  const list = join(temporaryFolder(), "keep");
  writeFileSync(list, "hdf5\n");
  for (const [args, says] of [
    [["--grace", "soon"], /--grace is "soon", expected a time/],
    [["--keep-within", "1y"], /--keep-within is "1y"/],
    [["--yes", "--dry-run"], /exclude each other/],
    [["-k", list], /has the line "hdf5", expected a whole DAG hash/],
  ] as const) {
    const ran = await stave(["prune", `oci-layout:${golden("spack-1.2/plain.oci")}`, ...args]);
    assert.equal(ran.status, 2, ran.stderr);
    assert.match(ran.stderr, says);
  }
});

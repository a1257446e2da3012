// Proves that `stave list` and `stave check` work for users, on caches written by real Spack.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { hexOf } from "../../lib/oci/digest.ts";
import { goldenCache, madeSpec, pushGolden, pushSpec } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { golden } from "../support/golden.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

let registry: TestRegistry;
let remote = "";
const plain = `oci-layout:${golden("spack-1.2/plain.oci")}`;
before(async () => {
  registry = await startRegistry();
  const client = connect(registry.host, "org/cache");
  await pushGolden("spack-1.2/plain.oci", client.target);
  await client.close();
  remote = `oci+http://${registry.host}/org/cache`;
});
after(() => registry.close());

const ALL = "compiler-wrapper fleet gcc-runtime hull paddle rigging voyage zlib-ish";
const lists: { args: string[]; names: string }[] = [
  { args: ["-a"], names: ALL },
  { args: ["-a", "hull"], names: "hull" },
  { args: ["-a", "hull@2:"], names: "" },
  { args: ["-a", "hull", "paddle"], names: "hull paddle" },
  { args: ["-a", "propulsion"], names: "paddle" },
  { args: ["-a", "%gcc@12 ^zlib-ish"], names: "hull paddle voyage" },
  { args: ["-a", "target=x86_64"], names: ALL },
  { args: ["-a", "+shared"], names: "hull" },
  { args: ["-a", "/wsit3bg"], names: "voyage" },
  { args: ["-a", "nothing"], names: "" },
  { args: ["-a", "-x"], names: "fleet" },
  { args: ["-a", "-X", "hull", "fleet"], names: "hull" },
  { args: ["-a", "--implicit"], names: ALL.replace("fleet ", "") },
  { args: ["--tags"], names: ALL },
  { args: ["--tags", "hull@1.10", "rigging/6jo3"], names: "hull rigging" },
];
for (const { args, names } of lists)
  test(`list ${args.join(" ")}`, async () => {
    const ran = await stave(["list", plain, ...args, "--json"]);
    assert.equal(ran.status, names === "" ? 1 : 0, ran.stderr);
    const { report } = JSON.parse(ran.stdout);
    assert.equal(report.specs.map((spec: { name: string }) => spec.name).join(" "), names);
  });

test("list: as Spack shows it; the tags of old specs; other machines are counted", async () => {
  const shown = (await stave(["list", plain, "-a", "-lv", "hull"])).stdout;
  assert.match(shown, /^-- linux-debian12-x86_64 \/ %gcc@12\.2\.0 -+\nuwlohrq hull@1\.10\.1 cflags=.*\+shared/);
  const old = await stave(["list", `oci-layout:${golden("spack-0.23/plain.oci")}`, "-a", "-N", "hull"]);
  assert.match(old.stdout, /%gcc@12\.2\.0 -+\n[a-z.]+\.hull@1\.10\.1\n/);
  // No real machine is as small as the one these were built for.
  const mine = await stave(["list", plain, "--quiet"]);
  assert.deepEqual([mine.status, mine.stdout.includes("hull") || mine.stdout === ""], [0, true]);
  const tags = await stave(["list", plain, "--tags", "-L", "rigging"]);
  assert.equal(tags.stdout.trim(), "6jo3dklqd5brozkby4araxgwkt6zlmfk rigging@2024.11");
});

test("list: a cache without index is listed by its tags, which cannot tell everything", async () => {
  const cache = await goldenCache("spack-1.2/plain.oci");
  await cache.target.deleteManifest("index.spack");
  const ran = await stave(["list", cache.target.name, "hull"]);
  assert.match(ran.stdout, /^hull@1\.10\.1$/m);
  assert.match(ran.stderr, /has no index/);
  const refused = await stave(["list", cache.target.name, "hull+shared"]);
  assert.deepEqual(
    [refused.status, /tags alone cannot show whether a spec is hull\+shared/.test(refused.stderr)],
    [2, true],
  );
});

test("check: an environment whose specs are all there, in a registry by few requests", async () => {
  const first = registry.requests.length;
  const ran = await stave(["check", "-e", golden("spack-1.2"), "-m", remote]);
  assert.deepEqual([ran.status, ran.stdout], [0, `8 of 8 specs in ${remote}\n`], ran.stderr);
  assert.equal(registry.requests.length - first, 8);
});

test("check: what must be built, with Spack's report", async () => {
  const file = join(temporaryFolder(), "rebuild.json");
  const scope = temporaryFolder();
  writeFileSync(join(scope, "mirrors.yaml"), `mirrors:\n  team: "${remote}"\n`);
  const args = ["check", "-e", golden("spack-0.23"), "-C", scope, "-m", "team", "-o", file];
  const ran = await stave(args);
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stdout, /^missing hull@1\.10\.1\/5s2tkv6$/m);
  const text = readFileSync(file, "utf8");
  assert.ok(
    text.startsWith(`{"${remote}": {"mirrorName": "team", "mirrorUrl": "${remote}", "rebuildSpecs": [{"short_spec": "`),
  );
  const { rebuildSpecs } = JSON.parse(text)[remote];
  assert.equal(rebuildSpecs.length, 7);
  const hull = rebuildSpecs.find((spec: { hash: string }) => spec.hash.startsWith("5s2tkv6"));
  assert.match(hull.short_spec, /^hull@1\.10\.1\+shared .* platform=linux os=debian12 target=x86_64\/5s2tkv6$/);
  assert.equal((await stave(["check", "-e", golden("spack-1.2"), "-m", remote, "-o", file])).status, 0);
  assert.equal(readFileSync(file, "utf8"), "{}");
});

test("check: one spec of the environment, a spec file, and mistakes", async () => {
  const env = ["-e", golden("spack-1.2")];
  assert.equal((await stave(["check", "hull", ...env, "-m", plain])).stdout, `1 of 1 spec in ${plain}\n`);
  const external = await stave(["check", "gcc", ...env, "-m", plain]);
  assert.deepEqual([external.status, external.stdout], [0, `0 of 0 specs in ${plain}, 1 external left out\n`]);
  const nothing = await stave(["check", "--no-env", "-m", plain]);
  assert.deepEqual([nothing.status, /no spec was named/.test(nothing.stderr)], [2, true]);
  assert.equal((await stave(["check", "nope", ...env, "-m", plain])).status, 7);
  assert.equal((await stave(["check", "--all", "hull", "-m", plain])).status, 2);
  const gone = await stave(["check", ...env, "-m", "oci-layout:/nonexistent"]);
  assert.equal(gone.status, 5, "a cache that is not there is no answer");
});

test("check --deep and --bytes: blobs that are missing, cut or changed", async () => {
  const golden12 = await goldenCache("spack-1.2/plain.oci");
  const { target } = golden12;
  const cache = target.name;
  assert.equal((await stave(["check", "--all", "--deep", "-m", cache])).status, 0);
  assert.match((await stave(["check", "--all", "--bytes", "-m", cache])).stdout, /^8 of 8 specs in .*, 8 layers of/);
  const spec = madeSpec("odd", "1.0");
  const tag = await pushSpec(target, spec);
  const blobs = join(cache.slice("oci-layout:".length), "blobs/sha256");
  const { archive } = await golden12.fetchSpec(tag);
  const file = join(blobs, hexOf(archive.digest));
  const bytes = readFileSync(file);
  const broken = async (depth: string): Promise<string> => {
    const { status, stdout } = await stave(["check", "--all", depth, "-m", cache]);
    return `${status} ${stdout.split("\n")[0]}`;
  };
  writeFileSync(
    file,
    bytes.map((byte) => byte ^ 1),
  );
  assert.match(await broken("--deep"), /^0 9 of 9 specs/);
  assert.match(await broken("--bytes"), /^1 broken {2}odd-1\.0-\w+\.spack: .* has digest/);
  writeFileSync(file, bytes.subarray(1));
  assert.match(await broken("--deep"), /^1 broken {2}odd-1\.0/);
  rmSync(file);
  assert.match(await broken("--deep"), /^1 broken {2}odd-1\.0-\w+\.spack: its layer sha256:\w+ is missing/);
});

test("list in a format of the user; tags alone are not enough for one", async () => {
  const { stdout, status } = await stave([
    "list",
    plain,
    "-a",
    "hull",
    "paddle",
    "--format",
    "{name} {%compiler.name} {hash:4}",
  ]);
  assert.equal(status, 0);
  assert.equal(stdout, "hull %gcc uwlo\npaddle %gcc kvup\n");
  assert.equal((await stave(["list", plain, "-a", "hull", "-H"])).stdout, "/uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
  for (const [args, why] of [
    [["--tags", "--format", "{name}"], /needs the index/],
    [["--format", "{name}", "--json"], /exclude each other/],
    [["-a", "--format", "{nope}"], /no attribute/],
    [["-a", "--format", "{prefix}"], /no attribute/],
  ] as const) {
    const ran = await stave(["list", plain, ...args]);
    assert.equal(ran.status, 2, ran.stderr);
    assert.match(ran.stderr + ran.stdout, why);
  }
});

test("-p shows the image of each spec, by which other verbs take it", async () => {
  const { stdout } = await stave(["list", remote, "-a", "-p", "-x"]);
  const image = /^fleet@1\.0 {2}(\S+:fleet-1\.0-\w+\.spack)$/m.exec(stdout)?.[1] ?? stdout;
  assert.match((await stave(["inspect", image])).stdout, /fleet/);
});

test("tags do not tell what depends on what", async () => {
  const ran = await stave(["list", remote, "--tags", "-x"]);
  assert.equal(ran.status, 2);
  assert.match(ran.stderr, /tags do not tell which specs depend on others[\s\S]*leave out --tags/);
  const both = await stave(["list", remote, "-x", "-X"]);
  assert.match(both.stderr, /--explicit and --implicit exclude each other/);
});

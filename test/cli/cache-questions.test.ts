// Proves that `stave download`, `why-miss` and `diff` work for users, on caches written by real Spack.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { digestOf, hexOf } from "../../lib/oci/digest.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { writeSpecFile } from "../../lib/spack/spec/spec-writer.ts";
import { emptyLayout, goldenCache, madeSpec, pushGolden, pushSpec } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { golden, unpackGolden } from "../support/golden.ts";
import { pushTree } from "../support/made-base.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { type TreeItem, temporaryFolder } from "../support/tree.ts";

const plain = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const padded = `oci-layout:${golden("spack-1.2/padded.oci")}`;
const old = `oci-layout:${golden("spack-0.23/plain.oci")}`;
let registry: TestRegistry;
let remote = "";
before(async () => {
  registry = await startRegistry();
  const client = connect(registry.host, "org/cache");
  await pushGolden("spack-1.2/plain.oci", client.target);
  await client.close();
  remote = `oci+http://${registry.host}/org/cache`;
});
after(() => registry.close());

test("download: the archive and the spec file, whichever way the spec is named, and once", async () => {
  const folder = temporaryFolder();
  const ran = await stave(["download", "hull@1.10", "-p", join(folder, "new"), "-m", remote, "--json"]);
  assert.equal(ran.status, 0, ran.stderr);
  const { report } = JSON.parse(ran.stdout);
  const archive = readFileSync(report.archive);
  assert.deepEqual([digestOf(archive), archive.length, report.name], [report.digest, report.size, "hull"]);
  const text = readFileSync(report.specFile);
  assert.equal(readSpecFile(text, "spec").root.hash, report.hash);
  assert.equal(JSON.parse(text.toString()).binary_cache_checksum.hash, hexOf(report.digest));
  assert.deepEqual(readdirSync(join(folder, "new")).sort(), [
    "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack",
    "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spec.json",
  ]);
  for (const spec of ["/uwlohrq", report.specFile]) {
    const again = await stave(["download", "-s", spec, "-p", folder, "-m", plain]);
    assert.equal(again.status, 0, again.stderr);
  }
});

test("download: nothing, too much, and content that is not what it should be", async () => {
  const folder = temporaryFolder();
  const nothing = await stave(["download", "nope", "-p", folder, "-m", plain]);
  assert.deepEqual([nothing.status, nothing.stdout, /has no nope/.test(nothing.stderr)], [1, "", true]);
  const many = await stave(["download", "%gcc", "-p", folder, "-m", plain]);
  assert.deepEqual([many.status, /%gcc matches 5 specs: /.test(many.stderr)], [2, true]);
  assert.equal((await stave(["download", "-p", folder, "-m", plain])).status, 2);
  const { target } = await goldenCache("spack-1.2/plain.oci");
  const spec = madeSpec("odd", "1.0");
  await pushSpec(target, spec);
  const blob = hexOf(digestOf(`the archive of ${spec.root.hash}`));
  writeFileSync(
    join(target.name.slice("oci-layout:".length), "blobs/sha256", blob),
    `The archive of ${spec.root.hash}`,
  );
  const changed = await stave(["download", "odd", "-p", folder, "-m", target.name]);
  assert.deepEqual([changed.status, /has digest/.test(changed.stderr)], [5, true], changed.stderr);
  assert.deepEqual(readdirSync(folder), []);
});

const HULL = "hull-1.10.1-2qoqekihl3juysogi62buw55ofshthiq.spack";
const goldenRoot = join(await unpackGolden("spack-1.2/store"), "store");
const LONG = `/tmp/${"l".repeat(100)}`;
const questions: { name: string; args: string[]; reason: string; says: RegExp }[] = [
  {
    name: "it is there",
    args: ["hull", "-e", golden("spack-1.2"), "-m", plain],
    reason: "none",
    says: /its index lists it/,
  },
  {
    name: "its files fit a short root",
    args: ["hull", "-e", golden("spack-1.2"), "-m", plain, "--store", "/tmp/s"],
    reason: "none",
    says: /its files can be relocated to \/tmp\/s$/m,
  },
  {
    name: "its files do not fit a long root",
    args: ["hull", "-e", golden("spack-1.2"), "-m", plain, "--store", LONG],
    reason: "prefix too short",
    says: /do not fit \/tmp\/l+: cannot relocate lib\/libhull\.so\.1\.2: .*there is room for a prefix of 75 bytes/,
  },
  {
    name: "looked up in one store, to be installed into another",
    args: ["hull", "--from", goldenRoot, "-m", plain, "--into", LONG],
    reason: "prefix too short",
    says: /do not fit \/tmp\/l+: /,
  },
  {
    name: "its archive is not looked at",
    args: ["hull", "-e", golden("spack-1.2"), "-m", plain, "--store", LONG, "--no-archive"],
    reason: "none",
    says: /its index lists it$/m,
  },
  {
    name: "no such package",
    args: ["fleet", "-e", golden("spack-1.2"), "-m", padded],
    reason: "absent",
    says: /has no fleet/,
  },
  {
    name: "other flags",
    args: ["hull", "-e", golden("spack-1.2"), "-m", padded],
    reason: "other hash",
    says: /its flags: cflags='-O2 -g0' here, none there/,
  },
  {
    name: "another dependency",
    args: ["paddle", "-e", golden("spack-1.2"), "-m", padded],
    reason: "other hash",
    says: /the flags of paddle -> hull: cflags='-O2 -g0' here/,
  },
  {
    name: "an external",
    args: ["glibc", "-e", golden("spack-1.2"), "-m", plain],
    reason: "external",
    says: /Spack did not build it/,
  },
  {
    name: "another generation",
    args: ["voyage", "-e", golden("spack-0.23"), "-m", plain],
    reason: "other hash",
    says: /spec format: 4 here, 5 there/,
  },
];
for (const { name, args, reason, says } of questions)
  test(`why-miss: ${name}`, async () => {
    const ran = await stave(["why-miss", ...args]);
    assert.equal(ran.status, reason === "none" ? 0 : 1, ran.stderr);
    assert.ok(ran.stdout.startsWith(`${reason === "none" ? "nothing is in the way" : reason}: `), ran.stdout);
    assert.match(ran.stdout, says);
  });

test("why-miss: a padded archive fits a long root, and one that is no archive is told; nothing is left behind", async () => {
  const folder = temporaryFolder();
  const asked = async (file: string, cache: string) =>
    await stave(["why-miss", file, "-m", cache, "--store", LONG], { env: { TMPDIR: folder } });
  const image = await (await goldenCache("spack-1.2/padded.oci")).fetchSpec(HULL);
  const file = join(temporaryFolder(), "spec.json");
  writeFileSync(file, writeSpecFile(image.document.root, image.document.graph));
  const fits = await asked(file, padded);
  assert.match(fits.stdout, /^nothing is in the way: .*can be relocated to/, fits.stderr);
  const cache = await goldenCache("spack-1.2/plain.oci");
  const odd = madeSpec("odd", "1.0");
  await pushSpec(cache.target, odd);
  await updateIndex(cache);
  writeFileSync(file, writeSpecFile(odd.root, odd.graph));
  const broken = await asked(file, cache.target.name);
  assert.match(broken.stdout, /^unreadable: odd@1\.0\/\w+: its archive cannot be used: /, broken.stderr);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith("stave")),
    [],
  );
});

test("why-miss: versions, machines, tags without index, and images that cannot be used", async () => {
  const cache = await goldenCache("spack-1.2/plain.oci");
  const folder = temporaryFolder();
  const ask = async (spec: ReturnType<typeof madeSpec>): Promise<string> => {
    const file = join(folder, `${spec.root.hash}.json`);
    writeFileSync(file, writeSpecFile(spec.root, spec.graph));
    return (await stave(["why-miss", file, "-m", cache.target.name])).stdout.split("\n")[0] ?? "";
  };
  const spec = madeSpec("fresh", "1.0");
  const tag = await pushSpec(cache.target, spec);
  assert.match(await ask(spec), /^not in the index: .* its index does not list it/);
  assert.equal((await stave(["index", cache.target.name])).status, 0);
  assert.match(await ask(spec), /^nothing is in the way: /);
  assert.match(await ask(madeSpec("fresh", "2.0")), /^other version: .*in other versions: 1\.0/);
  assert.match(await ask(madeSpec("hull", "1.10.1")), /^other hash: /);
  await pushSpec(cache.target, spec, { config: ({ spec: _, ...config }) => config });
  assert.match(await ask(spec), /^unreadable: .*has no spec/);
  await cache.target.deleteManifest(tag);
  await cache.target.deleteManifest("index.spack");
  assert.match(await ask(madeSpec("hull", "1.10.1")), /^other hash: /);
});

const comparisons: { name: string; args: string[]; says: RegExp; status?: number }[] = [
  { name: "a cache and itself", args: [plain, plain], says: /^0 added, 0 removed, 0 rebuilt, 8 the same$/m, status: 0 },
  {
    name: "two caches",
    args: [plain, padded],
    says: /^~ hull@1\.10\.1\/uwlohrq -> hull@1\.10\.1\/2qoqeki\n {4}flags: cflags='-O2 -g0' -> none$/m,
  },
  {
    name: "environments",
    args: [golden("spack-1.2"), join(golden("spack-0.23"), "spack.lock")],
    says: /^0 added, 1 removed, 7 rebuilt, 0 the same$/m,
  },
  {
    name: "an environment and a cache",
    args: [golden("spack-1.2"), plain],
    says: /^0 added, 0 removed, 0 rebuilt, 8 the same$/m,
    status: 0,
  },
  {
    name: "images of specs",
    args: [
      `${plain}:rigging-2024.11-6jo3dklqd5brozkby4araxgwkt6zlmfk.spack`,
      `${plain}:fleet-1.0-xio7v2fyvs6ghjnhggnbioye2opoaqio.spack`,
    ],
    says: /^\+ fleet@1\.0\/xio7v2f\n(?:.*\n)*6 layers of [0-9.]+ kB to pull, 1 there already, 0 no longer needed$/m,
  },
  {
    name: "images of environments",
    args: [`${plain}:fleet-env`, `${old}:fleet-env`],
    says: /^7 layers of .* to pull, 0 there already/m,
  },
];
for (const { name, args, says, status = 1 } of comparisons)
  test(`diff: ${name}`, async () => {
    const ran = await stave(["diff", ...args]);
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stdout, says);
  });

test("diff: images of environments name the specs in which they differ", async () => {
  const { sysroot } = await goldenStore();
  const cwd = temporaryFolder();
  const env = { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" };
  for (const [cache, root] of [
    ["./a", "rigging"],
    ["./b", "fleet"],
  ] as const) {
    const args = ["push", cache, root, "-t", "app", "--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
    const ran = await stave(args, { cwd, env });
    assert.equal(ran.status, 0, ran.stderr);
  }
  const ran = await stave(["diff", "./a:app", "./b:app"], { cwd, env });
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(
    ran.stdout,
    /^\+ fleet@1\.0\/xio7v2f\n(?:\+ .*\n)*[0-9] added, 0 removed, 0 rebuilt, 1 the same\n[0-9] layers/,
  );
});

test("diff: --base names the packages of the system that differ, also those of distroless and Alpine images", async () => {
  const cwd = temporaryFolder();
  const bases = await emptyLayout();
  const file = (path: string, content: string): TreeItem => ({ type: "file", path, content });
  const dpkg = (name: string, version: string): string =>
    `Package: ${name}\nStatus: install ok installed\nVersion: ${version}\nDescription: a\n Package: no\n\n`;
  await pushTree(bases, "one", [
    file("var/lib/dpkg/status", dpkg("libc6", "2.36-9") + dpkg("tzdata", "2024a") + dpkg("gone", "1")),
  ]);
  await pushTree(bases, "two", [
    file("var/lib/dpkg/status.d/libc6", dpkg("libc6", "2.36-10")),
    file("var/lib/dpkg/status.d/libc6.md5sums", "Package: no\nVersion: 1\n"),
    file("var/lib/dpkg/status.d/tzdata", dpkg("tzdata", "2024a")),
  ]);
  await pushTree(bases, "apk", [
    file("lib/apk/db/installed", "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nP:tzdata\nV:2024a\n"),
  ]);
  await pushTree(bases, "rpm", [file("var/lib/rpm/rpmdb.sqlite", "")]);
  const env = { XDG_CACHE_HOME: temporaryFolder() };
  const run = (to: string) => stave(["diff", "--base", `${bases.name}:one`, `${bases.name}:${to}`], { cwd, env });
  const two = await run("two");
  assert.equal(two.status, 1, two.stderr);
  assert.match(
    two.stdout,
    /^- gone 1\n~ libc6 2\.36-9 -> 2\.36-10\npackages of the base: 0 added, 1 removed, 1 changed, 1 the same$/m,
  );
  assert.match(
    (await run("apk")).stdout,
    /^- gone 1\n- libc6 2\.36-9\n\+ musl 1\.2\.5-r0\npackages of the base: 1 added/m,
  );
  assert.match((await run("rpm")).stderr, /warning: the packages of the bases are not compared/);
  assert.equal((await run("one")).status, 0);
});

test("diff: the hint names the cache that has no index", async () => {
  const { target } = await goldenCache("spack-1.2/plain.oci");
  await target.deleteManifest("index.spack");
  const ran = await stave(["diff", plain, target.name]);
  assert.equal(ran.status, 5, ran.stderr);
  assert.ok(ran.stderr.includes(`make one with \`stave index ${target.name}\``), ran.stderr);
});

test("diff: what cannot be compared", async () => {
  const ran = await stave(["diff", `${plain}:fleet-env`, golden("spack-1.2")]);
  assert.deepEqual([ran.status, /nothing in common/.test(ran.stderr)], [2, true]);
});

test("what was read from a registry is kept, checked again, and may be deleted", async () => {
  const cache = temporaryFolder();
  const env = { XDG_CACHE_HOME: cache };
  const blobs = (): number => registry.count("GET", /org\/cache\/blobs/);
  const list = async (): Promise<number> => {
    const first = blobs();
    const ran = await stave(["list", remote, "-a"], { env });
    assert.equal(ran.stdout.match(/@/g)?.length, 9, ran.stderr);
    return blobs() - first;
  };
  assert.deepEqual([await list(), await list()], [1, 0]);
  const folder = join(cache, "stave/blobs");
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const path = join(folder, name);
    if (name.includes("/")) writeFileSync(path, readFileSync(path, "latin1").replace("hull", "HULL"));
  }
  assert.equal(await list(), 1, "what was changed on the disk is not believed");
  assert.ok(existsSync(folder));
});

const unclear: { name: string; args: string[]; status: number; says: RegExp }[] = [
  {
    name: "list of a spec without a cache",
    args: ["list", "hull"],
    status: 5,
    says: /there is no directory .*stave-cache.*\n.*no cache was named, so the default was used/,
  },
  {
    name: "diff with a file that is not there",
    args: ["diff", "./nope.lock", plain],
    status: 5,
    says: /there is no file or folder \.\/nope\.lock/,
  },
  {
    name: "why-miss without a place to look the spec up",
    args: ["why-miss", "hull", "-m", plain],
    status: 2,
    says: /there is no environment or store to look up specs in.*\n.*-e DIR.*--store DIR/,
  },
  { name: "prune without a rule", args: ["prune", plain], status: 0, says: /no flag says which specs to keep/ },
];
for (const { name, args, status, says } of unclear)
  test(`${name}: what is missing is told`, async () => {
    const ran = await stave(args, { cwd: temporaryFolder(), env: { SPACK_ROOT: "", STAVE_CACHE: "" } });
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stderr, says);
  });

test("a cache without any spec is an answer, not a mistake", async () => {
  const { name } = await emptyLayout();
  for (const [args, status, says] of [
    [["list", name, "-a", "hull%gcc"], 1, /^0 cached specs\nno cached spec matches hull %gcc\n$/],
    [["index", name], 0, /^$/],
    [["check", "--all", "-m", name], 0, /^$/],
    [["diff", name, plain], 1, /^$/],
    [["download", "hull%gcc", "-p", temporaryFolder(), "-m", name], 1, /has no hull %gcc\n$/],
    [["why-miss", "hull", "-e", golden("spack-1.2"), "-m", name], 1, /^$/],
  ] as const) {
    const ran = await stave([...args]);
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stderr, says);
  }
});

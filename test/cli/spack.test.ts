// Proves that the verbs on Spack's own files work on stores written by real Spack.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden as data, unpackGolden } from "../support/golden.ts";

const root = mkdtempSync(join(tmpdir(), "stave-spack-"));
after(() => rmSync(root, { recursive: true, force: true }));
const golden: Record<string, string[]> = {};
const sysroot = join(root, "sysroot");
before(async () => {
  for (const [generation, folder] of [
    ["1.2", "store"],
    ["0.23", "store23"],
  ] as const) {
    const unpacked = await unpackGolden(`spack-${generation}/store`);
    cpSync(join(unpacked, folder), join(sysroot, "opt/harbor", folder), { recursive: true, verbatimSymlinks: true });
    golden[generation] = ["--store", `/opt/harbor/${folder}`, "--sysroot", sysroot, "--no-env"];
  }
});
const onDisk = join(sysroot, "opt/harbor/store");

const found: { args: string[]; in?: string; names: string[]; status?: number }[] = [
  {
    args: [],
    names: [
      "compiler-wrapper",
      "fleet",
      "gcc",
      "gcc-runtime",
      "glibc",
      "hull",
      "paddle",
      "rigging",
      "voyage",
      "zlib-ish",
    ],
  },
  { args: ["hull"], names: ["hull"] },
  { args: ["hull@1.10"], names: ["hull"] },
  { args: ["hull@2:"], names: [], status: 1 },
  { args: ["hull+shared"], names: ["hull"] },
  { args: ["hull~shared"], names: [], status: 1 },
  { args: ["^zlib-ish"], names: ["fleet", "hull", "paddle", "voyage"] },
  { args: ["propulsion"], names: ["paddle"] },
  { args: ["%gcc@12"], names: ["gcc-runtime", "hull", "paddle", "voyage", "zlib-ish"] },
  { args: ["/wsit3bg"], names: ["voyage"] },
  { args: ["hull", "paddle"], names: ["hull", "paddle"] },
  { args: ["%gcc@12", "^hull"], names: ["paddle", "voyage"] },
  { args: ["voyage", "^hull", "paddle", "^zlib-ish"], names: ["voyage", "paddle"] },
  { args: ["hull", "cflags=-O2 -g0"], names: ["hull"] },
  {
    in: "0.23",
    args: ["%gcc@12"],
    names: ["fleet", "gcc-runtime", "glibc", "hull", "paddle", "rigging", "voyage", "zlib-ish"],
  },
  { in: "0.23", args: ["voyage ^hull"], names: ["voyage"] },
];

for (const { args, in: which = "1.2", names, status = 0 } of found)
  test(`find ${args.join(" ")} in the store of Spack ${which}`, async () => {
    const ran = await stave(["find", "--json", ...args, ...(golden[which] ?? [])]);
    assert.equal(ran.status, status, ran.stderr);
    const { report } = JSON.parse(ran.stdout);
    const shown = report.specs.map((spec: { name: string }) => spec.name);
    assert.deepEqual([...new Set(shown)].sort(), names.toSorted());
  });

test("find: groups, hashes, name spaces, variants and dependencies", async () => {
  const text = async (...args: string[]) => (await stave(["find", ...args, ...(golden["1.2"] ?? [])])).stdout;
  assert.match(await text("voyage"), /^-- linux-debian12-x86_64 \/ %gcc@12\.2\.0 -+\nvoyage@0\.4\.2\n/);
  assert.match(await text("-l", "voyage"), /^wsit3bg voyage@0\.4\.2$/m);
  assert.match(await text("-L", "voyage"), /^wsit3bgjqj7o2lamnut6wy4vubp47m44 voyage/m);
  assert.match(await text("-N", "voyage"), /^[a-z.]+\.voyage@0\.4\.2$/m);
  assert.match(await text("-v", "hull"), /^hull@1\.10\.1 cflags=.*\+shared/m);
  assert.match(await text("-d", "voyage"), /^ {4}hull@1\.10\.1\n {8}zlib-ish@1\.0$/m);
});

test("find in an environment: its specs only, after its roots, of which some are missing", async () => {
  const own = join(root, "store-of-two");
  cpSync(onDisk, own, { recursive: true, verbatimSymlinks: true });
  const index = join(own, ".spack-db/index.json");
  const text = readFileSync(index, "utf8").replaceAll("/opt/harbor/store", own);
  writeFileSync(index, text.replace(/("xio7v2f[^"]*": *\{[\s\S]*?"installed": *)true/, "$1false"));
  const environment = join(root, "environment");
  mkdirSync(environment);
  for (const file of ["spack.yaml", "spack.lock"]) cpSync(data(`spack-1.2/${file}`), join(environment, file));
  const ran = await stave(["find", "-e", environment, "--store", own]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(
    ran.stdout,
    /^-- 2 roots of the environment \S+\n - {2}fleet@1\.0\/xio7v2f\n\[\+\] hull@1\.10\.1\/uwlohrq\n\n-- /,
  );
  const none = join(root, "no-lock-of-it");
  mkdirSync(none);
  const lock = JSON.parse(readFileSync(data("spack-1.2/spack.lock"), "utf8"));
  const [hull] = lock.roots.filter(({ spec }: { spec: string }) => spec.startsWith("hull"));
  const kept = Object.entries<{ name: string }>(lock.concrete_specs).filter(
    ([, { name }]) => !/fleet|voyage|paddle|rigging/.test(name),
  );
  writeFileSync(join(none, "spack.yaml"), "spack: {specs: [hull]}\n");
  writeFileSync(
    join(none, "spack.lock"),
    JSON.stringify({ ...lock, roots: [hull], concrete_specs: Object.fromEntries(kept) }),
  );
  const { report } = JSON.parse((await stave(["find", "-e", none, "--store", own, "--json"])).stdout);
  assert.deepEqual(
    report.roots.map(({ name, installed }: { name: string; installed: boolean }) => [name, installed]),
    [["hull", true]],
  );
  const shown = report.specs.map(({ name }: { name: string }) => name);
  assert.ok(shown.includes("zlib-ish") && !shown.includes("rigging"), shown.join(" "));
  assert.equal((await stave(["find", "rigging", "-e", none, "--store", own])).status, 1);
});

test("a virtual is its providers, those that nothing depends on included where the configuration knows them", async () => {
  const providers = "packages: {all: {providers: {sails: ['rigging@2024:', hull+nosuch], tools: [nosuch, '%%%']}}}\n";
  const scope = join(root, "providers");
  mkdirSync(scope);
  writeFileSync(join(scope, "packages.yaml"), providers);
  const flags = [...(golden["1.2"] ?? []), "-C", scope];
  const found = async (...words: string[]) => {
    const { report } = JSON.parse((await stave(["find", ...words, ...flags, "--json"])).stdout);
    return report.specs.map(({ name }: { name: string }) => name).join(" ");
  };
  assert.deepEqual([await found("sails"), await found("propulsion"), await found("tools")], ["rigging", "paddle", ""]);
  const plan = await stave(["push", `oci-layout:${join(root, "cache")}`, "sails", "--plan", ...flags]);
  assert.match(plan.stdout, /^pack +rigging@2024\.11/m, plan.stderr);
});

test("a version of a virtual, which only recipes know, is explained", async () => {
  const flags = golden["1.2"] ?? [];
  const says = /propulsion is a virtual package, provided by paddle@3\.1\/kvupzkz: leave out the version/;
  for (const words of [["propulsion@1"], ["hull", "^propulsion@1:2"]]) {
    const found = await stave(["find", ...words, ...flags]);
    assert.equal(found.status, 1);
    assert.match(found.stderr, says);
  }
  const pushed = await stave(["push", `oci-layout:${join(root, "cache")}`, "propulsion@1", "--plan", ...flags]);
  assert.equal(pushed.status, 7);
  assert.match(pushed.stderr, new RegExp(`hint: ${says.source}`));
  assert.doesNotMatch((await stave(["find", "paddle@9", ...flags])).stderr, /virtual/);
});

test("flags that Spack takes before its command may stand before the verb", async () => {
  const store = golden["1.2"] ?? [];
  const usual = await stave(["find", ...store, "--json", "-c", "config:x:1", "voyage"]);
  const early = await stave(["--json", "-c", "config:x:1", "find", ...store, "voyage"]);
  assert.deepEqual([early.status, early.stdout], [0, usual.stdout], early.stderr);
  const alone = await stave(["-e"]);
  assert.deepEqual([alone.status, alone.stdout], [2, ""]);
});

test("spec: the tree, and with --json Spack's own document byte for byte", async () => {
  const store = golden["1.2"] ?? [];
  const tree = (await stave(["spec", "voyage", ...store])).stdout;
  assert.match(tree, /^wsit3bg \[ {4}\] +[0-9.]+ kB {2}voyage@=0\.4\.2/);
  assert.match(tree, /^uwlohrq \[bl {2}\] +[0-9.]+ kB {6}\^hull@=1\.10\.1/m);
  const { report } = JSON.parse((await stave(["spec", "/wsit3bg", "--json", ...store])).stdout);
  const folder = readdirSync(join(onDisk, "linux-x86_64")).find((name) => name.startsWith("voyage-"));
  const file = join(onDisk, "linux-x86_64", folder ?? "", ".spack/spec.json");
  assert.deepEqual(report, JSON.parse(readFileSync(file, "utf8")));
  assert.equal(
    (await stave(["name", file])).stdout,
    "linux-debian12-x86_64-gcc-12.2.0-voyage-0.4.2-wsit3bgjqj7o2lamnut6wy4vubp47m44\n",
  );
  assert.match((await stave(["spec", file])).stdout, /voyage@=0\.4\.2/);
  const specs = join(root, "specs");
  const saved = await stave([
    "save-specfile",
    "--root-spec",
    "fleet",
    "--specs",
    "voyage hull",
    "--specfile-dir",
    specs,
    ...store,
  ]);
  assert.deepEqual(readdirSync(specs).sort(), ["hull.json", "voyage.json"], saved.stderr);
  assert.ok(readFileSync(join(specs, "voyage.json")).equals(readFileSync(file)));
});

test("name: every name a cache knows the spec by", async () => {
  const { report } = JSON.parse(
    (await stave(["get-buildcache-name", "-s", "hull", "--json", ...(golden["1.2"] ?? [])])).stdout,
  );
  assert.equal(report.tag, "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack");
  assert.equal(report.manifest, "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spec.manifest.json");
});

test("preview: what would be relocated is what Spack's archive lists", async () => {
  const { report } = JSON.parse((await stave(["preview", "voyage", "--json", ...(golden["1.2"] ?? [])])).stdout);
  const hull = report.nodes.find((node: { name: string }) => node.name === "hull");
  assert.equal(hull.status, "relocatable");
  const glibc = report.nodes.find((node: { name: string }) => node.name === "glibc");
  assert.equal(glibc.status, "external");
  assert.match(
    (await stave(["preview", "voyage", ...(golden["1.2"] ?? [])])).stdout,
    /^\[\+\] {6}\^hull@1\.10\.1 {2}\([1-9]/m,
  );
});

test("config: the store, the mirrors and where they are said; no secret", async () => {
  const scope = join(root, "scope");
  mkdirSync(scope);
  const mirror =
    "mirrors:\n  team:\n    url: oci://ghcr.io/org/cache\n    access_pair: {id: me, secret_variable: TOKEN}\n";
  writeFileSync(join(scope, "mirrors.yaml"), mirror);
  writeFileSync(join(scope, "config.yaml"), "config:\n  install_tree:\n    root: /opt/harbor/store\n");
  const env = { TOKEN: "very-secret" };
  const ran = await stave(["config", "-C", scope, "--no-env"], { env });
  assert.match(ran.stdout, /store +\/opt\/harbor\/store {2}\(.*config\.yaml/);
  assert.match(ran.stdout, /team.*ghcr\.io\/org\/cache.*mirrors\.yaml/);
  const json = await stave(["config", "-C", scope, "--no-env", "--json"], { env });
  assert.equal(JSON.parse(json.stdout).report.store.root, "/opt/harbor/store");
  assert.ok(!`${ran.stdout}${json.stdout}`.includes("very-secret"));
});

const mistakes: { args: string[]; status: number; says: RegExp }[] = [
  { args: ["find", "hull@@"], status: 7, says: /character 5[\s\S]*^ {4}hull@@\n {8}\^$/m },
  { args: ["find", "hull@2:1"], status: 1, says: /0 installed/ },
  { args: ["spec", "nope"], status: 7, says: /no spec of the store .* matches nope/ },
  { args: ["spec", "zlibish"], status: 7, says: /did you mean zlib-ish/ },
  { args: ["spec", "%gcc"], status: 2, says: /matches [0-9] specs of the store/ },
  { args: ["spec", "hull", "voyage"], status: 2, says: /"hull voyage" names 2 specs, expected one/ },
  { args: ["name", "hull", "^voyage"], status: 7, says: /matches hull \^voyage \[/ },
  { args: ["push", "oci-layout:/nonexistent", "hull", "gcc"], status: 2, says: /gcc@12\.2\.0\/3kkp3m4 is an external/ },
  { args: ["spec", "./absent.json"], status: 5, says: /absent\.json/ },
  { args: ["name"], status: 2, says: /no spec was named/ },
  { args: ["save-specfile", "--specs", "x", "--specfile-dir", "/tmp/x"], status: 2, says: /--root-spec/ },
];

for (const { args, status, says } of mistakes)
  test(`a mistake: stave ${args.join(" ")}`, async () => {
    const ran = await stave([...args, ...(golden["1.2"] ?? [])]);
    assert.match(ran.stderr, says);
    assert.equal(ran.status, status, ran.stderr);
    assert.ok(!/\n\s+at /.test(ran.stderr));
  });

test("a store that is none, one that is damaged, one of the future", async () => {
  const none = await stave(["find", "--store", root]);
  assert.deepEqual([none.status, /is not a Spack store/.test(none.stderr)], [5, true]);
  const folder = join(root, "bad/.spack-db");
  mkdirSync(folder, { recursive: true });
  for (const [text, says] of [
    ['{"database":{"version":"8","inst', /reindex/],
    ['{"database":{"version":"9","installs":{}}}', /version/],
  ] as const) {
    writeFileSync(join(folder, "index.json"), text);
    const ran = await stave(["find", "--store", join(root, "bad")]);
    assert.equal(ran.status, 5, ran.stderr);
    assert.match(ran.stderr, says);
  }
  assert.ok(!existsSync(join(folder, "lock")), "reading leaves no traces");
});

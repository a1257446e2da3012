// Proves that the mirrors of Spack's configuration are the default caches, in Spack's order, and that the output says
// so.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pushGolden } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { golden } from "../support/golden.ts";
import { noGpg } from "../support/gpg.ts";
import { goldenMirror } from "../support/mirrors.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const scope = join(work, "scope");
const mirror = await goldenMirror(3);
const { sysroot } = await goldenStore();
let registry: TestRegistry;
before(async () => {
  registry = await startRegistry();
  for (const name of ["org/empty", "org/full"]) {
    const client = connect(registry.host, name);
    await pushGolden(name === "org/full" ? "spack-1.2/plain.oci" : "spack-0.23/plain.oci", client.target);
    await client.close();
  }
  mkdirSync(scope);
  const url = (name: string): string => `oci+http://${registry.host}/${name}`;
  writeFileSync(
    join(scope, "mirrors.yaml"),
    `mirrors:
  web: "sftp://user:secret@mirror.example/spack"
  sources: {url: "${url("org/sources")}", binary: false}
  first: "${url("org/empty")}"
  second: {fetch: "${url("org/full")}", push: "${url("org/write")}"}
`,
  );
});
after(() => registry.close());

const run = (args: string[], env: Record<string, string> = {}): ReturnType<typeof stave> =>
  stave([...args, "--no-env", "-C", scope], {
    cwd: work,
    env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "", ...env },
  });

test("install asks all mirrors in order, and those that cannot be used are named in one line", async () => {
  const plan = await run([
    ...["install", "hull@1.10.1", "/uwlohrq", "--plan", "--otherarch", "--store", join(work, "s")],
  ]);
  assert.equal(plan.status, 0, plan.stderr);
  assert.match(plan.stdout, /hull@1\.10\.1\/uwlohrq.*org\/full/);
  assert.match(
    plan.stderr,
    /^not used, because stave has no client for them: web \(sftp:\/\/[^)]*mirror\.example\/spack\)$/m,
  );
  assert.match(plan.stderr, /^using the mirrors first \(.*org\/empty\), second \(.*org\/full\)$/m);
  assert.ok(!plan.stderr.includes("secret") && !plan.stderr.includes("org/sources"), plan.stderr);
});

test("list, check, download and why-miss ask all mirrors in order, and say which one had it", async () => {
  const env = ["-e", golden("spack-1.2")];
  const all = (args: string[]): ReturnType<typeof stave> =>
    stave([...args, "-C", scope], { cwd: work, env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" } });
  const folder = temporaryFolder();
  const [list, check, download, whyMiss, old] = await Promise.all([
    run(["list", "-a", "hull", "--json"]),
    all(["check", ...env, "--deep"]),
    run(["download", "/uwlohrq", "-p", folder]),
    all(["why-miss", "hull", ...env]),
    run(["download", "/5s2tkv6", "-p", folder]),
  ]);
  const { specs } = JSON.parse(list.stdout).report;
  assert.deepEqual(
    specs
      .map((row: { hash: string; cache: string }) => `${row.hash.slice(0, 7)} ${row.cache.split("/").at(-1)}`)
      .sort(),
    ["5s2tkv6 empty", "uwlohrq full"],
  );
  assert.deepEqual([check.status, check.stdout.split(" in ")[0]], [0, "8 of 8 specs"], check.stderr);
  assert.deepEqual([download.status, /^from .*org\/full$/m.test(download.stderr)], [0, true], download.stderr);
  assert.deepEqual([old.status, /^from .*org\/empty$/m.test(old.stderr)], [0, true], old.stderr);
  assert.equal(whyMiss.status, 0, whyMiss.stderr);
  assert.match(whyMiss.stdout, /org\/full:\nnothing is in the way: hull[\s\S]*org\/empty:\nother hash: hull/);
});

test("a mirror that cannot be asked is no answer, unless another one has the spec", async () => {
  const broken = temporaryFolder();
  writeFileSync(
    join(broken, "mirrors.yaml"),
    `mirrors:\n  down: "oci+http://127.0.0.1:1/org/x"\n  up: "oci+http://${registry.host}/org/full"\n`,
  );
  const ask = (args: string[]): ReturnType<typeof stave> =>
    stave([...args, "--no-env", "-C", broken, "--retries", "0"], {
      cwd: work,
      env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" },
    });
  const [there, absent, list] = await Promise.all([
    ask(["download", "/uwlohrq", "-p", temporaryFolder()]),
    ask(["download", "/zzzzzzz", "-p", temporaryFolder()]),
    ask(["list", "-a", "hull"]),
  ]);
  assert.deepEqual([there.status, /warning: .*127\.0\.0\.1:1/.test(there.stderr)], [0, true], there.stderr);
  assert.deepEqual([absent.status, /error: .*127\.0\.0\.1:1/.test(absent.stderr)], [4, true], absent.stderr);
  assert.match(list.stdout, /hull@1\.10\.1/);
  assert.deepEqual([list.status, /error: .*127\.0\.0\.1:1/.test(list.stderr)], [4, true], list.stderr);
});

test("a mirror that cannot be opened stops no other, and what none of the others has is not taken for absent", async () => {
  const scopes = Object.fromEntries(
    (
      [
        ["gone", 'first: "file:///nowhere/at/all"'],
        ["locked", 'first: {url: "s3://cache/x", profile: none}'],
        ["down", 'first: {url: "gs://cache/x", endpoint_url: "http://127.0.0.1:1"}'],
      ] as const
    ).map(([name, first]) => {
      const folder = temporaryFolder();
      writeFileSync(
        join(folder, "mirrors.yaml"),
        `mirrors:\n  ${first}\n  second: {url: "file://${mirror}", signed: false}\n`,
      );
      return [name, folder];
    }),
  );
  const ask = (name: string, ...args: string[]): ReturnType<typeof stave> =>
    stave([...args, "-C", scopes[name] ?? "", "--retries", "0"], {
      cwd: work,
      env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" },
    });
  for (const [name, says, status] of [
    ["gone", /there is no directory \/nowhere\/at\/all/, 7],
    ["locked", /there is no AWS profile named none/, 3],
    ["down", /127\.0\.0\.1:1 refused the connection/, 4],
  ] as const) {
    const [installed, check, download, list, absent, keys] = await Promise.all([
      ask(name, "install", "hull", "--plan", "--otherarch", "--no-env", "--store", join(work, "s")),
      ask(name, "check", "-e", golden("spack-1.2")),
      ask(name, "download", "hull", "--no-env", "-p", temporaryFolder()),
      ask(name, "list", "-a", "hull", "--no-env"),
      ask(name, "install", "nope", "--plan", "--otherarch", "--no-env", "--store", join(work, "s")),
      ask(name, "keys", "--no-env"),
    ]);
    for (const { status: found, stderr } of [installed, check, download]) assert.equal(found, 0, stderr);
    assert.doesNotMatch(installed.stderr, /has no client/);
    assert.match(list.stdout, /hull@1\.10\.1/);
    assert.match(list.stderr, says);
    assert.deepEqual([absent.status, /\[SPEC_ABSENT\]/.test(absent.stderr)], [status, status === 7], absent.stderr);
    if (noGpg === false) assert.match(keys.stdout, /Shipyard Test/);
    assert.deepEqual([keys.status !== 0, says.test(keys.stderr)], [true, true], keys.stderr);
  }
});

test("index --check looks at the mirror that index would write to", async () => {
  const checked = await run(["index", "--check"]);
  assert.match(checked.stderr, /^using the mirror second \(.*org\/write\)$/m);
});

test("push takes the mirror with a place to push to, and $STAVE_CACHE comes first", async () => {
  const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "hull", "--only", "package", "--plan"];
  const [pushed, named] = await Promise.all([
    run(["push", ...store]),
    run(["push", ...store], { STAVE_CACHE: "./mine" }),
  ]);
  assert.equal(pushed.status, 0, pushed.stderr);
  assert.match(pushed.stderr, /^using the mirror second \(.*org\/write\)$/m);
  assert.deepEqual([named.status, /mirror/.test(named.stderr)], [0, false], named.stderr);
});

// Proves that the mirrors of Spack's configuration are the default caches, in Spack's order, and that this is said.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pushGolden } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const scope = join(work, "scope");
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
  web: "https://user:secret@mirror.example/spack"
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

test("install asks all mirrors in order, list the first, and others are named in one line", async () => {
  const [plan, list] = await Promise.all([
    run(["install", "hull@1.10.1", "/uwlohrq", "--plan", "--otherarch", "--store", join(work, "s")]),
    run(["list", "-a"]),
  ]);
  assert.equal(plan.status, 0, plan.stderr);
  assert.match(plan.stdout, /hull@1\.10\.1\/uwlohrq.*org\/full/);
  assert.match(
    plan.stderr,
    /^not used, because only OCI caches can be: web \(https:\/\/[^)]*mirror\.example\/spack\)$/m,
  );
  assert.match(plan.stderr, /^using the mirrors first \(.*org\/empty\), second \(.*org\/full\)$/m);
  assert.ok(!plan.stderr.includes("secret") && !plan.stderr.includes("org/sources"), plan.stderr);
  assert.equal(list.status, 0, list.stderr);
  assert.match(list.stderr, /^only first is asked/m);
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

// Proves that `stave install` works for users: alone, in parallel, and after a kill.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { currentHost } from "../../lib/api/machine/read-machine.ts";
import { processSurroundings } from "../../lib/api/machine/surroundings.ts";
import { fitsHost } from "../../lib/spack/spec/fits-host.ts";
import { LINK, RUN } from "../../lib/spack/spec/node.ts";
import { postOrder } from "../../lib/spack/spec/traversal.ts";
import { type RunOptions, startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { madeCache } from "../support/made-cache.ts";
import { temporaryFolder } from "../support/tree.ts";

const CACHE = `oci-layout:${golden("spack-1.2/plain.oci")}`;
// Strings in programs cannot grow, so roots are short.
const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});
function shortRoot(): string {
  const root = mkdtempSync("/tmp/i");
  roots.push(root);
  return root;
}

const home = temporaryFolder();
const env = { XDG_CACHE_HOME: home, SPACK_ROOT: "" };
const installing = (root: string, args: string[], options: RunOptions = {}): ReturnType<typeof stave> =>
  stave(["install", CACHE, "--store", root, "--otherarch", ...args], { env, ...options });

function installed(root: string): Record<string, { explicit: boolean; ref_count: number }> {
  const { installs } = JSON.parse(readFileSync(join(root, ".spack-db/index.json"), "utf8")).database;
  return Object.fromEntries(
    Object.values<{
      installed: boolean;
      explicit: boolean;
      ref_count: number;
      spec: { name: string; external?: unknown };
    }>(installs)
      .filter((record) => record.installed && !record.spec.external)
      .map(({ spec, explicit, ref_count }) => [spec.name, { explicit, ref_count }]),
  );
}

const ALL = ["fleet", "gcc-runtime", "hull", "paddle", "rigging", "voyage", "zlib-ish"];

describe("into an empty folder", () => {
  const root = shortRoot();
  test("a plan writes nothing", async () => {
    const { status, stdout, stderr } = await installing(root, ["fleet", "--plan"]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^install\s+voyage@0\.4\.2\/wsit3bg\s+[\d.]+ kB\s+oci-layout:/m);
    assert.match(stdout, /7 specs to install into .*, [\d.]+ kB to download/);
    assert.deepEqual(readdirSync(root), []);
  });
  test("lines as specs are done, then the sums; the program runs", async () => {
    const { status, stdout, stderr } = await installing(root, ["fleet"]);
    assert.equal(status, 0, stderr);
    assert.equal(stderr.match(/^installed \S+@\S+\/[a-z2-7]{7} \/tmp\/i/gm)?.length, 7, stderr);
    assert.match(stdout, /^7 specs installed, 1 external left to the system, in /);
    // Only lib/libhull.a does too, which is harmless.
    assert.match(
      stdout,
      /^1 file of 1 spec still names the old place: hull@\S+ share\/hull\/nul\.bin\n(?![\s\S]*libhull)/m,
    );
    const prefixes = readdirSync(join(root, "linux-x86_64"));
    const voyage = prefixes.find((name) => name.startsWith("voyage-")) ?? "";
    const said = execFileSync(join(root, "linux-x86_64", voyage, "bin/voyage"), { encoding: "utf8" });
    assert.match(said, /^voyage 420 from \/+tmp\/i/);
    assert.deepEqual(Object.keys(installed(root)).sort(), ALL);
    assert.equal(installed(root)["fleet"]?.explicit, true);
    assert.equal(installed(root)["hull"]?.explicit, false);
    assert.ok(existsSync(join(root, "bin/sbang")));
  });
  test("--verbose lists all files that still name the old place", async () => {
    const { stdout } = await installing(root, ["hull", "--force", "--verbose"]);
    const lines = stdout.slice(stdout.indexOf("1 file of 1 spec")).split("\n");
    assert.deepEqual(lines.slice(0, 4), [
      "1 file of 1 spec still names the old place:",
      "  hull@1.10.1/uwlohrq share/hull/nul.bin",
      "1 static library or compiled Python file names it, too, which is harmless:",
      "  hull@1.10.1/uwlohrq lib/libhull.a",
    ]);
  });
  test("a second time there is nothing to do; --json says so", async () => {
    const { status, stdout } = await installing(root, ["hull", "--json"]);
    const { report } = JSON.parse(stdout);
    assert.deepEqual([status, report.totals.installed, report.failures], [0, 0, []]);
    assert.equal(installed(root)["hull"]?.explicit, true);
  });
  test("other verbs agree: find, verify, env, and uninstall", async () => {
    const store = ["--store", root];
    assert.match((await stave(["find", ...store, "voyage"], { env })).stdout, /voyage@0\.4\.2/);
    const verified = await stave(["verify", ...store], { env });
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    assert.match((await stave(["env", ...store, "--sh", "voyage"], { env })).stdout, /PATH=/);
  });
});

test("a store that does not exist is announced, once", async () => {
  const root = join(shortRoot(), "s");
  for (const [args, expected] of [
    [["--plan"], true],
    [[], true],
    [["--force"], false],
  ] as const) {
    const ran = await installing(root, ["zlib-ish", ...args]);
    assert.equal(ran.status, 0, ran.stderr);
    const made = args[0] === "--plan" ? "would be made" : "is made";
    assert.equal(ran.stderr.startsWith(`there is no store in ${root} yet; it ${made}\n`), expected, ran.stderr);
  }
});

describe("is refused with the next step", () => {
  const rows: { name: string; args: string[]; status: number; message: RegExp }[] = [
    { name: "nothing named", args: [], status: 2, message: /no spec was named/ },
    {
      name: "a spec that is not there",
      args: ["nothing-such"],
      status: 7,
      message: /nothing-such is not in .*stave list/s,
    },
    { name: "a hash that is not there", args: ["/aaaaaaa"], status: 7, message: /is not in/ },
  ];
  for (const { name, args, status, message } of rows)
    test(name, async () => {
      const root = shortRoot();
      const ran = await installing(root, args);
      assert.equal(ran.status, status, ran.stderr);
      assert.match(ran.stderr, message);
      assert.deepEqual(readdirSync(root), []);
    });
});

test("an environment's lock file, below a sysroot", async () => {
  const sysroot = temporaryFolder();
  const lock = temporaryFolder();
  for (const name of ["spack.yaml", "spack.lock"]) execFileSync("cp", [golden(`spack-1.2/${name}`), lock]);
  const args = ["install", "-m", CACHE, "-e", lock, "--store", "/opt/q/st", "--sysroot", sysroot, "--otherarch"];
  const { status, stdout, stderr } = await stave(args, { env });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^7 specs installed/);
  assert.deepEqual(Object.keys(installed(join(sysroot, "opt/q/st"))).sort(), ALL);
});

test("eight at once, for specs that overlap: each is installed once, and nothing is lost", {
  timeout: 120_000,
}, async () => {
  const root = shortRoot();
  const asked = ["fleet", "voyage", "paddle", "hull", "rigging", "zlib-ish", "gcc-runtime", "fleet"];
  const runs = await Promise.all(asked.map((name) => installing(root, [name, "--json"])));
  const counts = new Map<string, number>();
  for (const { status, stdout, stderr } of runs) {
    assert.equal(status, 0, stderr);
    for (const { name, outcome } of JSON.parse(stdout).report.specs)
      if (outcome === "installed") counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), ALL);
  assert.deepEqual([...new Set(counts.values())], [1]);
  const records = installed(root);
  assert.deepEqual(Object.keys(records).sort(), ALL);
  for (const name of asked) assert.equal(records[name]?.explicit, true, name);
  assert.equal((await stave(["verify", "--store", root], { env })).status, 0);
});

test("systems that the configuration declares compatible are accepted", async () => {
  const work = temporaryFolder();
  const cache = `oci-layout:${work}/cache`;
  const { nodes } = await madeCache(work, cache, 4, 3);
  const { os = "", ...host } = currentHost(processSurroundings());
  const root = nodes.find((node) => postOrder([node], { types: LINK | RUN }).every((one) => fitsHost(one, host)));
  assert.ok(root, "no spec of the cache fits this processor");
  assert.notEqual(root.os, os, "the specs are for another system");
  const args = [cache, `/${root.hash}`, "--plan", "--store", join(work, "store")];
  const refused = await stave(["install", ...args], { env });
  assert.match(`${refused.status} ${refused.stderr}`, /^7 .*error: .*for linux-rhel9-/s);
  const { status, stderr } = await stave(["install", ...args, "-c", `concretizer:os_compatible:${os}:[rhel9]`], {
    env,
  });
  assert.equal(status, 0, stderr);
});

test("killed at twenty moments: absent or complete, and a second run succeeds", { timeout: 300_000 }, async () => {
  const args = (root: string): string[] => ["install", CACHE, "--store", root, "--otherarch", "-q", "fleet"];
  const whole = shortRoot();
  const started = Date.now();
  assert.equal((await once(startStave(args(whole), { env }), "exit"))[0], 0);
  const duration = Date.now() - started;
  for (let moment = 1; moment <= 20; moment++) {
    const root = shortRoot();
    const child = startStave(args(root), { env });
    const timer = setTimeout(() => child.kill("SIGKILL"), (duration * moment) / 20);
    await once(child, "exit");
    clearTimeout(timer);
    // Everything in the database is complete.
    if (existsSync(join(root, ".spack-db/index.json"))) {
      const verified = await stave(["verify", "--store", root], { env });
      assert.equal(verified.status, 0, `moment ${moment}: ${verified.stdout}${verified.stderr}`);
    }
    const second = await installing(root, ["fleet", "-q"]);
    assert.equal(second.status, 0, `moment ${moment}: ${second.stderr}`);
    assert.deepEqual(Object.keys(installed(root)).sort(), ALL, `moment ${moment}`);
    const left = readdirSync(join(root, "linux-x86_64"));
    assert.equal(left.length, ALL.length, `moment ${moment}: ${left}`);
    const verified = await stave(["verify", "--store", root], { env });
    assert.equal(verified.status, 0, `moment ${moment}: ${verified.stdout}`);
    rmSync(root, { recursive: true });
  }
});

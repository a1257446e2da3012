// Proves that `stave uninstall` works on a store written by real Spack.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { uninstall } from "../../lib/ops/store/uninstall.ts";
import { systemClock } from "../../lib/util/time.ts";
import { stave } from "../support/cli.ts";
import { failsWith } from "../support/errors.ts";
import { golden } from "../support/golden.ts";
import { named } from "../support/push.ts";
import { copyOf, databaseFile, FROM_CACHE, installsOf, locksOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

const flags = (sysroot: string, root = SPACK_1.root): string[] => ["--store", root, "--sysroot", sysroot, "--no-env"];
const names = (sysroot: string, root = SPACK_1.root): string[] =>
  Object.values(installsOf(databaseFile({ root }, sysroot)))
    .filter((record) => record["installed"])
    .map((record) => record.spec.name)
    .toSorted();
const onDisk = (sysroot: string, root = SPACK_1.root): string[] =>
  readdirSync(join(sysroot, root, "linux-x86_64"))
    .map((name) => name.replace(/-[0-9].*/, ""))
    .toSorted();

test("what nobody needs goes, from the database and from disk", async () => {
  const sysroot = await copyOf(SPACK_1);
  const [before, disk] = [names(sysroot), onDisk(sysroot)];
  const dry = await stave(["uninstall", "fleet", "--dry-run", ...flags(sysroot)]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /^xio7v2f fleet@1\.0\n$/);
  assert.deepEqual(names(sysroot), before);
  const refused = await stave(["uninstall", "fleet", ...flags(sysroot)]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /no terminal to ask on[\s\S]*--yes/);
  assert.deepEqual(onDisk(sysroot), disk);
  const ran = await stave(["uninstall", "--yes", "fleet", "--json", ...flags(sysroot)]);
  assert.equal(ran.status, 0, ran.stderr);
  const { report } = JSON.parse(ran.stdout);
  assert.deepEqual(
    report.specs.map((spec: { name: string }) => spec.name),
    ["fleet"],
  );
  assert.deepEqual(
    names(sysroot),
    before.filter((name) => name !== "fleet"),
  );
  assert.deepEqual(
    onDisk(sysroot),
    disk.filter((name) => name !== "fleet"),
  );
  const again = await stave(["uninstall", "--yes-to-all", "fleet", ...flags(sysroot)]);
  assert.equal(again.status, 7);
});

test("the words of one spec remove what they mean together, and nothing else", async () => {
  const sysroot = await copyOf(SPACK_1);
  const before = names(sysroot);
  const none = await stave(["uninstall", "-y", "hull", "^paddle", ...flags(sysroot)]);
  assert.equal(none.status, 7, none.stdout);
  assert.match(none.stderr, /matches hull \^paddle/);
  const blank = await stave(["uninstall", "-y", "", ...flags(sysroot)]);
  assert.match(blank.stderr, /no spec was named/);
  assert.deepEqual([blank.status, names(sysroot)], [2, before]);
  const ran = await stave(["uninstall", "--dry-run", "fleet", "^hull", "%gcc@12", ...flags(sysroot)]);
  assert.deepEqual([ran.status, ran.stdout], [0, "xio7v2f fleet@1.0\n"], ran.stderr);
  const folder = readdirSync(join(sysroot, SPACK_1.root, "linux-x86_64")).find((name) => name.startsWith("fleet"));
  const file = join(sysroot, SPACK_1.root, "linux-x86_64", folder ?? "", ".spack/spec.json");
  const more = await stave(["uninstall", "-y", file, "^hull", ...flags(sysroot)]);
  assert.match(more.stderr, /a spec file cannot be combined/);
  assert.deepEqual([more.status, names(sysroot)], [7, before]);
});

test("what others link or run stays, unless they go too", async () => {
  const sysroot = await copyOf(SPACK_1);
  const before = names(sysroot);
  const refused = await stave(["uninstall", "-y", "hull", ...flags(sysroot)]);
  assert.equal(refused.status, 6);
  assert.match(refused.stderr, /paddle@3\.1.* depend on specs to be uninstalled.*\n.*--dependents/);
  assert.deepEqual(names(sysroot), before);
  const ran = await stave(["uninstall", "-y", "-R", "hull", "--json", ...flags(sysroot)]);
  assert.equal(ran.status, 0, ran.stderr);
  const gone = JSON.parse(ran.stdout).report.specs.map((spec: { name: string }) => spec.name);
  assert.deepEqual(gone, ["fleet", "voyage", "paddle", "hull"]);
  assert.deepEqual(
    names(sysroot),
    before.filter((name) => !gone.includes(name)),
  );
  assert.deepEqual(onDisk(sysroot), ["compiler-wrapper", "gcc-runtime", "rigging", "zlib-ish"]);
  // Externals are only removed from the database, and build dependents do not prevent it.
  const external = await stave(["uninstall", "-y", "gcc", ...flags(sysroot)]);
  assert.equal(external.status, 0, external.stderr);
  assert.match(external.stdout, /gcc@12\.2\.0 +external: only its record/);
  assert.ok(existsSync("/usr"));
});

test("a prefix that is gone already is no obstacle; a record that leads out of the store is", async () => {
  const sysroot = await copyOf(FROM_CACHE);
  const store = await openStore(FROM_CACHE, sysroot);
  const [fleet, voyage] = [named(store, "fleet"), named(store, "voyage")];
  rmSync(store.locate(store.prefixOf(fleet)), { recursive: true });
  await using locks = locksOf(store);
  const options = { store, dependents: false, locks, clock: systemClock };
  await uninstall({ ...options, nodes: [fleet] });
  const file = databaseFile(FROM_CACHE, sysroot);
  writeFileSync(file, readFileSync(file, "utf8").replace(store.prefixOf(voyage), "/etc/voyage"));
  const lying = await openStore(FROM_CACHE, sysroot);
  await failsWith(
    "FILE_SYSTEM",
    uninstall({ ...options, store: lying, nodes: [voyage] }),
    /\/etc\/voyage is not inside the store/,
  );
  assert.ok(names(sysroot, FROM_CACHE.root).includes("voyage"));
  // The whole store may be behind a link, but not one of its folders.
  const folder = join(sysroot, FROM_CACHE.root, "linux-x86_64");
  const elsewhere = join(dirname(dirname(folder)), "elsewhere");
  spawnSync("mv", [folder, elsewhere]);
  symlinkSync("/opt/q/elsewhere", folder);
  await failsWith(
    "FILE_SYSTEM",
    uninstall({ ...options, nodes: [named(store, "paddle")], dependents: true }),
    /not inside the store/,
  );
});

test("something that comes to depend on it meanwhile stops the uninstallation", async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  const file = databaseFile(SPACK_1, sysroot);
  const whole = readFileSync(file, "utf8");
  const fleet = named(store, "fleet");
  writeFileSync(file, whole.replace(/("xio7v2f[\s\S]*?"installed":)true/, "$1false"));
  const stale = await openStore(SPACK_1, sysroot);
  assert.equal(stale.get(fleet.hash)?.installed, false);
  writeFileSync(file, whole);
  await using locks = locksOf(stale);
  const options = { store: stale, nodes: [named(stale, "voyage")], locks, clock: systemClock };
  await failsWith("CONFLICT", uninstall({ ...options, dependents: false }), /fleet@1\.0.* depends on/);
  await failsWith("CONFLICT", uninstall({ ...options, dependents: true }), /fleet@1\.0 was installed meanwhile/);
  assert.equal(readFileSync(file, "utf8"), whole);
});

test("what a named environment has stays, unless it is forced", async () => {
  const sysroot = await copyOf(SPACK_1);
  const environments = temporaryFolder();
  writeFileSync(join(environments, "notes"), "");
  mkdirSync(join(environments, "fresh"));
  mkdirSync(join(environments, "fleet"));
  cpSync(golden("spack-1.2/spack.lock"), join(environments, "fleet/spack.lock"));
  const args = ["uninstall", "-y", "hull", "-c", `config:environments_root:${environments}`, ...flags(sysroot)];
  const refused = await stave([...args, "--dependents"]);
  assert.equal(refused.status, 6, refused.stdout);
  assert.match(refused.stderr, /the environment fleet has specs to be uninstalled/);
  assert.ok(onDisk(sysroot).includes("hull"));
  const forced = await stave([...args, "--force"]);
  assert.equal(forced.status, 0, forced.stderr);
  assert.ok(!onDisk(sysroot).includes("hull") && onDisk(sysroot).includes("paddle"));
  assert.ok(!names(sysroot).includes("hull") && names(sysroot).includes("paddle"));
  // Its record stays for the specs that were built with it.
  assert.ok(Object.values(installsOf(databaseFile(SPACK_1, sysroot))).some(({ spec }) => spec.name === "hull"));
});

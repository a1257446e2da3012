// Proves that killed uninstallations, and concurrent installs and uninstalls of the same specs, leave the store
// consistent.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { databaseFile, installsOf } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

const CACHE = `oci-layout:${golden("spack-1.2/plain.oci")}`;
// So many files that removing them takes longer than a kill.
const FILES = 10_000;
const ROUNDS = 3;
const env = { XDG_CACHE_HOME: temporaryFolder() };
// A short root: strings in programs cannot grow.
const work = mkdtempSync(join(tmpdir(), "k-"));
after(() => rmSync(work, { recursive: true, force: true }));

const install = (store: string) =>
  stave(["install", CACHE, "--store", store, "--otherarch", "--no-env", "-q", "fleet"], { env });
const removing = (store: string, ...specs: string[]): string[] => [
  ...["uninstall", "-y", "-R", "--store", store, "--no-env", ...specs],
];
const verify = (store: string) => stave(["verify", "--store", store, "--no-env"], { env });

/** The prefixes in the database, by hash. */
function recorded(store: string): Map<string, string> {
  const installs = Object.entries(installsOf(databaseFile({ root: store }, "")));
  return new Map(
    installs.flatMap(([hash, { installed, path }]) =>
      installed === true && String(path).startsWith(`${store}/`) ? [[hash, String(path)]] : [],
    ),
  );
}

// Only complete notes: before that, nothing was started.
function notes(store: string): string[] {
  const folder = join(store, ".spack-db/under-way");
  const isWritten = (name: string): boolean => (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) > 0;
  return existsSync(folder) ? readdirSync(folder).filter(isWritten) : [];
}

/** The store contains exactly what the database has, and no work is in progress. */
function checkWhole(store: string, when: string): void {
  const platform = join(store, "linux-x86_64");
  const onDisk = existsSync(platform) ? readdirSync(platform).map((name) => join(platform, name)) : [];
  assert.deepEqual(onDisk.toSorted(), [...recorded(store).values()].toSorted(), when);
  assert.deepEqual(notes(store), [], when);
}

function fill(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (let file = 0; file < FILES; file++) writeFileSync(join(folder, `f${file}`), "");
}

interface Moment {
  readonly name: string;
  /** Which of the specs, in order of removal, takes long. */
  readonly slow: number;
  /** Makes it take long. */
  readonly prepare: (hash: string, prefix: string) => void;
  /** True if the notes of the specs show that this is the moment. */
  readonly isNow: (noted: ReadonlySet<number>) => boolean;
  /** True if the database still has the specs then. */
  readonly isRecorded: boolean;
  /** What runs next. */
  readonly next: readonly ("install" | "uninstall")[];
}

// An older prefix beside the place is removed first.
const olderAside = (hash: string, prefix: string): void =>
  fill(join(dirname(prefix), `.stave-old-${hash}-${prefix.slice(dirname(prefix).length + 1)}`));
const MOMENTS: readonly Moment[] = [
  {
    name: "with the first prefix still in its place",
    slow: 0,
    prepare: olderAside,
    isNow: (noted) => noted.has(0),
    isRecorded: true,
    next: ["install"],
  },
  {
    name: "with some prefixes moved aside, and all recorded",
    slow: 2,
    prepare: olderAside,
    isNow: (noted) => noted.has(2),
    isRecorded: true,
    next: ["uninstall"],
  },
  {
    name: "with nothing recorded, and most files still there",
    slow: 1,
    prepare: (_hash, prefix) => fill(join(prefix, "many")),
    isNow: (noted) => noted.has(1) && !noted.has(0),
    isRecorded: false,
    next: ["install", "uninstall"],
  },
];

for (const { name, slow, prepare, isNow, isRecorded, next: all } of MOMENTS)
  for (const next of all)
    test(`an uninstallation killed ${name}: verify names what is left, and the next ${next} makes the store whole`, {
      timeout: 300_000,
    }, async () => {
      const store = join(work, next.charAt(0) + slow);
      const first = await install(store);
      assert.equal(first.status, 0, first.stderr);
      const whole = recorded(store);
      const { stdout } = await stave([...removing(store, "hull", "zlib-ish"), "--dry-run"], { env });
      const order = stdout.split("\n").flatMap((line) => {
        const hash = [...whole.keys()].find((each) => each.startsWith(line.split(" ", 1)[0] || "-"));
        return hash === undefined ? [] : [hash];
      });
      prepare(order[slow] ?? "", whole.get(order[slow] ?? "") ?? "");
      const child = startStave(removing(store, "hull", "zlib-ish"), { env });
      const watcher = watch(join(store, ".spack-db/under-way"), () => {
        if (isNow(new Set(notes(store).map((hash) => order.indexOf(hash))))) child.kill("SIGKILL");
      });
      const [status, signal] = await once(child, "exit");
      watcher.close();
      assert.equal(signal, "SIGKILL", `it ended by itself, with ${status}`);
      const interrupted = notes(store);
      assert.ok(interrupted.includes(order[slow] ?? ""));
      assert.equal(recorded(store).has(order[slow] ?? ""), isRecorded);
      const verified = await verify(store);
      for (const hash of interrupted)
        assert.match(verified.stdout, new RegExp(`^${hash.slice(0, 7)} .*a run was killed here`, "m"));
      if (next === "uninstall") {
        await stave(removing(store, "hull", "zlib-ish"), { env });
        checkWhole(store, "after another uninstallation");
        for (const hash of order) assert.ok(!recorded(store).has(hash), hash);
      }
      const again = await install(store);
      assert.equal(again.status, 0, again.stderr);
      checkWhole(store, "after another installation");
      assert.deepEqual(recorded(store), whole);
      const clean = await verify(store);
      assert.equal(clean.status, 0, clean.stdout + clean.stderr);
    });

test("processes that install and uninstall the same specs at once leave a store that is what its database says", {
  timeout: 300_000,
}, async () => {
  const store = join(work, "t");
  assert.equal((await install(store)).status, 0);
  const whole = recorded(store);
  for (let round = 1; round <= ROUNDS; round++) {
    const runs = await Promise.all([
      install(store),
      stave(removing(store, "hull"), { env }),
      stave(removing(store, "zlib-ish"), { env }),
      install(store),
    ]);
    // Another process may have removed it before, or installed a dependent meanwhile.
    const refusals = /\[(?:SPEC_ABSENT|SPEC_NOT_INSTALLED|CONFLICT)\]/;
    for (const { status, stderr } of runs) assert.ok(status === 0 || refusals.test(stderr), `${status}: ${stderr}`);
    checkWhole(store, `round ${round}`);
    const verified = await verify(store);
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
  }
  assert.equal((await install(store)).status, 0);
  checkWhole(store, "at the end");
  assert.deepEqual(recorded(store), whole);
});

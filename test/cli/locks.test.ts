// Proves that installations respect the locks of a program that locks as Spack does (test/support/spack_locks.py).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { LINK, RUN } from "../../lib/spack/spec/node.ts";
import { edgesOf } from "../../lib/spack/spec/traversal.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { madeCache } from "../support/made-cache.ts";
import { temporaryFolder } from "../support/tree.ts";

const SPECS = 12;
const ROUNDS = 2;
const PROGRAM = join(import.meta.dirname, "../support/spack_locks.py");
const skip = findProgram("python3") === undefined && "python3 is missing";

test("a program with Spack's locks and stave install the same specs at once, and neither waits for ever", {
  skip,
  timeout: 300_000,
}, async () => {
  const work = temporaryFolder();
  const cache = `oci-layout:${work}/cache`;
  const { nodes, specFile } = await madeCache(work, cache, SPECS, 5);
  const env = { XDG_CACHE_HOME: join(work, "xdg") };
  const hashes = nodes.map(({ hash }) => hash);
  const ours = new Set(hashes);
  // Its records are from a store that has all specs.
  const whole = join(work, "whole");
  const asked = hashes.map((hash) => `/${hash}`);
  const args = (store: string): string[] => ["install", cache, "--store", store, "--otherarch", "--no-env", "--json"];
  const first = await stave([...args(whole), ...asked], { env });
  assert.equal(first.status, 0, first.stderr);
  const { installs } = JSON.parse(readFileSync(`${whole}/.spack-db/index.json`, "utf8")).database;
  let theirs = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const store = join(work, `s${round}`);
    mkdirSync(store);
    const underWay = join(store, ".spack-db/under-way");
    const specs = nodes.map((node) => {
      const record = installs[node.hash];
      const prefix = record.path.replace(whole, store);
      return {
        hash: node.hash,
        needs: edgesOf(node, { types: LINK | RUN }).flatMap(({ child }) => (ours.has(child.hash) ? [child.hash] : [])),
        prefix,
        record: { ...record, path: prefix, ref_count: 0 },
        text: readFileSync(specFile(node), "utf8"),
      };
    });
    const [program, all, some] = await Promise.all([
      // Each of the two starts first in turn.
      python(store, JSON.stringify(specs), round % 2 === 0 ? undefined : underWay),
      stave([...args(store), ...asked], { env }),
      stave([...args(store), ...asked.toReversed().slice(0, SPECS / 2)], { env }),
    ]);
    assert.equal(program.status, 0, program.stderr);
    assert.equal(all.status, 0, all.stderr);
    assert.equal(some.status, 0, some.stderr);
    // Each spec was installed once, by one of them.
    const installed = [all, some].flatMap(({ stdout }) =>
      JSON.parse(stdout).report.specs.flatMap((spec: { hash: string; outcome: string }) =>
        spec.outcome === "installed" ? [spec.hash] : [],
      ),
    );
    const lines = program.stdout.split("\n").filter((line) => line !== "");
    theirs += lines.length;
    assert.deepEqual([...installed, ...lines].toSorted(), hashes.toSorted());
    const database = await Store.open(store, { clock: systemClock });
    for (const node of nodes) {
      assert.equal(database.get(node.hash)?.installed, true, node.name);
      assert.equal(readFileSync(join(database.prefixOf(node), ".spack/spec.json")).length > 0, true);
    }
    assert.deepEqual(existsSync(underWay) ? readdirSync(underWay) : [], []);
    rmSync(store, { recursive: true });
  }
  // Without any, the test proves nothing.
  assert.ok(theirs > 0);
});

// Starts once a folder exists.
async function python(
  store: string,
  input: string,
  folder = store,
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  for (const deadline = Date.now() + 60_000; !existsSync(folder) && Date.now() < deadline; ) await setTimeout(5);
  const child = spawn("python3", [PROGRAM, store], { stdio: ["pipe", "pipe", "pipe"], timeout: 120_000 });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  child.stdin.end(input);
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}

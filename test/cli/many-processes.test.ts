// Many processes share one push or one installation, as jobs of a cluster do: no layer is sent or fetched twice.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { stave } from "../support/cli.ts";
import { type MadeCache, madeCache } from "../support/made-cache.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const JOBS = 16;
const SPECS = 48;
const root = join(import.meta.dirname, "../..");
const work = temporaryFolder();
const env = { XDG_CACHE_HOME: join(work, "xdg"), HOME: join(work, "home"), SPACK_ROOT: "" };
const jobs = Array.from({ length: JOBS }, (_, at) => at + 1);
let registry: TestRegistry;
let made: MadeCache;
let cache: string;

before(async () => {
  registry = await startRegistry();
  made = await madeCache(work, `oci-layout:${work}/cache`, SPECS, 11);
  cache = `oci+http://${registry.host}/many/jobs`;
});
after(async () => {
  await registry.close();
  rmSync(work, { recursive: true, force: true });
});

// How often each blob was requested by a method.
function blobs(method: string, path: RegExp): Map<string, number> {
  const counts = new Map<string, number>();
  for (const request of registry.requests) {
    const digest = request.method === method ? path.exec(decodeURIComponent(request.url))?.[1] : undefined;
    if (digest !== undefined) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  }
  return counts;
}

const layers = async (): Promise<Set<string>> => {
  const { stdout } = await stave(["inspect", "--json", `${cache}:all`], { env });
  const { layers } = JSON.parse(stdout).report;
  return new Set(layers.map(({ digest }: { digest: string }) => digest));
};

test("the example for Slurm: 16 jobs push their shares, and a last one completes and tags", async () => {
  // The `stave` on the PATH of the jobs.
  const bin = join(work, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "stave"), `#!/bin/sh\nexec "${process.execPath}" "${root}/dist/stave.js" "$@"\n`);
  chmodSync(join(bin, "stave"), 0o755);
  const args = [cache, ...made.storeOptions, ...made.nodes.map(({ hash }) => `/${hash}`)];
  const job = (more: Record<string, string>) =>
    promisify(execFile)("bash", [join(root, "examples/slurm-push.sh"), ...args], {
      env: { ...env, PATH: `${bin}:${process.env["PATH"]}`, ...more },
    });
  await Promise.all(
    jobs.map((id) =>
      job({ SLURM_ARRAY_TASK_ID: String(id), SLURM_ARRAY_TASK_COUNT: String(JOBS), SLURM_CPUS_PER_TASK: "1" }),
    ),
  );
  const sent = blobs("PUT", /[?&]digest=(sha256:\w+)/);
  registry.requests.length = 0;
  await job({ TAG: "all" });
  const all = await layers();
  assert.equal(all.size, made.nodes.length);
  for (const digest of all) assert.equal(sent.get(digest), 1, `${digest} was sent ${sent.get(digest)} times`);
  const again = blobs("PUT", /[?&]digest=(sha256:\w+)/);
  for (const digest of all) assert.equal(again.has(digest), false, `the last job sent ${digest} again`);
  const { stdout } = await stave(["list", "-a", cache, "--json"], { env });
  assert.equal(JSON.parse(stdout).report.specs.length, made.nodes.length);
});

test("16 installations of the same specs into one store share the work", async () => {
  registry.requests.length = 0;
  const store = join(work, "store");
  const args = ["install", cache, "--store", store, "--otherarch", "--no-env", "--json", "--jobs", "1"];
  const hashes = made.nodes.map(({ hash }) => `/${hash}`);
  const ran = await Promise.all(jobs.map(() => stave([...args, ...hashes], { env })));
  for (const { status, stderr } of ran) assert.equal(status, 0, stderr);
  const reports = ran.map(({ stdout }) => JSON.parse(stdout).report.specs as { hash: string; outcome: string }[]);
  const installed = reports.flat().filter(({ outcome }) => outcome === "installed");
  assert.equal(installed.length, made.nodes.length);
  const fetched = blobs("GET", /\/blobs\/(sha256:\w+)$/);
  for (const digest of await layers())
    assert.equal(fetched.get(digest), 1, `${digest} was fetched ${fetched.get(digest)} times`);
  const checked = await stave(["verify", "--store", store], { env });
  assert.equal(checked.status, 0, checked.stderr);
});

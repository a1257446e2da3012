// Proves that real Spack installs what stave pushed, and that the program runs from there.
import assert from "node:assert/strict";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { run, startDistribution } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";
import { installation, isOld, movedGolden, skip, spackEnv, spackScope } from "../support/spack.ts";

const reason = skip || (findProgram("docker-registry") ? false : "docker-registry is missing");

const BUDGETS = [
  { title: "", budget: [] },
  { title: " with the layers of dependencies joined", budget: ["--budget", "3"] },
];
for (const { title, budget } of BUDGETS)
  test(`real Spack installs what stave pushed${title}`, { skip: reason, timeout: 120_000 }, async () => {
    // A short root: strings in programs cannot grow.
    const work = mkdtempSync(join(tmpdir(), "s-"));
    const registry = await startDistribution();
    try {
      const generation = isOld ? "spack-0.23" : "spack-1.2";
      const { sysroot, store } = await goldenStore(generation);
      const url = `oci+http://${registry.host}/org/cache`;
      const args = ["push", "--sysroot", sysroot, "--store", store.root, "--update-index", url, "fleet", ...budget];
      const ran = await stave(args, { env: { XDG_CACHE_HOME: work } });
      assert.equal(ran.status, 0, ran.stderr);
      const scope = spackScope(`${work}/s`, { "mirrors.yaml": `mirrors: {m: {url: "${url}", signed: false}}\n` });
      const [specFile = ""] = globSync(`${sysroot}${store.root}/*/**/fleet-*/.spack/spec.json`);
      const spack = join(installation?.root ?? "", "bin/spack");
      await run(spack, ["-C", scope, "install", "--cache-only", "--no-check-signature", specFile], { HOME: work });
      const [voyage = ""] = globSync(`${work}/s/**/voyage-*/bin/voyage`);
      assert.match(await run(voyage, []), /^voyage 420 from .*\/s\//);
    } finally {
      await registry.stop();
      rmSync(work, { recursive: true, force: true });
    }
  });

test("layers are those that real Spack pushes, without a flag", { skip: reason, timeout: 240_000 }, async () => {
  const work = mkdtempSync(join(tmpdir(), "s-"));
  const registry = await startDistribution();
  try {
    const store = await movedGolden(work);
    const scope = spackScope(store);
    const cache = (name: string) => `oci+http://${registry.host}/${name}/cache`;
    const program = join(installation?.root ?? "", "bin/spack");
    await run(
      program,
      ["-C", scope, "buildcache", "push", "--unsigned", "--private", cache("spack"), "fleet"],
      spackEnv(work),
    );
    const env = { XDG_CACHE_HOME: work, SPACK_ROOT: installation?.root ?? "" };
    const ran = await stave(["push", cache("stave"), "fleet", "--private", "-C", scope, "--no-env"], { env });
    assert.equal(ran.status, 0, ran.stderr);
    const layers = async (name: string, tag: string): Promise<string[]> => {
      const inspected = await stave(["inspect", `${cache(name)}:${tag}`, "--json"], { env: { XDG_CACHE_HOME: work } });
      assert.equal(inspected.status, 0, inspected.stderr);
      return JSON.parse(inspected.stdout).report.layers.map(({ diffID }: { diffID: string }) => diffID);
    };
    const tags = (await stave(["tags", cache("spack")])).stdout.split("\n").filter((tag) => tag.endsWith(".spack"));
    assert.equal(tags.length, 8);
    for (const tag of tags) {
      const theirs = await layers("spack", tag);
      assert.match(theirs.join(" "), /^sha256:\w{64}( sha256:\w{64})*$/);
      assert.deepEqual(await layers("stave", tag), theirs, tag);
    }
  } finally {
    await registry.stop();
    rmSync(work, { recursive: true, force: true });
  }
});

test("real Spack keeps what stave installed: it finds, verifies and uninstalls it", {
  skip,
  timeout: 120_000,
}, async () => {
  const work = mkdtempSync(join(tmpdir(), "s-"));
  try {
    const generation = isOld ? "spack-0.23" : "spack-1.2";
    const store = `${work}/s`;
    const cache = `oci-layout:${golden(`${generation}/plain.oci`)}`;
    const ran = await stave(["install", cache, "fleet", "--store", store, "--otherarch"], {
      env: { XDG_CACHE_HOME: work },
    });
    assert.equal(ran.status, 0, ran.stderr);
    const scope = spackScope(store);
    const program = join(installation?.root ?? "", "bin/spack");
    const spack = (...args: string[]) => run(program, ["-C", scope, ...args], { HOME: work });
    const found: { name: string; hash: string }[] = JSON.parse(await spack("find", "--json"));
    for (const { name, hash } of found)
      if (!["gcc", "glibc"].includes(name)) await spack("verify", ...(isOld ? [] : ["manifest"]), `/${hash}`);
    assert.ok(found.some(({ name }) => name === "voyage"));
    await spack("uninstall", "-y", "--dependents", "hull");
    assert.deepEqual(globSync(`${store}/**/voyage-*/bin/voyage`), []);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

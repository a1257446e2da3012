// Proves that real Spack, with made-up recipes, reports the same environment for the golden store as stave computes
// without it, plus what the recipes set.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defaultInspections } from "../../lib/spack/config/settings.ts";
import { askSpack } from "../../lib/spack/environment/ask-spack.ts";
import { envList } from "../../lib/spack/environment/env-modifications.ts";
import { runEnvironment } from "../../lib/spack/environment/run-environment.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { preOrder } from "../../lib/spack/spec/traversal.ts";
import { stave } from "../support/cli.ts";
import { installation, movedGolden, skip, spackEnv, spackScope } from "../support/spack.ts";

test("real Spack and stave agree on the environment of the golden store", { skip }, async () => {
  assert.ok(installation);
  const work = mkdtempSync(join(tmpdir(), "stave-ask-"));
  try {
    const store = await movedGolden(work);
    const index = join(store, ".spack-db/index.json");
    const records: Record<string, { path: string; spec: { name: string } }> = JSON.parse(readFileSync(index, "utf8"))
      .database.installs;
    const fleet = Object.values(records).find(({ spec }) => spec.name === "fleet") ?? assert.fail();
    const { root } = readSpecFile(readFileSync(join(fleet.path, ".spack/spec.json")), "fleet");
    const [paddle] = preOrder([root]).filter(({ name }) => name === "paddle");
    assert.ok(paddle);
    const options = {
      roots: [root],
      prefixOf: (node: SpecNode) => records[node.hash]?.path,
      isDirectory: (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
      inspections: defaultInspections("linux"),
      spackEnv: true,
    };
    const answer = await askSpack(
      { environments: [[root]], specs: [root, paddle] },
      { installation, env: { ...process.env, HOME: work }, scopes: [spackScope(store)] },
    );
    assert.deepEqual([...answer.restricted], [paddle.hash]);
    const asked = envList(runEnvironment({ ...options, asked: answer.environments[0] }));
    const found = envList(runEnvironment(options));
    const byRecipe = asked.filter((entry) => /^(?:VOYAGE_MODE|RIGGING_HOME)=/.test(entry));
    assert.deepEqual(
      byRecipe.map((entry) => entry.split("=")[0]),
      ["RIGGING_HOME", "VOYAGE_MODE"],
    );
    assert.deepEqual(
      asked.filter((entry) => !byRecipe.includes(entry)),
      found,
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

test("a Spack that is configured for another store answers for the one that is named", { skip }, async () => {
  const work = mkdtempSync(join(tmpdir(), "stave-ask-"));
  try {
    const store = await movedGolden(work);
    const scope = spackScope(join(work, "another/store"), {
      "modules.yaml": "modules: {prefix_inspections: {lib: [LIBRARIES]}}\n",
    });
    const env = { ...spackEnv(work), SPACK_ROOT: installation?.root ?? "", PATH: process.env["PATH"] ?? "" };
    const words = ["env", "voyage", "-C", scope, "--store", store, "--no-env", "--json"];
    const settings = ["-c", "modules:prefix_inspections:lib:[LIBS]"];
    const ran = await stave([...words, ...settings], { env });
    assert.equal(ran.status, 0, ran.stderr);
    const { report } = JSON.parse(ran.stdout);
    const all = new Map<string, string>(
      report.variables.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    assert.equal(all.get("VOYAGE_MODE"), "calm");
    assert.ok(all.get("LIBRARIES")?.startsWith(`${store}/`), ran.stdout);
    assert.equal(all.get("LIBS"), all.get("LIBRARIES"));
    assert.doesNotMatch(ran.stdout, /another\/store/);
    const padded = await stave([...words, "-c", "config:install_tree:padded_length:128"], { env });
    assert.equal(padded.stdout, ran.stdout.replace(/\{"name":"LIBS".*?\},(?=\{"name")/, ""), padded.stderr);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

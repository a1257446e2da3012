// Real Spack, asked for the environment of the golden store with made-up recipes: it must say what stave finds without it,
// and what the recipes set.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { askSpack } from "../../lib/spack/ask-spack.ts";
import { preOrder } from "../../lib/spack/dag.ts";
import { envList } from "../../lib/spack/env-modifications.ts";
import { runEnvironment } from "../../lib/spack/environment.ts";
import type { SpecNode } from "../../lib/spack/node.ts";
import { defaultInspections } from "../../lib/spack/settings.ts";
import { readSpecFile } from "../../lib/spack/spec.ts";
import { installation, movedGolden, skip, spackScope } from "../support/spack.ts";

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

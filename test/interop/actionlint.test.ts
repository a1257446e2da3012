// Proves that actionlint finds no mistake in the workflows.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { workflowText } from "../../lib/cli/output/workflow-text.ts";
import { ACTIONLINT_INSTALL } from "../../scripts/actionlint.ts";
import { findProgram } from "../../scripts/peers.ts";
import { temporaryFolder } from "../support/tree.ts";

const root = resolve(import.meta.dirname, "../..");
const built = "/tmp/stave-actionlint-1.7.12/actionlint";
const program = process.env["STAVE_ACTIONLINT"] ?? findProgram("actionlint") ?? (existsSync(built) ? built : undefined);
const reason = process.env["STAVE_ACTIONLINT_REASON"] ?? `actionlint is missing: ${ACTIONLINT_INSTALL}`;

const fitted = temporaryFolder();
/** What `stave init --ci github` writes. */
const FITTED = [
  { cache: undefined, folder: "" },
  { cache: "oci://ghcr.io/org/stack/cache", folder: "envs/app" },
  { cache: "oci://registry.example.com:5000/org/cache", folder: "" },
];

test("actionlint has nothing to say of the workflows", { skip: program === undefined && reason }, () => {
  const files = globSync(["examples/github-*.yml", ".github/workflows/*.yml"], { cwd: root });
  assert.ok(files.length >= 7);
  for (const [index, values] of FITTED.entries()) {
    const file = join(fitted, `${index}.yml`);
    writeFileSync(
      file,
      workflowText("github", readFileSync(join(root, "examples/github-actions.yml"), "utf8"), values),
    );
    files.push(file);
  }
  // Without shellcheck: which version is there would decide.
  const ran = spawnSync(program ?? "", ["-shellcheck=", ...files], { cwd: root, encoding: "utf8" });
  assert.equal(ran.stdout + ran.stderr, "");
  assert.equal(ran.status, 0);
});

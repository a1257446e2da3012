// Proves that actionlint finds no mistake in the workflows.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { ACTIONLINT_INSTALL } from "../../scripts/actionlint.ts";
import { findProgram } from "../../scripts/peers.ts";

const root = resolve(import.meta.dirname, "../..");
const built = "/tmp/stave-actionlint-1.7.12/actionlint";
const program = process.env["STAVE_ACTIONLINT"] ?? findProgram("actionlint") ?? (existsSync(built) ? built : undefined);
const reason = process.env["STAVE_ACTIONLINT_REASON"] ?? `actionlint is missing: ${ACTIONLINT_INSTALL}`;

test("actionlint has nothing to say of the workflows", { skip: program === undefined && reason }, () => {
  const files = globSync(["examples/github-*.yml", ".github/workflows/*.yml"], { cwd: root });
  assert.ok(files.length >= 7);
  // Without shellcheck: which version is there would decide.
  const ran = spawnSync(program ?? "", ["-shellcheck=", ...files], { cwd: root, encoding: "utf8" });
  assert.equal(ran.stdout + ran.stderr, "");
  assert.equal(ran.status, 0);
});

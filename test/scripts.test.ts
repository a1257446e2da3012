// Proves that scripts do their work or say why they cannot, and checks that scripts and tests remove their temporary
// folders.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { LOADER } from "./support/loader.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = resolve(import.meta.dirname, "..");

for (const [version, status, says] of [
  [process.versions.node, 0, /^sha256:/],
  ["20.19.0", 1, /this script needs Node 22\.22 or later, and this is 20\.19\.0/],
] as const)
  test(`a script on Node ${version === process.versions.node ? "of the test" : version}`, () => {
    const pretend = `Object.defineProperty(process.versions,"node",{value:"${version}"})`;
    const loader = [...LOADER, `--import=data:text/javascript,${encodeURIComponent(pretend)}`];
    const args = [...loader, "scripts/make-base.ts", temporaryFolder()];
    const ran = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stdout + ran.stderr, says);
  });

test("no script asks import.meta.main, which older Nodes do not have", () => {
  const scripts = globSync("scripts/**/*.ts", { cwd: root }).filter((path) => !path.endsWith("is-main.ts"));
  assert.ok(scripts.length > 10);
  for (const path of scripts) assert.doesNotMatch(readFileSync(join(root, path), "utf8"), /import\.meta\.main/, path);
});

test("a file that makes a temporary folder also removes one", () => {
  const makers = globSync("{scripts,test}/**/*.ts", { cwd: root })
    .filter((path) => !path.includes("node_modules"))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }))
    .filter(({ text }) => /\bmkdtemp(?:Sync)?\(/.test(text));
  assert.ok(makers.length > 10);
  for (const { path, text } of makers) assert.match(text, /\brm(?:Sync)?\(/, path);
});

// Runs all checks: peers, types, lint, a build, and every test.
// usage: tsx scripts/test.ts [unit|interop|node22] [FILE…]
// `node22` runs only the tests, with the oldest supported Node.
import { spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { ACTIONLINT_TESTS, startActionlintBuild } from "./actionlint.ts";
import { COSIGN_TESTS, startCosignBuild } from "./cosign.ts";
import { installPeers } from "./peers.ts";
import { IN_TOTO, MOTO, SPDX_TOOLS, startPipInstall } from "./pip-program.ts";
import { POLICY_CHECK_TESTS, startPolicyCheckBuild } from "./policy-check.ts";

const root = new URL("..", import.meta.url).pathname;
const [kind, ...rest] = process.argv.slice(2);
const only = kind === "unit" || kind === "interop" || kind === "node22" ? kind : undefined;
const files = only === undefined && kind !== undefined ? [kind, ...rest] : rest;
const loader = ["--import", "tsx"];

function step(name: string, command: string, args: string[]): void {
  console.log(`\n== ${name}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) {
    console.error(`\n${name} failed`);
    process.exit(status ?? 1);
  }
}

/** Installs one of the packages in scripts/ that tests use; true if it is there. */
function installTools(name: string): boolean {
  const folder = `${root}scripts/${name}`;
  if (existsSync(`${folder}/node_modules/.bin`)) return true;
  const args = ["ci", "--no-fund", "--no-audit", "--loglevel=error", "--prefix", folder];
  return spawnSync("npm", args, { cwd: root, stdio: "inherit" }).status === 0;
}

function chosenFiles(): string[] {
  if (files.length > 0) return files;
  const all = globSync("test/**/*.test.ts", { cwd: root }).sort();
  if (only === undefined || only === "node22") return all;
  return all.filter((file) => file.startsWith("test/interop/") === (only === "interop"));
}

const hasInterop = only !== "unit" && only !== "node22" && files.length === 0;
const cosign = hasInterop ? startCosignBuild(process.env) : undefined;
const policyCheck = hasInterop ? startPolicyCheckBuild(process.env) : undefined;
const actionlint = hasInterop ? startActionlintBuild(process.env) : undefined;
const pip = hasInterop
  ? [MOTO, SPDX_TOOLS, IN_TOTO].map((one) => ({ ...one, late: startPipInstall(one, process.env) }))
  : [];
if (hasInterop) {
  console.log("== peers");
  const missing = installPeers((text) => console.log(text));
  for (const peer of missing)
    console.log(`missing: ${peer.program} (Debian package ${peer.package}); its tests are skipped`);
  if (missing.length === 0) console.log("all there");
  else if (process.env["CI"] === "true") {
    console.error("CI=true: every peer must be there");
    process.exit(1);
  }
}
if (only === undefined && files.length === 0)
  for (const name of ["node22", "api-docs", "docs-site"]) {
    if (installTools(name)) continue;
    console.log(`scripts/${name} cannot be installed; its tests are skipped`);
    if (process.env["CI"] === "true") process.exit(1);
  }
const bin = `${root}node_modules/.bin/`;
let node = process.execPath;
if (only === "node22") {
  node = `${root}scripts/node22/node_modules/.bin/node`;
  if (!installTools("node22")) process.exit(1);
  if (!existsSync(`${root}dist/stave.js`)) step("build", process.execPath, [...loader, "scripts/build.ts"]);
} else {
  step("types", `${bin}tsc`, ["--noEmit"]);
  step("types of the browser part", `${bin}tsc`, ["-p", "web/tsconfig.json"]);
  step("lint", `${bin}biome`, ["check", "."]);
  step("build", process.execPath, [...loader, "scripts/build.ts"]);
}
const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`;
const runner = [...loader, "--test", "--test-reporter=spec", "--test-timeout=240000", concurrency];
// What waits for programs that are being made comes last.
const late = [
  ...(cosign === undefined ? [] : [{ name: "COSIGN", program: cosign, files: COSIGN_TESTS }]),
  ...(policyCheck === undefined ? [] : [{ name: "POLICY_CHECK", program: policyCheck, files: POLICY_CHECK_TESTS }]),
  ...(actionlint === undefined ? [] : [{ name: "ACTIONLINT", program: actionlint, files: ACTIONLINT_TESTS }]),
  ...pip.flatMap(({ name, late: program, tests: files }) => (program ? [{ name, program, files }] : [])),
];
const lateFiles = late.flatMap(({ files }) => files);
step("tests", node, [...runner, ...chosenFiles().filter((file) => !lateFiles.includes(file))]);
for (const { name, program } of late) {
  const made = await program.finish();
  if ("path" in made) process.env[`STAVE_${name}`] = made.path;
  else process.env[`STAVE_${name}_REASON`] = `${name.toLowerCase()} is missing, and ${made.reason}`;
}
if (late.length > 0) step("tests with programs that were made", node, [...runner, ...lateFiles]);

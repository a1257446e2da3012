// Everything that must hold: peers, types, lint, a build, and every test.
// usage: node scripts/test.ts [unit|interop] [FILE…]
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { installPeers } from "./peers.ts";

const root = new URL("..", import.meta.url).pathname;
const [kind, ...rest] = process.argv.slice(2);
const only = kind === "unit" || kind === "interop" ? kind : undefined;
const files = only === undefined && kind !== undefined ? [kind, ...rest] : rest;

function step(name: string, command: string, args: string[]): void {
  console.log(`\n== ${name}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) {
    console.error(`\n${name} failed`);
    process.exit(status ?? 1);
  }
}

function chosenFiles(): string[] {
  if (files.length > 0) return files;
  const all = globSync("test/**/*.test.ts", { cwd: root }).sort();
  if (only === undefined) return all;
  return all.filter((file) => file.startsWith("test/interop/") === (only === "interop"));
}

if (only !== "unit" && files.length === 0) {
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
const bin = `${root}node_modules/.bin/`;
step("types", `${bin}tsc`, ["--noEmit"]);
step("lint", `${bin}biome`, ["check", "."]);
step("build", process.execPath, ["scripts/build.ts"]);
const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`;
step("tests", process.execPath, [
  "--test",
  "--test-reporter=spec",
  "--test-timeout=240000",
  concurrency,
  ...chosenFiles(),
]);

// Runs the benchmarks and prints their tables as Markdown; docs/benchmarks.md holds such a run. usage: node
// scripts/bench/main.ts [--scale N] [NAME…]     N below 1 makes the stores of pack, push and install smaller
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { benchBudget } from "./budget.ts";
import { benchCache } from "./cache.ts";
import { benchCopy } from "./copy.ts";
import { benchInstall } from "./install.ts";
import { benchPack } from "./pack.ts";
import { benchPush } from "./push.ts";
import { benchStore } from "./store.ts";
import { benchTags } from "./tags.ts";
import { benchWan } from "./wan.ts";

const BENCHMARKS: Record<string, (scratch: string, stave: string, scale: number) => Promise<string>> = {
  copy: benchCopy,
  store: benchStore,
  pack: benchPack,
  budget: benchBudget,
  push: benchPush,
  install: benchInstall,
  cache: benchCache,
  wan: benchWan,
  tags: benchTags,
};

const stave = resolve(import.meta.dirname, "../../dist/stave.js");
const { values, positionals: wanted } = parseArgs({
  options: { scale: { type: "string", default: "1" } },
  allowPositionals: true,
});
const scale = Number(values.scale);
if (!(scale > 0)) throw new Error(`--scale is a positive number, not ${values.scale}`);
const unknown = wanted.filter((name) => !(name in BENCHMARKS));
if (unknown.length > 0)
  throw new Error(`no benchmark ${unknown.join(", ")}; there are ${Object.keys(BENCHMARKS).join(", ")}`);
console.log(`Node ${process.version}, ${cpus().length} cores\n`);
for (const [name, bench] of Object.entries(BENCHMARKS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const scratch = mkdtempSync(join(tmpdir(), `stave-bench-${name}-`));
  try {
    console.log(`## ${name}\n\n${await bench(scratch, stave, scale)}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

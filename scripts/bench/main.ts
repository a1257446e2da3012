// Runs benchmarks, prints their tables as Markdown, and writes all numbers to a file in bench-results/. usage: tsx
// scripts/bench/main.ts [--scale N] [NAME…]     a NAME is a benchmark or a profile; N below 1 makes stores smaller
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { benchBudget } from "./budget.ts";
import { benchCache } from "./cache.ts";
import { benchCopy, benchFarCopy } from "./copy.ts";
import { benchInstall } from "./install.ts";
import { benchLargeIndex } from "./large-index.ts";
import { benchMirror } from "./mirror.ts";
import { benchPack } from "./pack.ts";
import { benchPush } from "./push.ts";
import { describeRun, newResults, writeResults } from "./results.ts";
import { benchRun } from "./run.ts";
import { benchS3 } from "./s3.ts";
import { benchSign, benchSignUsual } from "./sign.ts";
import { benchStore } from "./store.ts";
import { benchSync } from "./sync.ts";
import { markdown, type Table } from "./table.ts";
import { benchTags } from "./tags.ts";
import { benchSmall, benchWan } from "./wan.ts";
import { benchWeb } from "./web.ts";

const BENCHMARKS: Record<string, (scratch: string, stave: string, scale: number) => Promise<Table[]>> = {
  copy: benchCopy,
  store: benchStore,
  pack: benchPack,
  budget: benchBudget,
  push: benchPush,
  install: benchInstall,
  mirror: benchMirror,
  s3: benchS3,
  sync: benchSync,
  small: benchSmall,
  sign: benchSign,
  "sign-usual": benchSignUsual,
  cache: benchCache,
  index: benchLargeIndex,
  wan: benchWan,
  "wan-copy": benchFarCopy,
  tags: benchTags,
  web: benchWeb,
  run: benchRun,
};

/** Benchmarks that belong together. */
const PROFILES: Record<string, readonly string[]> = {
  loopback: ["copy", "store", "pack", "budget"],
  large: ["push", "install", "mirror"],
  mirrors: ["mirror", "s3", "sync", "index"],
  wan: ["wan", "wan-copy"],
  scale: ["cache", "index", "tags"],
};

const stave = resolve(import.meta.dirname, "../../dist/stave.js");
const { values, positionals } = parseArgs({
  options: { scale: { type: "string", default: "1" } },
  allowPositionals: true,
});
const scale = Number(values.scale);
if (!(scale > 0)) throw new Error(`--scale is a positive number, not ${values.scale}`);
const wanted = positionals.flatMap((name) => PROFILES[name] ?? [name]);
const unknown = wanted.filter((name) => !(name in BENCHMARKS));
if (unknown.length > 0) {
  const known = [...Object.keys(BENCHMARKS), ...Object.keys(PROFILES)].join(", ");
  throw new Error(`no benchmark or profile is named ${unknown.join(", ")}; there are ${known}`);
}
const run = newResults(scale);
console.log(`${describeRun(run)}\n`);
for (const [name, bench] of Object.entries(BENCHMARKS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const scratch = mkdtempSync(join(tmpdir(), `stave-bench-${name}-`));
  try {
    const tables = await bench(scratch, stave, scale);
    run.benchmarks[name] = tables;
    console.log(`## ${name}\n\n${tables.map(markdown).join("\n")}`);
    console.log(`written: ${writeResults(run)}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

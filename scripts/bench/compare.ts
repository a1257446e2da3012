// Compares two runs of benchmarks, row by row. usage: tsx scripts/bench/compare.ts [OLD NEW]   default: the last two
// runs
import { describeRun, type Results, readResults, resultFiles } from "./results.ts";
import { formatValue, type Table } from "./table.ts";

/** Differences below this share are within the noise of a quiet machine. */
const NOISE = 0.03;

const [before = resultFiles().at(-2), after = resultFiles().at(-1)] = process.argv.slice(2);
if (before === undefined || after === undefined)
  throw new Error("there are no two runs to compare yet: run `make bench` twice, or name two files");
console.log(comparison(readResults(before), readResults(after)));

function comparison(old: Results, now: Results): string {
  const parts = [`before: ${describeRun(old)}`, `after: ${describeRun(now)}`];
  for (const [name, tables] of Object.entries(now.benchmarks))
    for (const table of tables) {
      const other = old.benchmarks[name]?.find(({ title }) => title === table.title);
      if (other) parts.push(`\n## ${name}: ${table.title}\n\n${compared(other, table)}`);
    }
  if (parts.length === 2) parts.push("\nthe two runs have no table in common");
  return parts.join("\n");
}

function compared(old: Table, now: Table): string {
  const lines = ["| | | before | after | after ÷ before |", "| --- | --- | ---: | ---: | ---: |"];
  for (const { name, cells } of now.rows) {
    const earlier = old.rows.find((row) => row.name === name);
    for (const [at, { name: column, unit }] of now.columns.entries()) {
      const place = old.columns.findIndex((one) => one.name === column && one.unit === unit);
      const [value, was] = [cells[at], earlier?.cells[place]];
      if (unit === "ratio" || value === undefined || was === undefined || was === 0) continue;
      const ratio = value / was;
      const mark = Math.abs(ratio - 1) <= NOISE ? "" : ` ${ratio > 1 ? "more" : "less"}`;
      lines.push(
        `| ${name} | ${column} | ${formatValue(was, unit)} | ${formatValue(value, unit)} | ${ratio.toFixed(2)}${mark} |`,
      );
    }
  }
  return lines.join("\n");
}

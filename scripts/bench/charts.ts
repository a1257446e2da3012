// Makes the tables and charts of the documents from a run of benchmarks: prints Markdown, and writes one SVG for each
// table. usage: tsx scripts/bench/charts.ts FOLDER [RESULTS]   default: the last run
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeRun, readResults, resultFiles } from "./results.ts";
import { formatValue, markdown, type Table } from "./table.ts";

const [folder, file = resultFiles().at(-1)] = process.argv.slice(2);
if (folder === undefined || file === undefined)
  throw new Error("usage: tsx scripts/bench/charts.ts FOLDER [RESULTS]; `make bench` writes results");
mkdirSync(folder, { recursive: true });
const run = readResults(file);
console.log(`${describeRun(run)}\n`);
for (const [name, tables] of Object.entries(run.benchmarks))
  for (const [at, table] of tables.entries()) {
    const image = `${name}${tables.length > 1 ? `-${at + 1}` : ""}.svg`;
    writeFileSync(join(folder, image), chart(table));
    console.log(`${markdown(table)}\n![${table.title}](${folder.split("/").at(-1)}/${image})\n`);
  }

/** Horizontal bars of the first column, each with the spread of its rounds. */
function chart({ title, columns, rows }: Table): string {
  const unit = columns[0]?.unit ?? "s";
  const [row, left, width] = [26, 220, 720];
  const most = Math.max(...rows.map(({ cells, spread }) => Math.max(cells[0] ?? 0, spread?.[1] ?? 0)), Number.EPSILON);
  const x = (value: number): string => (left + (value / most) * (width - left - 110)).toFixed(1);
  const bars = rows.map(({ name, cells, spread }, at) => {
    const [value = 0, y] = [cells[0], 44 + at * row];
    const end = spread?.[1] ?? value;
    const line = spread === undefined ? "" : `<path d="M${x(spread[0])} ${y}H${x(spread[1])}" class="spread"/>`;
    return `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${escaped(name)}</text>
<rect x="${left}" y="${y - 8}" width="${(Number(x(value)) - left).toFixed(1)}" height="16"/>${line}
<text x="${Number(x(Math.max(value, end))) + 6}" y="${y + 4}">${formatValue(value, unit)}</text>`;
  });
  const height = 44 + rows.length * row;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title">
<title id="title">${escaped(title)}</title>
<style>text{font:12px sans-serif;fill:#333}.title{font-weight:bold}rect{fill:#5b8db8}.spread{stroke:#333}
@media(prefers-color-scheme:dark){text{fill:#ddd}.spread{stroke:#ddd}}</style>
<text x="8" y="20" class="title">${escaped(title)}</text>
${bars.join("\n")}
</svg>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

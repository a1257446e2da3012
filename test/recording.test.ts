// Proves that the recording in the README is a real session: its commands end with success, and nothing in the picture
// is a script or comes from elsewhere.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { LOADER } from "./support/loader.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = resolve(import.meta.dirname, "..");
const textsOf = (svg: string): string[] => [...svg.matchAll(/<text [^>]*>(.*)<\/text>/g)].map(([, text = ""]) => text);

test("the recording can be made again, and shows the same commands", () => {
  const file = join(temporaryFolder(), "terminal.svg");
  execFileSync(process.execPath, [...LOADER, "scripts/recording.ts", file], { cwd: root, stdio: "pipe" });
  const isCommand = (text: string): boolean => text.includes("prompt");
  const commandsIn = (svg: string): string[] =>
    textsOf(svg)
      .filter(isCommand)
      .map((text) => text.replace(/<[^>]*>/g, ""));
  const made = readFileSync(file, "utf8");
  assert.equal(commandsIn(made).length, 4);
  assert.deepEqual(commandsIn(readFileSync(join(root, "docs/pictures/terminal.svg"), "utf8")), commandsIn(made));
});

test("the charts of the comparison are those of its figures, which are in docs/benchmarks.md", () => {
  const folder = temporaryFolder();
  const figures = join(root, "docs/pictures/comparison.json");
  execFileSync(process.execPath, [...LOADER, "scripts/bench/charts.ts", folder, figures], { cwd: root, stdio: "pipe" });
  // Without the shortest and the longest.
  const documented = readFileSync(join(root, "docs/benchmarks.md"), "utf8").replace(/ \([^|]*\)(?= \|)/g, "");
  const page = readFileSync(join(root, "docs/comparison.md"), "utf8");
  const charts = readdirSync(folder);
  assert.ok(charts.length >= 3);
  for (const chart of charts) {
    const made = readFileSync(join(folder, chart), "utf8");
    assert.equal(readFileSync(join(root, "docs/pictures", chart), "utf8"), made, chart);
    assert.ok(page.includes(`(pictures/${chart})`), chart);
    const values = [...made.matchAll(/>([0-9.]+ s)</g)].map(([, value = ""]) => value);
    assert.ok(values.length >= 3);
    for (const value of values) assert.ok(documented.includes(`| ${value} |`), `${chart}: ${value}`);
  }
});

test("pictures are well-formed, have a title, and neither scripts nor addresses", () => {
  const files = globSync("docs/pictures/*.svg", { cwd: root });
  assert.ok(files.length >= 4);
  for (const file of files) {
    const text = readFileSync(join(root, file), "utf8");
    assert.match(
      text,
      /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^>]* aria-labelledby="title[^>]*>\n<title id="title">/,
      file,
    );
    // Everything that appears has its moment.
    for (const [, name = ""] of text.matchAll(/ class="(?:[a-z]+ )?(t-?\d+)\b/g))
      assert.ok(text.includes(`.${name}{animation:`), `${file}: ${name}`);
    assert.doesNotMatch(text.replace("http://www.w3.org/2000/svg", ""), /<script|href=|https?:|\son[a-z]+=/, file);
  }
});

// Proves that texts are measured, cut and wrapped by the columns that they take on a terminal.
import assert from "node:assert/strict";
import { test } from "node:test";
import { table } from "../../../lib/cli/output/formatting.ts";
import { listLines } from "../../../lib/cli/output/pick.ts";
import { barLine } from "../../../lib/cli/output/progress-bars.ts";
import { cutText, fitText, textWidth, wrapText } from "../../../lib/cli/output/text-width.ts";

const TEXTS: { text: string; width: number }[] = [
  { text: "", width: 0 },
  { text: "zlib@1.3", width: 8 },
  { text: "é", width: 1 },
  { text: "e\u0301", width: 1 },
  { text: "圧縮", width: 4 },
  { text: "한국", width: 4 },
  { text: "ＡＢ", width: 4 },
  { text: "𠮷野", width: 4 },
  { text: "📦", width: 2 },
  { text: "→…", width: 2 },
];
for (const { text, width } of TEXTS)
  test(`the width of ${JSON.stringify(text)} is ${width}, and no part of it is wider than asked`, () => {
    assert.equal(textWidth(text), width);
    for (let columns = 0; columns <= width + 1; columns++) {
      const cut = cutText(text, columns);
      assert.ok(textWidth(cut) <= columns && text.startsWith(cut) && cut.isWellFormed(), `${columns}: ${cut}`);
    }
    assert.equal(cutText(text, width), text);
    assert.equal(fitText(text, width), text);
  });

test("wide names keep the columns of tables and bars", () => {
  const rows = [
    ["圧縮ライブラリ", "1"],
    ["zlib", "22"],
  ];
  const [, first = "", second = ""] = table([{ heading: "name" }, { heading: "n", right: true }], rows).split("\n");
  assert.equal(textWidth(first), textWidth(second));
  for (const width of [10, 11, 12])
    for (const line of table([{ heading: "name" }, { heading: "n", right: true }], rows, width).split("\n"))
      assert.ok(textWidth(line) <= 12, line);
  for (const columns of [20, 40, 80])
    assert.ok(textWidth(barLine({ label: "圧縮".repeat(20), value: 1, total: 2, share: 0.5 }, columns)) < columns);
});

test("the list to pick from fits into the terminal, whatever its characters", () => {
  const choices = Array.from({ length: 12 }, (_, at) => `wide@${at} kind=${"圧縮📦".repeat(20)}`);
  for (const columns of [10, 40, 41, 80])
    for (const line of listLines("which one?", choices, { at: 11, columns }))
      assert.ok(textWidth(line) < columns && line.isWellFormed(), `${columns}: ${line}`);
});

test("words are wrapped, and those that are longer than a line are broken", () => {
  assert.deepEqual(wrapText("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrapText("/a/long/path x", 6), ["/a/lon", "g/path", "x"]);
  assert.deepEqual(wrapText("圧縮圧縮", 5), ["圧縮", "圧縮"]);
  assert.deepEqual(wrapText("圧", 1), ["圧"]);
  assert.deepEqual(wrapText("", 5), [""]);
});

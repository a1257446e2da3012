// Proves that the table of command lines still matches real Spack.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { askSpecLines, installation, type SpecLine, skip } from "../support/spack.ts";

const lines: SpecLine[] = JSON.parse(readFileSync(new URL("../../testdata/spec-lines.json", import.meta.url), "utf8"));
const other =
  installation?.style === "nested" ? false : "the table is of Spack 1.2; 1.0 and earlier answer differently";

test(`real Spack answers ${lines.length} command lines as the table says`, { skip: skip || other }, async () => {
  assert.deepEqual(await askSpecLines(lines.map(({ words }) => words)), lines);
});

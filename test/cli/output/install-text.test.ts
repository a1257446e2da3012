// The summary of an installation names the first files that still contain the old place, with one count of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { installSummary } from "../../../lib/cli/output/install-text.ts";

const totals = { installed: 1, downloaded: 1, bytes: 1, files: 1, relocated: 0, withoutBinaries: 0 };
const spec = { name: "a", version: "1", hash: "abcdefgh", outcome: "installed" as const };

/** The lines about the files, without and with --verbose. */
function linesFor(leftovers: string[]): [string[], string[]] {
  const report = { store: "/s", specs: [{ ...spec, leftovers }], totals, failures: [], milliseconds: 1 };
  const lines = (all: boolean) =>
    installSummary(report as never, all)
      .split("\n")
      .slice(2);
  return [lines(false), lines(true)];
}

const CASES = [
  { files: [], plain: [], verbose: [] },
  {
    files: ["b", "c", "d", "e", "x.pyc", "y.a"],
    plain: ["4 files of 1 spec still name the old place: a@1/abcdefg b, a@1/abcdefg c, a@1/abcdefg d and 1 more"],
    verbose: [
      "4 files of 1 spec still name the old place:",
      ...["b", "c", "d", "e"].map((file) => `  a@1/abcdefg ${file}`),
      "2 static libraries and compiled Python files name it, too, which is harmless:",
      ...["x.pyc", "y.a"].map((file) => `  a@1/abcdefg ${file}`),
    ],
  },
];
for (const { files, plain, verbose } of CASES)
  test(`${files.length} files`, () => assert.deepEqual(linesFor(files), [plain, verbose]));

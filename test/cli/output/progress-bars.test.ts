// Proves that a line of progress shows the remaining time on terminals of all usual widths.
import assert from "node:assert/strict";
import { test } from "node:test";
import { barLine, estimatedSize } from "../../../lib/cli/output/progress-bars.ts";

const LINE = {
  label: "12 of 3456 done",
  value: 999_900_000,
  total: 999_900_000,
  share: 0.5,
  tail: "999.9 MB/s, 59 min 59 s left",
};

for (const columns of [60, 72, 80, 100, 200])
  test(`in ${columns} columns it keeps the remaining time and ends before the edge`, () => {
    const line = barLine(LINE, columns);
    assert.ok(line.length < columns, line);
    assert.ok(line.endsWith("59 min 59 s left"), line);
    assert.equal(/█+░+/.test(line), columns >= 72, line);
  });

test("items of unknown size count like the others", () => {
  assert.equal(estimatedSize({ size: 300, items: 3 }, 0), 300);
  assert.equal(estimatedSize({ size: 100, items: 8 }, 4), 200);
  assert.equal(estimatedSize({ size: 0, items: 8 }, 8), 0);
});

// Proves that a line of progress fits terminals of all widths without cutting a number, and that no count passes its
// total, whatever was announced.
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { processContext } from "../../../lib/cli/machine/context.ts";
import { Output } from "../../../lib/cli/output/output.ts";
import { Bars, barLine, estimatedSize } from "../../../lib/cli/output/progress-bars.ts";
import type { ProgressEvent } from "../../../lib/util/progress.ts";

const LINE = {
  label: "12 of 3456 done",
  shortLabel: "12/3456",
  value: 999_000_000,
  total: 999_000_000,
  share: 0.5,
  rate: "999.9 MB/s",
  left: "59 min 59 s left",
};

for (const columns of [40, 60, 72, 80, 100, 200])
  test(`in ${columns} columns it keeps the remaining time and ends before the edge`, () => {
    const line = barLine(LINE, columns);
    assert.ok(line.length < columns, line);
    assert.match(line, columns < 60 ? /^12\/3456 +999 MB +59 min 59 s left$/ : /^12 of 3456 done .*59 min 59 s left$/);
    assert.equal(/█+░+/.test(line), columns >= 60, line);
  });

test("in 20 columns the counts are left", () => {
  assert.match(barLine(LINE, 20), /^12\/3456 +999 MB$/);
});

test("items of unknown size count like the others", () => {
  assert.equal(estimatedSize({ size: 300, items: 3 }, 0), 300);
  assert.equal(estimatedSize({ size: 100, items: 8 }, 4), 200);
  assert.equal(estimatedSize({ size: 0, items: 8 }, 8), 0);
});

// The last line about all items that a terminal would show.
function summaryOf(events: readonly ProgressEvent[]): string | undefined {
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  const context = { ...processContext(), stderr };
  const bars = new Bars(context, new Output(context, "copy", {}));
  for (const event of events) bars.sink(event);
  bars.stop();
  const shown = (stderr.read() as Buffer).toString();
  return shown
    .match(/\d+ of \d+ done +\S+ \d\S* \S+ of \d\S* \S+/g)
    ?.at(-1)
    ?.replace(/[█░]+/, "");
}

const whole = (id: string, size?: number): ProgressEvent[] => [
  { type: "start", id, label: id, size },
  { type: "bytes", id, count: 1000 },
  { type: "done", id, label: id, outcome: "copied" },
];

for (const { name, events, expected } of [
  {
    name: "never announced",
    events: [...whole("a", 1000), ...whole("b", 1000)],
    expected: /^2 of 2 .* 2\.0 kB of 2\.0 kB$/,
  },
  { name: "of unknown size", events: [...whole("a"), ...whole("b")], expected: /^2 of 2 .* 2\.0 kB of 2\.0 kB$/ },
  {
    name: "larger than announced",
    events: [{ type: "queued", id: "a", size: 10 } as const, ...whole("a", 10)],
    expected: /^1 of 1 .* 1\.0 kB of 1\.0 kB$/,
  },
  {
    name: "fetched again",
    events: [{ type: "queued", id: "a", size: 1000 } as const, ...whole("a", 1000).slice(0, 2), ...whole("a", 1000)],
    expected: /^1 of 1 .* 1\.0 kB of 1\.0 kB$/,
  },
  {
    name: "left out after all",
    events: [
      { type: "queued", id: "a", size: 1000 } as const,
      ...whole("b", 1000),
      { type: "done", id: "a", label: "a", outcome: "skipped" } as const,
    ],
    expected: /^2 of 2 .* 2\.0 kB of 2\.0 kB$/,
  },
])
  test(`items ${name} never count beyond their total`, () => {
    assert.match(summaryOf(events) ?? "nothing was shown", expected);
  });

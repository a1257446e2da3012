// Proves that an answer is given only while everything that decided it is unchanged.
import assert from "node:assert/strict";
import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { areUnchanged, stampFiles } from "../../lib/util/file-stamps.ts";
import { recallAnswer, rememberAnswer } from "../../lib/util/remembered-answer.ts";
import { systemClock } from "../../lib/util/time.ts";
import { watchVariables } from "../../lib/util/watched-variables.ts";
import { temporaryFolder } from "../support/tree.ts";

/** Late enough that all files count as settled. */
const LATER = Date.now() + 3_600_000;

const changes: { name: string; change: (folder: string) => void }[] = [
  { name: "a file is written", change: (folder) => writeFileSync(join(folder, "file"), "other") },
  {
    name: "a file is written, and gets its old times",
    change: (folder) => {
      writeFileSync(join(folder, "file"), "other");
      utimesSync(join(folder, "file"), 1, 1);
    },
  },
  {
    name: "a file is replaced by one of the same size and time",
    change: (folder) => {
      writeFileSync(join(folder, "new"), "equal");
      utimesSync(join(folder, "new"), 1, 1);
      renameSync(join(folder, "new"), join(folder, "file"));
    },
  },
  { name: "a file is removed", change: (folder) => rmSync(join(folder, "file")) },
  { name: "a file appears", change: (folder) => writeFileSync(join(folder, "absent"), "") },
  { name: "a file appears below a folder that was absent", change: (folder) => make(join(folder, "none/below")) },
  { name: "a file appears in a folder", change: (folder) => writeFileSync(join(folder, "folder/more"), "") },
  {
    name: "a link leads elsewhere",
    change: (folder) => {
      rmSync(join(folder, "link"));
      symlinkSync("absent", join(folder, "link"));
    },
  },
];

function make(path: string): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, "");
}

for (const { name, change } of changes)
  test(`it is another state: ${name}`, () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "equal");
    utimesSync(join(folder, "file"), 1, 1);
    mkdirSync(join(folder, "folder"));
    symlinkSync("file", join(folder, "link"));
    const paths = ["file", "absent", "none/below", "folder", "link"].map((one) => join(folder, one));
    const stamps = stampFiles(paths, LATER);
    assert.ok(stamps !== undefined && areUnchanged(stamps));
    change(folder);
    assert.ok(!areUnchanged(stamps));
  });

test("a file that has just changed has no state yet: its next change might not show", () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  assert.equal(stampFiles([file], Date.now()), undefined);
  assert.notEqual(stampFiles([file], LATER), undefined);
});

test("the variables that were asked for are known, and a list of all of them is, too", () => {
  const watched = watchVariables({ A: "1", B: "2", C: "3" });
  assert.equal(watched.env["A"], "1");
  assert.equal("B" in watched.env, true);
  assert.equal(Object.hasOwn(watched.env, "D"), false);
  assert.deepEqual(watched.seen(), { A: "1", B: "2", D: null });
  assert.deepEqual(Object.keys(watched.env), ["A", "B", "C"]);
  assert.equal(watched.seen(), undefined);
});

test("an answer depends on its variables and on the time", () => {
  const memory = new DiskCache({ folder: temporaryFolder(), clock: systemClock });
  const question = { memory, kind: "answers", key: "k" };
  rememberAnswer(question, { answer: "yes", files: [], variables: { A: "1", B: null }, until: 100 });
  const ask = (env: Record<string, string>, now = 0): string | undefined => recallAnswer(question, { env, now });
  assert.equal(ask({ A: "1", C: "" }), "yes");
  assert.equal(ask({ A: "2" }), undefined);
  assert.equal(ask({}), undefined);
  assert.equal(ask({ A: "1", B: "" }), undefined);
  assert.equal(ask({ A: "1" }, 100), undefined);
  assert.equal(recallAnswer({ ...question, key: "other" }, { env: {}, now: 0 }), undefined);
});

test("a damaged, truncated, linked or huge entry is no answer", () => {
  const folder = temporaryFolder();
  const memory = new DiskCache({ folder, clock: systemClock, entryLimit: 1000, owner: process.getuid?.() });
  const question = { memory, kind: "answers", key: "k" };
  const write = (): string => {
    rememberAnswer(question, { answer: "yes", files: [], variables: {}, until: null });
    const all = readdirSync(join(folder, "answers"), { recursive: true, encoding: "utf8" });
    return join(folder, "answers", all.find((name) => name.includes("/")) ?? "");
  };
  const ask = (): string | undefined => recallAnswer(question, { env: {}, now: 0 });
  const entry = write();
  assert.equal(ask(), "yes");
  for (const text of [
    "",
    "null",
    "[]",
    '{"answer":1,"files":[],"variables":{},"until":null}',
    '{"answer":"a","files":[["x"]],"variables":{},"until":null}',
    '{"answer":"a","files":{},"variables":{},"until":null}',
    '{"answer":"a","files":[],"variables":{"A":1},"until":null}',
    '{"answer":"a","files":[],"variables":{},"until":"never"}',
    '{"answer":"a","files":[],"variables":{},"until":nu',
  ]) {
    writeFileSync(entry, text);
    assert.equal(ask(), undefined, text);
  }
  write();
  assert.equal(ask(), "yes");
  truncateSync(entry, 2_000_000);
  assert.equal(ask(), undefined, "huge");
  rmSync(entry);
  writeFileSync(join(folder, "elsewhere"), '{"answer":"a","files":[],"variables":{},"until":null}');
  symlinkSync(join(folder, "elsewhere"), entry);
  assert.equal(ask(), undefined, "a link");
});

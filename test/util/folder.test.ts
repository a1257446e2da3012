// Proves that folders and their parents are created, even on unusual file systems.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "../../lib/util/folder.ts";
import { temporaryFolder } from "../support/tree.ts";

test("folders are made with those above them; those that are there stay as they are", () => {
  const root = temporaryFolder();
  makeFolder(join(root, "a/b/c"), 0o700);
  assert.equal(statSync(join(root, "a/b/c")).mode & 0o777, 0o700);
  chmodSync(join(root, "a"), 0o755);
  makeFolder(join(root, "a/b/c"), 0o700);
  makeFolder(join(root, "a/b/d"));
  assert.equal(statSync(join(root, "a")).mode & 0o777, 0o755);
  mkdirSync(join(root, "real"));
  symlinkSync("real", join(root, "link"));
  makeFolder(join(root, "link/below"));
  assert.ok(statSync(join(root, "real/below")).isDirectory());
});

const refused = [
  { name: "a file", make: (root: string) => writeFileSync(join(root, "x"), ""), path: "x", code: "EEXIST" },
  { name: "below a file", make: (root: string) => writeFileSync(join(root, "x"), ""), path: "x/y/z", code: "ENOTDIR" },
  { name: "a link to nowhere", make: (root: string) => symlinkSync("no", join(root, "x")), path: "x", code: "EEXIST" },
];
for (const { name, make, path, code } of refused)
  test(`${name} is refused`, () => {
    const root = temporaryFolder();
    make(root);
    assert.throws(() => makeFolder(join(root, path)), { code });
  });

test("where nothing can be made, that is said and not tried for ever", () => {
  assert.throws(() => makeFolder("/proc/stave-test/a/b"), { code: "ENOENT" });
});

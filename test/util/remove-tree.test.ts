// Removal of a folder that is not trusted: everything in it goes, and nothing outside it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { HeldTree } from "../../lib/util/held-tree.ts";
import { removeTree } from "../../lib/util/remove-tree.ts";
import { failsWith } from "../support/errors.ts";
import { LOADER } from "../support/loader.ts";
import { makeTree, temporaryFolder } from "../support/tree.ts";

/** A folder that contains `top`, and a folder outside with a file that must stay. */
function given(): { folder: string; top: string; outside: string; tree: HeldTree } {
  const [folder, outside] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(outside, "victim"), "untouched");
  const top = join(folder, "top");
  mkdirSync(top);
  return { folder, top, outside, tree: new HeldTree(folder) };
}

test("links, FIFOs, odd names and folders without permissions go, and what links lead to stays", async () => {
  const { folder, top, outside, tree } = given();
  makeTree(top, [
    { type: "file", path: "a/b/file" },
    { type: "symlink", path: "a/outside", target: outside },
    { type: "symlink", path: "victim", target: join(outside, "victim") },
    { type: "symlink", path: "root", target: "/" },
    { type: "symlink", path: "up", target: ".." },
    { type: "file", path: "\xff\xfe\n\x1b]0;title\x07" },
    { type: "file", path: "closed/inner/file" },
  ]);
  execFileSync("mkfifo", [join(top, "fifo")]);
  for (const path of ["closed/inner", "closed", "."]) chmodSync(join(top, path), 0);
  await removeTree(tree, "top");
  assert.deepEqual(readdirSync(folder), []);
  await removeTree(tree, "top");
  await removeTree(tree, "missing/top");
  symlinkSync(outside, join(folder, "link"));
  await removeTree(tree, "link");
  assert.deepEqual([readdirSync(folder), readdirSync(outside)], [[], ["victim"]]);
  assert.equal(readFileSync(join(outside, "victim"), "utf8"), "untouched");
});

test("an ordinary user removes own folders without permissions, too", {
  skip: process.getuid?.() !== 0 && "needs root",
}, () => {
  const { folder, top } = given();
  makeTree(top, [{ type: "file", path: "closed/inner/file" }]);
  for (const path of ["closed/inner", "closed", "."]) chmodSync(join(top, path), 0o500);
  execFileSync("chown", ["-R", "65534:65534", folder]);
  const root = new URL("../..", import.meta.url).pathname;
  const script = `process.setgid(65534); process.setuid(65534);
    const { HeldTree } = await import("${root}lib/util/held-tree.ts");
    const { removeTree } = await import("${root}lib/util/remove-tree.ts");
    await removeTree(new HeldTree(${JSON.stringify(folder)}), "top");`;
  // The loader and the sources are read before the user changes, as far as possible.
  execFileSync(process.execPath, [...LOADER, "--input-type=module", "-e", script], { cwd: root });
  assert.deepEqual(readdirSync(folder), []);
});

test("folders deeper than any path are removed with few open descriptors", async () => {
  const { folder, tree } = given();
  for (let path = "top/d"; path.length < 6000; path += "/d") {
    tree.makeFolder(path);
    tree.write(`${path}/f`, "");
  }
  const before = readdirSync("/proc/self/fd").length;
  let most = 0;
  const watching = setInterval(() => {
    most = Math.max(most, readdirSync("/proc/self/fd").length);
  }, 0);
  await removeTree(tree, "top");
  clearInterval(watching);
  assert.ok(most - before < 40, `${most - before} more descriptors`);
  assert.deepEqual(readdirSync(folder), []);
});

test("a folder that is exchanged for a link during its removal does not lead outside", async () => {
  const { folder, top, outside, tree } = given();
  const names = Array.from({ length: 2000 }, (_, at) => `f${at}`);
  mkdirSync(join(top, "a"));
  for (const name of names) for (const place of [join(top, "a"), outside]) writeFileSync(join(place, name), "");
  const removing = removeTree(tree, "top");
  // It paused with some of the files left.
  assert.ok(readdirSync(join(top, "a")).length > 1000);
  renameSync(join(top, "a"), join(folder, "moved"));
  symlinkSync(outside, join(top, "a"));
  await failsWith("FILE_SYSTEM", removing);
  assert.equal(readdirSync(outside).length, names.length + 1);
  await removeTree(tree, "top");
  assert.ok(!existsSync(top));
  assert.equal(readdirSync(outside).length, names.length + 1);
});

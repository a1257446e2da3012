// Proves that Spack's post-install hooks are applied: long first lines, search paths that do not exist.
import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Tree } from "../../../lib/relocate/file/open-file.ts";
import { Finisher, type FinishOptions, type FinishReport } from "../../../lib/relocate/place/finish.ts";
import { finishPlaced } from "../../../lib/relocate/place/place.ts";
import { walkTree } from "../../../lib/relocate/tree/walk-tree.ts";
import { buildInfo, jobFor, pack } from "../../support/archive.ts";
import { makeElf } from "../../support/elf.ts";
import { archives, relocate } from "../../support/golden-archives.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../../support/tree.ts";

const SBANG = "/s/bin/sbang";
const FIRST = `#!/bin/sh ${SBANG}\n`;
const long = (end: string): string => `/${"x".repeat(150)}/${end}`;

/** Finishes all files of a prefix, as an installation does while it reads them. */
async function finishPrefix(directory: string, options: FinishOptions): Promise<FinishReport> {
  using tree = new Tree(directory, true);
  using finisher = new Finisher(directory, options);
  for (const { path, type } of walkTree(tree.held)) {
    if (type !== "file") continue;
    const head = await tree.read(path, (file) => {
      const bytes = Buffer.alloc(4);
      return bytes.subarray(0, file.read(bytes, 0));
    });
    if (finisher.wants(head, tree.stats(path).mode)) await finisher.finish(path);
  }
  return finisher.report;
}

function tree(items: TreeItem[]): string {
  const folder = join(temporaryFolder(), "tree");
  makeTree(folder, items);
  return folder;
}

describe("first lines", () => {
  const cases: { name: string; given: string; expect: string; mode?: number }[] = [
    { name: "long", given: `#!${long("sh")}\necho\n`, expect: `${FIRST}#!${long("sh")}\necho\n` },
    { name: "with arguments", given: `#! \t${long("perl")} -w\nx`, expect: `${FIRST}#! \t${long("perl")} -w\nx` },
    { name: "lua", given: `#!${long("lua")} -i\nx`, expect: `${FIRST}--!${long("lua")} -i\nx` },
    { name: "luajit", given: `#!${long("luajit")}\nx`, expect: `${FIRST}--!${long("luajit")}\nx` },
    { name: "node", given: `#!${long("node")}\nx`, expect: `${FIRST}//!${long("node")}\nx` },
    { name: "php", given: `#!${long("php")}\nx`, expect: `${FIRST}<?php #!${long("php")}\n ?>x` },
    { name: "not quite lua", given: `#!${long("xlua")}\nx`, expect: `${FIRST}#!${long("xlua")}\nx` },
    { name: "without newline", given: `#!${long("sh")}`, expect: `${FIRST}#!${long("sh")}` },
    { name: "127 bytes", given: `#!/${"x".repeat(123)}\n`, expect: `#!/${"x".repeat(123)}\n` },
    { name: "128 bytes", given: `#!/${"x".repeat(124)}\n`, expect: `${FIRST}#!/${"x".repeat(124)}\n` },
    { name: "only blanks", given: `#!${" ".repeat(200)}\nx`, expect: `#!${" ".repeat(200)}\nx` },
    { name: "no end within 4096 bytes", given: `#!/${"x".repeat(5000)}\n`, expect: `#!/${"x".repeat(5000)}\n` },
    { name: "an end at 4096 bytes", given: `#!/${"x".repeat(4092)}\n`, expect: `${FIRST}#!/${"x".repeat(4092)}\n` },
    { name: "not executable", given: `#!${long("sh")}\n`, expect: `#!${long("sh")}\n`, mode: 0o644 },
    { name: "executable for others", given: `#!${long("sh")}\n`, expect: `${FIRST}#!${long("sh")}\n`, mode: 0o645 },
    { name: "no script", given: `# !${long("sh")}\n`, expect: `# !${long("sh")}\n` },
    { name: "empty", given: "", expect: "" },
    { name: "set-uid", given: `#!${long("sh")}\n`, expect: `${FIRST}#!${long("sh")}\n`, mode: 0o6755 },
    {
      name: "of a large file",
      given: `#!${long("sh")}\n${"abcdefg\n".repeat(1 << 20)}`,
      expect: `${FIRST}#!${long("sh")}\n${"abcdefg\n".repeat(1 << 20)}`,
    },
  ];
  for (const { name, given, expect, mode = 0o755 } of cases)
    test(name, async () => {
      const folder = tree([{ type: "file", path: "bin/script", content: given, mode: mode & 0o777 }]);
      const file = join(folder, "bin/script");
      if ((mode & 0o7000) !== 0) chmodSync(file, mode);
      const { ino } = statSync(file);
      const { shebangs } = await finishPrefix(folder, { sbang: SBANG });
      assert.ok(readFileSync(file, "latin1") === expect);
      assert.deepEqual(shebangs, given === expect ? [] : ["bin/script"]);
      assert.deepEqual([statSync(file).mode & 0o7777, statSync(file).ino], [mode, ino]);
      assert.deepEqual(await finishPrefix(folder, { sbang: SBANG }), { shebangs: [], rpaths: [] });
    });

  test("macOS takes longer ones", async () => {
    const folder = tree([{ type: "file", path: "script", content: `#!${long("sh")}\n`, mode: 0o755 }]);
    assert.deepEqual(await finishPrefix(folder, { sbang: SBANG, longestLine: 511 }), { shebangs: [], rpaths: [] });
  });
});

test("search paths that cannot be looked at are dropped as if nothing were there, and fail nothing", async () => {
  const outside = temporaryFolder();
  symlinkSync("loop", join(outside, "loop"));
  const rpath = [
    `/${"x".repeat(300)}`,
    `${outside}/loop/lib`,
    `/${"x/".repeat(2100)}`,
    "/etc/passwd/lib",
    outside,
  ].join(":");
  const job = jobFor([{ type: "file", path: "lib/a", content: makeElf({ rpath, tag: 29 }).bytes }]);
  const info = buildInfo(pack(job).archive);
  makeTree(job.directory, [
    { type: "file", path: ".spack/binary_distribution", content: info.slice(0, info.indexOf("\0")) },
  ]);
  for (const sysroot of [undefined, "/"]) {
    const { prefix, root, directory } = job;
    const { rpaths } = await finishPlaced({ directory, prefix, root, prefixes: job.hashToPrefix, sysroot });
    assert.deepEqual(rpaths, sysroot === undefined ? ["lib/a"] : []);
    const elf = readFileSync(join(directory, "lib/a"), "latin1");
    assert.ok(elf.includes(`\0${outside}\0`));
  }
});

test("search paths keep what exists and what the loader expands", async () => {
  const folder = tree([
    { type: "file", path: "a", content: makeElf({ rpath: "/a:$ORIGIN/x:/gone:relative::/b/gone:/b", tag: 29 }).bytes },
    { type: "file", path: "b", content: makeElf({ rpath: "/a:/b" }).bytes },
    { type: "file", path: "c", content: makeElf({}).bytes },
    { type: "file", path: "d", content: "\x7fELF" },
  ]);
  const asked: string[] = [];
  const exists = (path: string): boolean => {
    asked.push(path);
    return path === "/a" || path === "/b";
  };
  assert.deepEqual(await finishPrefix(folder, { sbang: SBANG, exists }), { shebangs: [], rpaths: ["a"] });
  const expected = makeElf({ rpath: "/a:$ORIGIN/x:/gone:relative::/b/gone:/b", tag: 29 }).bytes;
  const at = expected.indexOf("/a:$");
  expected.fill(0, at, at + 39).write("/a:$ORIGIN/x:/b", at);
  assert.ok(readFileSync(join(folder, "a")).equals(expected));
  assert.deepEqual(asked, ["/a", "/gone", "/b/gone", "/b", "/a", "/b"]);
});

test("what Spack built is finished already, wherever it goes", async () => {
  for (const [layout, root] of [
    ["spack-1.2/plain.oci", "/opt/q/st"],
    ["spack-1.2/padded.oci", "/opt/quayside/unpadded"],
  ] as const)
    for await (const archive of archives(layout)) {
      await relocate(archive, root);
      const report = await finishPrefix(archive.directory, { sbang: `${root}/bin/sbang`, exists: () => true });
      assert.deepEqual(report, { shebangs: [], rpaths: [] }, archive.node.name);
    }
});

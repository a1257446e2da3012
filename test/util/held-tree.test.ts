// Proves that nothing in an untrusted folder leads out of it, for reading, writing or removal, even if it changes
// meanwhile.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { HeldTree } from "../../lib/util/held-tree.ts";
import { failsWith } from "../support/errors.ts";
import { makeTree, temporaryFolder } from "../support/tree.ts";

interface Given {
  folder: string;
  outside: string;
  tree: HeldTree;
}

function given(): Given {
  const [folder, outside] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(outside, "victim"), "untouched");
  makeTree(folder, [
    { type: "file", path: "real/file", content: "text" },
    { type: "symlink", path: "real/link", target: join(outside, "victim") },
    { type: "symlink", path: "real/dangling", target: join(outside, "new") },
    { type: "symlink", path: "out", target: outside },
    { type: "dir", path: "real/folder" },
  ]);
  execFileSync("mkfifo", [join(folder, "real/fifo")]);
  return { folder, outside, tree: new HeldTree(folder) };
}

const attempt = async <T>(work: () => T): Promise<T> => work();

describe("what leads out is neither read nor written", () => {
  for (const path of [
    "real/link",
    "real/dangling",
    "real/fifo",
    "real/folder",
    "out/victim",
    "out/new",
    "real/file/x",
    "../x",
    "/etc/passwd",
    "",
    "real/./file",
    "real//file",
  ])
    test(JSON.stringify(path), async () => {
      const { folder, outside, tree } = given();
      await failsWith(
        "ARCHIVE_UNSAFE",
        attempt(() => tree.read(path, 100)),
      );
      await failsWith(
        "ARCHIVE_UNSAFE",
        attempt(() => tree.write(path, "bad")),
      );
      assert.equal(readFileSync(join(outside, "victim"), "utf8"), "untouched");
      assert.deepEqual(readdirSync(outside), ["victim"]);
      assert.deepEqual(readdirSync(join(folder, "real")).toSorted(), ["dangling", "fifo", "file", "folder", "link"]);
      tree[Symbol.dispose]();
    });

  test("a folder that is a link", async () => {
    const { outside, tree } = given();
    await failsWith(
      "ARCHIVE_UNSAFE",
      attempt(() => tree.makeFolder("out")),
    );
    await failsWith(
      "ARCHIVE_UNSAFE",
      attempt(() => tree.makeFolder("out/new")),
    );
    await failsWith(
      "ARCHIVE_UNSAFE",
      attempt(() => tree.entries("out")),
    );
    assert.deepEqual(readdirSync(outside), ["victim"]);
  });

  test("the mode of what a link leads to", async () => {
    const { outside, tree } = given();
    const { mode } = statSync(join(outside, "victim"));
    await failsWith(
      "ARCHIVE_UNSAFE",
      attempt(() => tree.chmod("real/link", 0o777)),
    );
    assert.equal(statSync(join(outside, "victim")).mode, mode);
  });
});

test("files, links and folders are made, replaced and read", () => {
  const { folder, tree } = given();
  tree.write("real/file", "new", 0o600);
  tree.makeFolder("real/made");
  tree.makeFolder("real/made");
  tree.write("real/made/text", "x".repeat(1000));
  tree.relink("real/link", Buffer.from("elsewhere"));
  assert.equal(readFileSync(join(folder, "real/file"), "utf8"), "new");
  assert.equal(statSync(join(folder, "real/file")).mode & 0o7777, 0o600);
  assert.equal(tree.read("real/made/text", 1000)?.length, 1000);
  assert.throws(() => tree.read("real/made/text", 999), { code: "TOO_LARGE" });
  assert.equal(tree.read("real/missing", 10), undefined);
  assert.equal(tree.read("missing/file", 10), undefined);
  assert.equal(readlinkSync(join(folder, "real/link")), "elsewhere");
});

test("a name that another file has keeps the old content", () => {
  const { folder, tree } = given();
  makeTree(folder, [{ type: "hardlink", path: "other", target: "real/file" }]);
  tree.write("other", "new");
  assert.equal(readFileSync(join(folder, "real/file"), "utf8"), "text");
});

test("more folders than are held open, as deep as a path can be", () => {
  const { folder, tree } = given();
  const deep = Array.from({ length: 300 }, (_, at) => Array.from({ length: at + 1 }, () => "d").join("/"));
  for (const path of deep) tree.makeFolder(path);
  for (const path of [...deep.slice(-20), ...deep.slice(0, 20)]) tree.write(`${path}/f`, "x");
  for (const path of deep.slice(-20)) assert.equal(tree.read(`${path}/f`, 1)?.toString(), "x");
  assert.ok(readdirSync("/proc/self/fd").length < 200);
  assert.ok(existsSync(join(folder, "d/f")));
});

test("a folder that is exchanged for a link while it is held leads nowhere else", { skip: noHandles() }, () => {
  const { folder, outside, tree } = given();
  tree.stats("real/file");
  const path = tree.at("real/victim");
  renameSync(join(folder, "real"), join(folder, "moved"));
  symlinkSync(outside, join(folder, "real"));
  writeFileSync(path, "bad");
  tree.write("real/victim", "bad");
  assert.equal(readFileSync(join(outside, "victim"), "utf8"), "untouched");
  assert.equal(readFileSync(join(folder, "moved/victim"), "utf8"), "bad");
});

test("the tree itself may be moved meanwhile", { skip: noHandles() }, () => {
  const { folder, tree } = given();
  renameSync(folder, `${folder}-moved`);
  mkdirSync(folder);
  tree.write("real/file", "new");
  assert.equal(readFileSync(`${folder}-moved/real/file`, "utf8"), "new");
  assert.deepEqual(readdirSync(folder), []);
});

test("what fails names the path and leaves nothing", async () => {
  const { folder, tree } = given();
  await failsWith(
    "NOT_FOUND",
    attempt(() => tree.write("missing/file", "x")),
    /missing\/file: ENOENT: no such file or directory$/,
  );
  await failsWith(
    "FILE_SYSTEM",
    attempt(() => tree.write(`real/${"x".repeat(300)}`, "x")),
    /ENAMETOOLONG/,
  );
  await failsWith(
    "NOT_FOUND",
    attempt(() => new HeldTree(join(folder, "missing"))),
  );
  await failsWith(
    "FILE_SYSTEM",
    attempt(() => new HeldTree(join(folder, "real/file"))),
  );
  chmodSync(join(folder, "real"), 0o755);
  assert.deepEqual(readdirSync(join(folder, "real")).length, 5);
});

function noHandles(): string | false {
  using tree = new HeldTree(temporaryFolder());
  return tree.isPinned ? false : "there is no /proc here";
}

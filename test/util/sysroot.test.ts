// Proves that paths below another root are found without leaving it, and that bounded reads work.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readBounded } from "../../lib/util/read-file.ts";
import { underSysroot } from "../../lib/util/sysroot.ts";

const root = mkdtempSync(join(tmpdir(), "stave-sysroot-"));
after(() => rmSync(root, { recursive: true, force: true }));
mkdirSync(join(root, "opt/store/a"), { recursive: true });
mkdirSync(join(root, "lib64"));
symlinkSync("/opt", join(root, "absolute"));
symlinkSync("../opt/store", join(root, "opt/relative"));
symlinkSync("../../../../../../etc", join(root, "escape"));
symlinkSync("/absolute/store", join(root, "chain"));
symlinkSync("loop", join(root, "loop"));
symlinkSync("/etc/passwd", join(root, "opt/passwd"));

const PATHS: { name: string; given: string; expect: string }[] = [
  { name: "a plain path", given: "/opt/store", expect: "opt/store" },
  { name: "dots and doubled slashes", given: "//opt/./store//a/..", expect: "opt/store" },
  { name: "what does not exist", given: "/opt/new/deep", expect: "opt/new/deep" },
  { name: "an absolute link", given: "/absolute/store", expect: "opt/store" },
  { name: "a relative link", given: "/opt/relative/a", expect: "opt/store/a" },
  { name: "a link to a link", given: "/chain/a", expect: "opt/store/a" },
  { name: "a link that climbs out", given: "/escape/passwd", expect: "etc/passwd" },
  { name: "a link to a file of the machine", given: "/opt/passwd", expect: "etc/passwd" },
  { name: "a path that climbs out", given: "/../../opt/../../../lib64", expect: "lib64" },
  { name: "the root", given: "/", expect: "" },
];
for (const { name, given, expect } of PATHS)
  test(`finds ${name} under another root`, () => {
    assert.equal(underSysroot(root, given), join(root, expect));
    assert.equal(underSysroot(undefined, given), given);
  });

test("a loop of links and a relative path are refused", () => {
  assert.throws(() => underSysroot(root, "/loop/x"), { code: "FILE_SYSTEM", message: /more than 40 symbolic links/ });
  assert.throws(() => underSysroot(root, "opt"), { code: "FILE_SYSTEM", message: /the path is relative/ });
});

test("a bounded file is read whole or not at all", async () => {
  const file = join(root, "file");
  writeFileSync(file, "hello");
  const { bytes, stamp } = await readBounded(file, 5);
  assert.equal(bytes.toString(), "hello");
  assert.equal((await readBounded(file, 5)).stamp, stamp);
  writeFileSync(file, "hallo!");
  assert.notEqual((await readBounded(file, 6)).stamp, stamp);
  await assert.rejects(readBounded(file, 5), { code: "TOO_LARGE", message: `${file} has 6 bytes, expected at most 5` });
  truncateSync(file, 2 ** 34);
  await assert.rejects(readBounded(file, 1000), { code: "TOO_LARGE" });
  await assert.rejects(readBounded(join(root, "absent"), 5), { code: "NOT_FOUND" });
  await assert.rejects(readBounded(root, 5), { code: "FILE_SYSTEM", message: /not a regular file/ });
});

const pipes = spawnSync("mkfifo", [join(root, "pipe")]).status === 0;
test("a pipe does not make it wait", { skip: pipes ? false : "mkfifo is absent" }, async () => {
  await assert.rejects(readBounded(join(root, "pipe"), 5), { code: "FILE_SYSTEM", message: /not a regular file/ });
});

// The files of a mirror in a folder: whole or not there, never outside it, and replaced only if they have not changed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { netrcLogin } from "../../lib/auth/netrc.ts";
import { FolderObjects } from "../../lib/objects/folder-objects.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { failsWith } from "../support/errors.ts";
import { temporaryFolder } from "../support/tree.ts";

const at = (folder: string): FolderObjects => new FolderObjects(folder, `file://${folder}`, systemClock);
const put = (to: FolderObjects, key: string, text: string): Promise<void> =>
  to.write(key, bytesSource(Buffer.from(text)), digestOf(text));

test("a file is replaced only if it is still the one that was read", async () => {
  const folder = temporaryFolder();
  const [one, two] = [at(folder), at(folder)];
  assert.equal(await one.replace("v3/index", Buffer.from("1"), undefined), true);
  await failsWith("CONFLICT", two.replace("v3/index", Buffer.from("2"), undefined), /changed by another process/);
  const token = (await two.read("v3/index", 9))?.token;
  assert.equal(await two.replace("v3/index", Buffer.from("2"), token), true);
  await failsWith("CONFLICT", one.replace("v3/index", Buffer.from("3"), token));
  assert.equal((await one.read("v3/index", 9))?.bytes.toString(), "2");
});

test("what does not arrive whole leaves nothing, and what a killed process left is removed", async () => {
  const folder = temporaryFolder();
  const objects = at(folder);
  const wrong = { size: 3, open: () => Readable.from([Buffer.from("abc")]) };
  await failsWith("DIGEST_MISMATCH", objects.write("blobs/x", wrong, digestOf("abd")));
  const broken = {
    size: 3,
    open: () =>
      Readable.from(
        (function* () {
          yield Buffer.from("a");
          throw new Error("lost");
        })(),
      ),
  };
  await failsWith("FILE_SYSTEM", objects.write("blobs/x", broken, digestOf("abc")), /lost/);
  assert.equal(existsSync(join(folder, "blobs/x")), false);
  assert.deepEqual(readdirSync(join(folder, ".tmp")), []);
  writeFileSync(join(folder, ".tmp/old"), "");
  utimesSync(join(folder, ".tmp/old"), 0, 0);
  writeFileSync(join(folder, ".tmp/new"), "");
  const next = at(folder);
  await put(next, "blobs/x", "abc");
  assert.deepEqual(readdirSync(join(folder, ".tmp")), ["new"]);
});

test("no key leads out of the folder, and a FIFO is no file", async () => {
  const folder = temporaryFolder();
  const objects = at(folder);
  for (const key of ["../x", "a/../../x", "/etc/passwd", "a//b", "."])
    await failsWith("CONTENT_INVALID", objects.read(key, 9), /not a name of a file/);
  mkdirSync(join(folder, "v3"));
  execFileSync("mkfifo", [join(folder, "v3/pipe")]);
  assert.equal(await objects.look("v3/pipe"), undefined);
  await failsWith("FILE_SYSTEM", objects.read("v3/pipe", 9), /not a regular file/);
  await failsWith("CONTENT_INVALID", objects.open("v3/pipe", { digest: digestOf(""), size: 0 }), /not a regular file/);
  assert.deepEqual(await Array.fromAsync(objects.list("v3/")), []);
  assert.deepEqual(await Array.fromAsync(objects.list("none/")), []);
});

const netrc = `# words
machine one.example login a password "b c"
macdef init
machine two.example login never password used

machine two.example
  password p\\"q
default login d password e`;
for (const [host, expect] of [
  ["one.example", { user: "a", password: "b c" }],
  ["ONE.example", { user: "a", password: "b c" }],
  ["two.example", { user: "", password: 'p"q' }],
  ["other.example", { user: "d", password: "e" }],
] as const)
  test(`the login for ${host} in a .netrc file is found`, () => {
    assert.deepEqual(netrcLogin(netrc, host), expect);
    assert.equal(netrcLogin("machine x login y", host), undefined);
  });

// The cache between runs removes its own oldest entries, and nothing else; one with an owner trusts only that user.
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "../support/tree.ts";

test("with an owner, entries that another user may have written are absent and not replaced", () => {
  const me = process.getuid?.() ?? 0;
  const folder = join(temporaryFolder(), "cache");
  const options = { folder, clock: systemClock };
  const cache = new DiskCache({ ...options, owner: me });
  cache.set("run", "key", Buffer.from("mine"));
  const [part = ""] = readdirSync(join(folder, "run"));
  const [name = ""] = readdirSync(join(folder, "run", part));
  const entry = join(folder, "run", part, name);
  const read = (): string | undefined => cache.get("run", "key")?.toString();
  assert.equal(read(), "mine");
  for (const path of [folder, join(folder, "run"), join(folder, "run", part), entry])
    for (const bits of [0o020, 0o002]) {
      const { mode } = statSync(path);
      chmodSync(path, mode | bits);
      assert.equal(read(), undefined, `${path} with ${bits.toString(8)}`);
      if (path !== entry) {
        assert.equal(cache.foreignFolder("run", "key"), path);
        cache.set("run", "key", Buffer.from("new"));
      }
      chmodSync(path, mode);
      assert.equal(read(), "mine");
    }
  // Root's entries count for all; another user's do not.
  if (me !== 0) assert.equal(new DiskCache({ ...options, owner: me + 1 }).get("run", "key"), undefined);
  else
    for (const path of [folder, join(folder, "run"), join(folder, "run", part), entry]) {
      chownSync(path, 1234, 1234);
      assert.equal(read(), undefined, path);
      chownSync(path, 0, 0);
    }
  renameSync(entry, `${entry}.real`);
  symlinkSync(`${entry}.real`, entry);
  assert.equal(read(), undefined);
  assert.equal(new DiskCache(options).get("run", "key")?.toString(), "mine");
});

test("what a link in the cache leads to stays when room is made", () => {
  const [folder, outside] = [temporaryFolder(), temporaryFolder()];
  mkdirSync(join(outside, "ab"));
  for (const name of ["old", "ab/old"]) {
    writeFileSync(join(outside, name), Buffer.alloc(1000));
    utimesSync(join(outside, name), 1, 1);
  }
  mkdirSync(join(folder, "other"));
  symlinkSync(outside, join(folder, "kind"));
  symlinkSync(outside, join(folder, "other/ab"));
  const cache = new DiskCache({ folder, clock: systemClock, limit: 1500 });
  for (let entry = 0; entry < 20; entry++) cache.set("own", `${entry}`, Buffer.alloc(1000));
  for (const name of ["old", "ab/old"]) assert.ok(existsSync(join(outside, name)), name);
  const own = readdirSync(join(folder, "own")).flatMap((part) => readdirSync(join(folder, "own", part)));
  assert.equal(own.length, 1);
});

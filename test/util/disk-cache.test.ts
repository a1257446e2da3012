// The cache between runs removes its own oldest entries, and nothing else.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "../support/tree.ts";

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

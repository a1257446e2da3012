// Proves that `stave find` prints what real Spack's `find` prints for the same store, line by line.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CACHE, skipShared, withSharedStore } from "../support/shared-store.ts";

// Few, because each starts Spack.
const CALLS = [
  [
    "--format",
    "{fullname}{@versions}{%compiler.name}{ arch=architecture}{variants} {target.family} {prefix.bin}{/hash:7}",
  ],
  ["-x", "-H"],
  ["-lpN", "--no-groups"],
  ["-X", "-L", "-p"],
];

const lines = (text: string): string[] =>
  text
    .split("\n")
    // Spack's header names the compilers of each language, and counts on stdout.
    .filter((line) => !/^(?:-- |==> )|^$/.test(line))
    .map((line) => line.trimEnd());

test("find prints what Spack's find prints", { skip: skipShared, timeout: 300_000 }, async () => {
  await withSharedStore(async ({ stave, spack }) => {
    await stave("install", CACHE, "fleet", "-o");
    for (const args of CALLS) {
      const theirs = lines(spack("find", ...args));
      assert.ok(theirs.length > 0, args.join(" "));
      assert.deepEqual(lines(await stave("find", ...args)), theirs, args.join(" "));
    }
  });
});

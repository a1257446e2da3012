// Proves that `stave find` prints what real Spack's `find` prints for the same store, line by line.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { installation, isOld, skip, spackScope } from "../support/spack.ts";

const CACHE = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const why = skip || (isOld && "the specs are of Spack 1");

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

test("find prints what Spack's find prints", { skip: why, timeout: 300_000 }, async () => {
  const work = mkdtempSync("/tmp/");
  try {
    const root = join(work, "s");
    const env = { HOME: work, XDG_CACHE_HOME: "", SPACK_ROOT: "" };
    const run = async (...args: string[]): Promise<string> => {
      const ran = await stave([...args, "--store", root, "--no-env"], { cwd: work, env });
      assert.equal(ran.status, 0, ran.stderr);
      return ran.stdout;
    };
    await run("install", CACHE, "fleet", "-o");
    const scope = spackScope(root);
    const spack = (args: readonly string[]): string => {
      const program = join(installation?.root ?? "", "bin/spack");
      const ran = spawnSync(program, ["-C", scope, "find", ...args], {
        encoding: "utf8",
        env: { ...process.env, HOME: work },
      });
      assert.equal(ran.status, 0, ran.stderr);
      return ran.stdout;
    };
    const lines = (text: string): string[] =>
      text
        .split("\n")
        // Spack's header names the compilers of each language, and counts on stdout.
        .filter((line) => !/^(?:-- |==> )|^$/.test(line))
        .map((line) => line.trimEnd());
    for (const args of CALLS) {
      const theirs = lines(spack(args));
      assert.ok(theirs.length > 0, args.join(" "));
      assert.deepEqual(lines(await run("find", ...args)), theirs, args.join(" "));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

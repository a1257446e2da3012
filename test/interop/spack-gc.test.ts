// Proves that `stave gc` plans to remove exactly what real Spack's `spack gc` then removes.
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

test("stave and Spack agree on what is not needed", { skip: why, timeout: 300_000 }, async () => {
  const work = mkdtempSync("/tmp/");
  try {
    const root = join(work, "s");
    const env = { HOME: work, XDG_CACHE_HOME: "", SPACK_ROOT: "" };
    const run = async (...args: string[]): Promise<string> => {
      const ran = await stave([...args, "--store", root, "--no-env"], { cwd: work, env });
      assert.equal(ran.status, 0, ran.stderr);
      return ran.stdout;
    };
    const scope = spackScope(root);
    const spack = (...args: string[]): void => {
      const program = join(installation?.root ?? "", "bin/spack");
      const ran = spawnSync(program, ["-C", scope, ...args], { encoding: "utf8", env: { ...process.env, HOME: work } });
      assert.equal(ran.status, 0, ran.stderr);
    };
    const hashes = (text: string): string[] =>
      JSON.parse(text)
        .report.specs.map(({ hash }: { hash: string }) => hash)
        .toSorted();
    await run("install", CACHE, "hull", "-o");
    // What `run` installs is not asked for.
    const ran = await stave(["run", CACHE, "fleet", "-o", "--store", root, "--no-env", "--", "voyage"], { env });
    assert.equal(ran.status, 0, ran.stderr);
    for (const flags of [["-b"], []]) {
      const before = hashes(await run("find", "--json"));
      const planned = hashes(await run("gc", "--plan", "--json", "--grace", "0s", "--keep-runs", "0s", ...flags));
      assert.ok(planned.length > 0);
      spack("gc", "-y", ...flags);
      const after = hashes(await run("find", "--json"));
      assert.deepEqual(
        planned,
        before.filter((hash) => !after.includes(hash)),
        flags.join(" "),
      );
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

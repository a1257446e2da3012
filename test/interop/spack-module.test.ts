// Proves that stave writes the modulefiles that real Spack writes for the same specs, but for the line with the date.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { installation, isOld, skip, spackScope } from "../support/spack.ts";

const CACHE = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const why = skip || (isOld && "the specs are of Spack 1");

/**
 * The modulefiles below a folder without dates, places and empty lines; and without what only the recipes of that Spack
 * know, which the prefixes have no copies of. Spack's `PREFIX/.` is PREFIX.
 */
function files(folder: string): Record<string, string[]> {
  const found = globSync("**/*", { cwd: folder }).filter((path) => statSync(join(folder, path)).isFile());
  return Object.fromEntries(
    found
      .filter((path) => !path.endsWith(".yaml"))
      .toSorted()
      .map((path) => {
        const lines = readFileSync(join(folder, path), "utf8")
          .replaceAll(folder, "ROOT")
          .replace(/\/\.(?=["}])/g, "")
          .split("\n");
        return [
          path,
          lines.filter(
            (line) =>
              !/^\s*$|^(?:##|--)$|Module file created by|[Cc]onfigure options|RIGGING_HOME|VOYAGE_MODE/.test(line),
          ),
        ];
      }),
  );
}

test("modulefiles are those of Spack", { skip: why, timeout: 300_000 }, async () => {
  const work = mkdtempSync("/tmp/");
  try {
    const root = join(work, "s");
    const env = { HOME: work, XDG_CACHE_HOME: "", SPACK_ROOT: "" };
    const run = async (...args: string[]): Promise<void> => {
      const ran = await stave([...args, "--store", root, "--no-env"], { cwd: work, env });
      assert.equal(ran.status, 0, ran.stderr);
    };
    await run("install", CACHE, "fleet", "-o");
    const roots = `roots: {tcl: ${work}/spack-tcl, lmod: ${work}/spack-lmod}`;
    const scope = spackScope(root, {
      "modules.yaml": `modules:\n  default:\n    enable: [tcl, lmod]\n    ${roots}\n    "lmod:": {core_compilers: [gcc@=12.2.0], hierarchy: [], all: {autoload: direct}}\n`,
    });
    for (const kind of ["tcl", "lmod"]) {
      const program = join(installation?.root ?? "", "bin/spack");
      const args = ["-C", scope, "module", kind, "refresh", "-y"];
      const ran = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, HOME: work } });
      assert.equal(ran.status, 0, ran.stderr);
      await run("module", kind, "fleet", "--output", join(work, `our-${kind}`));
      const theirs = files(join(work, `spack-${kind}`));
      const ours = files(join(work, `our-${kind}`));
      // Spack also writes one for the compiler, which is no dependency at run time.
      for (const path of Object.keys(theirs)) if (path.includes("gcc/")) delete theirs[path];
      assert.ok(Object.keys(ours).length >= 7);
      assert.deepEqual(ours, theirs, kind);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

// Proves that stave writes the modulefiles that real Spack writes for the same specs, but for the line with the date.
import assert from "node:assert/strict";
import { globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CACHE, skipShared, withSharedStore } from "../support/shared-store.ts";

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

const modules = (work: string): Record<string, string> => {
  const roots = `roots: {tcl: ${work}/spack-tcl, lmod: ${work}/spack-lmod}`;
  return {
    "modules.yaml": `modules:\n  default:\n    enable: [tcl, lmod]\n    ${roots}\n    "lmod:": {core_compilers: [gcc@=12.2.0], hierarchy: [], all: {autoload: direct}}\n`,
  };
};

test("modulefiles are those of Spack", { skip: skipShared, timeout: 300_000 }, async () => {
  await withSharedStore(async ({ work, stave, spack }) => {
    await stave("install", CACHE, "fleet", "-o");
    for (const kind of ["tcl", "lmod"]) {
      spack("module", kind, "refresh", "-y");
      await stave("module", kind, "fleet", "--output", join(work, `our-${kind}`));
      const theirs = files(join(work, `spack-${kind}`));
      const ours = files(join(work, `our-${kind}`));
      // Spack also writes one for the compiler, which is no dependency at run time.
      for (const path of Object.keys(theirs)) if (path.includes("gcc/")) delete theirs[path];
      assert.ok(Object.keys(ours).length >= 7);
      assert.deepEqual(ours, theirs, kind);
    }
  }, modules);
});

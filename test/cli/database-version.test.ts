// Proves that the database of a new store has the version of the Spack that will use it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { configTree, spackFiles } from "../support/config-tree.ts";
import { golden } from "../support/golden.ts";
import { temporaryFolder } from "../support/tree.ts";

const CACHES = { 4: `oci-layout:${golden("spack-0.23/plain.oci")}`, 5: `oci-layout:${golden("spack-1.2/plain.oci")}` };

for (const { name, format, spack, flags = [], version } of [
  { name: "8 without a Spack", format: 5, version: "8" },
  { name: "8 for Spack 1.2", format: 5, spack: "1.2.0", version: "8" },
  { name: "7 for Spack 0.23", format: 4, spack: "0.23.1", version: "7" },
  { name: "7 when it is asked for", format: 4, flags: ["--database-version", "7"], version: "7" },
  {
    name: "what is asked for comes before the Spack in use",
    format: 5,
    spack: "0.23.1",
    flags: ["--database-version", "8"],
    version: "8",
  },
  {
    name: "specs of format 5 into version 7 are refused",
    format: 5,
    flags: ["--database-version", "7"],
    version: undefined,
  },
] as const)
  test(name, async () => {
    const store = join(temporaryFolder(), "st");
    const env: Record<string, string> = { XDG_CACHE_HOME: temporaryFolder() };
    if (spack !== undefined) env["SPACK_ROOT"] = join(configTree(spackFiles("spack", spack)), "spack");
    const args = ["install", CACHES[format], "zlib-ish", "--store", store, "--otherarch", "--no-env", ...flags];
    const ran = await stave(args, { env });
    const index = join(store, ".spack-db/index.json");
    if (version === undefined) {
      assert.equal(ran.status, 6, ran.stderr);
      assert.match(ran.stderr, /spec format 5, but the database of .* has version 7[\s\S]*--database-version/);
      assert.equal(existsSync(index), false);
    } else {
      assert.equal(ran.status, 0, ran.stderr);
      assert.equal(JSON.parse(readFileSync(index, "utf8")).database.version, version);
    }
  });

// Proves that --dry-run and --plan are one flag of every verb that writes, and that nothing is written.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const { sysroot } = await goldenStore();
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];
// The short flag means something else to `index`, as in Spack.
const cases: { args: string[]; says: RegExp; hasShort?: boolean }[] = [
  { args: ["copy", `${cache}:index.spack`, "oci-layout:./to:x"], says: /1 manifest and 2 blobs to copy/ },
  { args: ["copy", "--all-tags", cache, "oci-layout:./to"], says: /10 manifests and \d+ blobs to copy/ },
  { args: ["view", "./view", "hull", ...store], says: /: \d+ links to \d packages, \d+ to make/ },
  { args: ["download", "/uwlohrq", "-p", "./down", "-m", cache], says: /would write these files, 5\.7 kB to download/ },
  {
    args: ["save-specfile", "--root-spec", "hull", "-s", "hull", "--specfile-dir", "./specs", ...store],
    says: /specs\/hull\.json/,
  },
  { args: ["push", "oci-layout:./to", "hull", ...store], says: /specs to pack/ },
  { args: ["install", cache, "hull", "--otherarch", "--store", "./store"], says: /specs to install/ },
  { args: ["uninstall", "fleet", ...store], says: /fleet/ },
  { args: ["index", cache], says: /up to date/, hasShort: false },
  { args: ["prune", cache], says: /would remove 0 specs/ },
  { args: ["web", cache, "-o", "./site"], says: /would write 8 specs of 8 packages to \.\/site \(\d+ files, / },
  { args: ["relocate", "./tree", "--from", "/opt/x", "--to", "/opt/y"], says: /would change 0 texts/ },
];
for (const { args, says, hasShort = true } of cases)
  test(`${args.slice(0, 2).join(" ").replace(cache, "CACHE")}`, async () => {
    const shown: string[] = [];
    for (const flag of ["--dry-run", "--plan", ...(hasShort ? ["-n"] : [])]) {
      const work = temporaryFolder();
      if (args[0] === "relocate") mkdirSync(join(work, "tree"));
      const env = { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" };
      const ran = await stave([...args, flag], { cwd: work, env });
      assert.equal(ran.status, 0, ran.stderr);
      assert.match(ran.stdout + ran.stderr, says);
      assert.deepEqual(readdirSync(work), args[0] === "relocate" ? ["tree"] : []);
      shown.push(ran.stdout.replaceAll(work, ""));
    }
    assert.deepEqual(new Set(shown).size, 1);
  });

// Proves what `stave sbom` prints of specs, environments and images, and its exit status.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { named } from "../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

const LICENSES = { fleet: "MIT", voyage: "GPL-2.0-or-later", hull: "MIT", paddle: "Zlib" };
let common: string[] = [];
before(async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  for (const [name, license] of Object.entries(LICENSES)) {
    const place = `.spack/repos/spack_repo/shipyard/packages/${name}/package.py`;
    const path = join(store.locate(store.prefixOf(named(store, name))), place);
    mkdirSync(dirname(path), { recursive: true });
    const lines = [`class ${name.charAt(0).toUpperCase()}${name.slice(1)}(Package):`, `    license("${license}")`];
    writeFileSync(path, `${lines.join("\n")}\n`);
  }
  common = ["--store", SPACK_1.root, "--sysroot", sysroot];
});

test("of a spec, in both formats; the same twice, and SOURCE_DATE_EPOCH is its time", async () => {
  const spdx = await stave(["sbom", "fleet", ...common, "--no-env"]);
  assert.equal(spdx.status, 0, spdx.stderr);
  const document = JSON.parse(spdx.stdout);
  assert.equal(document.spdxVersion, "SPDX-2.3");
  const license = (name: string) =>
    document.packages.find((one: { name: string }) => one.name === name).licenseDeclared;
  assert.deepEqual([license("paddle"), license("rigging")], ["Zlib", "NOASSERTION"]);
  assert.equal((await stave(["sbom", "fleet", ...common, "--no-env"])).stdout, spdx.stdout);
  const dated = await stave(["sbom", "fleet", "--format", "cyclonedx", ...common, "--no-env"], {
    env: { SOURCE_DATE_EPOCH: "1700000000" },
  });
  const { bomFormat, metadata } = JSON.parse(dated.stdout);
  assert.deepEqual([bomFormat, metadata.timestamp], ["CycloneDX", "2023-11-14T22:13:20Z"]);
  const wrong = await stave(["sbom", "fleet", ...common], { env: { SOURCE_DATE_EPOCH: "soon" } });
  assert.match(wrong.stderr, /SOURCE_DATE_EPOCH is "soon".*\[USAGE\]/);
});

test("of an environment: the table of licenses, and the status for unknown ones", async () => {
  const folder = temporaryFolder();
  copyFileSync(golden("spack-1.2/spack.lock"), join(folder, "spack.lock"));
  copyFileSync(golden("spack-1.2/spack.yaml"), join(folder, "spack.yaml"));
  const table = await stave(["sbom", "-e", folder, "--licenses", ...common]);
  assert.equal(table.status, 0, table.stderr);
  assert.match(table.stdout, /^MIT +2 +fleet@1\.0, hull@1\.10\.1 *$/m);
  assert.match(table.stdout, /^unknown +\d+ +.*rigging@2024\.11/m);
  const failing = await stave(["sbom", "-e", folder, "--licenses", "--fail-on-unknown-license", ...common]);
  assert.equal(failing.status, 1);
  assert.match(failing.stderr, /the license of rigging@2024\.11\/6jo3dkl is unknown: there is no copy of the recipe/);
  assert.doesNotMatch(failing.stderr, /hull@/);
  const known = await stave(["sbom", "/uwlohrq", "--fail-on-unknown-license", "--json", ...common, "--no-env"]);
  const { licenses, document } = JSON.parse(known.stdout).report;
  assert.equal(document.spdxVersion, "SPDX-2.3");
  assert.equal(licenses[0].license, "MIT");
});

test("of an image: from the spec files and recipes in its layers", async () => {
  const cwd = temporaryFolder();
  const env = { XDG_CACHE_HOME: join(cwd, "cache-home") };
  const pushed = await stave(
    ["push", "oci-layout:./cache", "fleet", "-t", "app", "--budget", "3", ...common, "--no-env"],
    { cwd, env },
  );
  assert.equal(pushed.status, 0, pushed.stderr);
  const ran = await stave(["sbom", "oci-layout:./cache:app"], { cwd, env });
  assert.equal(ran.status, 0, ran.stderr);
  const { packages, relationships } = JSON.parse(ran.stdout);
  assert.equal(packages[0].primaryPackagePurpose, "CONTAINER");
  const paddle = packages.find((one: { name: string }) => one.name === "paddle");
  assert.equal(paddle.licenseDeclared, "Zlib");
  assert.ok(relationships.some((one: Record<string, string>) => one["relationshipType"] === "CONTAINS"));
  const table = await stave(["sbom", "oci-layout:./cache:app", "--licenses"], { cwd, env });
  assert.match(table.stdout, /^GPL-2\.0-or-later +1 +voyage@0\.4\.2 *$/m);
  const other = await stave(["sbom", "oci-layout:./cache:index.spack"], { cwd, env });
  assert.notEqual(other.status, 0);
  const two = await stave(["sbom", "oci-layout:./cache:app", "fleet"], { cwd, env });
  assert.match(two.stderr, /one image or specs.*\[USAGE\]/);
});

test("attestations are refused without a signer, for a mirror and outside of CI, before anything is pushed", async () => {
  const cwd = temporaryFolder();
  const refuses = async (args: string[], says: RegExp): Promise<void> => {
    const env = { GITHUB_ACTIONS: "", GITLAB_CI: "" };
    const ran = await stave(["push", ...args, "fleet", ...common, "--no-env"], { cwd, env });
    assert.equal(ran.status, says.source.includes("UNSUPPORTED") ? 6 : 2, ran.stderr);
    assert.match(ran.stderr, says);
  };
  await refuses(["oci-layout:./cache", "--sbom", "spdx"], /need a signer.*\[USAGE\]/);
  await refuses(["oci-layout:./cache", "--provenance"], /need a signer.*\[USAGE\]/);
  await refuses(["oci-layout:./cache", "--provenance", "--sign", "x.key"], /no CI job.*\[USAGE\]/);
  await refuses(["oci-layout:./cache", "--sbom", "swid", "--sign", "x.key"], /spdx or cyclonedx/);
  await refuses([`file://${cwd}/mirror`, "--sbom", "spdx", "-u"], /specs of a mirror.*\[UNSUPPORTED\]/);
  assert.ok(!existsSync(join(cwd, "cache")) && !existsSync(join(cwd, "mirror")));
});

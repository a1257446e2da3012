// Proves that SPEC arguments are parsed with the toolchains and the host of the configuration that the flags select.
import assert from "node:assert/strict";
import { chmodSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SpackFiles, type SpackFlags } from "../../../lib/api/from-spack/spack-files.ts";
import { discoveryReport } from "../../../lib/spack/config/discovery-report.ts";
import { printQuery } from "../../../lib/spack/query/query.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { configTree, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";

const TOOLCHAINS = `toolchains:
  new:
  - {spec: '%c=gcc@12', when: '%c'}
  old: '%gcc@:11'
`;

function filesOf(tree: Record<string, string>): SpackFiles {
  const root = configTree(tree);
  const context = { env: { SPACK_SYSTEM_CONFIG_PATH: root }, home: root, cwd: root, clock: systemClock };
  return new SpackFiles(context, { env: false, scope: ["scope"] });
}

test("SPEC arguments may name toolchains of the configuration", async () => {
  const files = filesOf({ "scope/toolchains.yaml": TOOLCHAINS });
  const queries = await files.queries(["hull %new", "voyage ^hull %old"]);
  assert.deepEqual(queries.map(printQuery), ["hull %[when='%c'] c=gcc@12", "voyage ^hull %gcc@:11"]);
  await failsWith("SPEC_INVALID", () => files.queries(["hull %new ^"]), /at character 11/);
  const { toolchains } = discoveryReport(files.discovery);
  assert.deepEqual(
    toolchains.map(({ name, parts }) => [name, parts]),
    [
      ["new", [{ spec: "%c=gcc@12", when: "%c" }]],
      ["old", [{ spec: "%gcc@:11", when: null }]],
    ],
  );
  assert.match(toolchains[0]?.from ?? "", /scope\/toolchains\.yaml:3:3$/);
});

test("reserved words stand for this machine", async () => {
  const files = filesOf({ "scope/config.yaml": "config: {}\n" });
  const { host } = files.discovery.configuration.context;
  if (host.target === undefined) return;
  const [query] = await files.queries(["hull target=default_target"]);
  assert.deepEqual([query?.platform, query?.target], [host.platform, host.target]);
});

test("archives name the Spack that is known to own the store", () => {
  const root = configTree(spackFiles("spack", "1.2.0"));
  chmodSync(join(root, "spack/bin/spack"), 0o755);
  symlinkSync("spack", join(root, "link"));
  const prefix = (env: Record<string, string>, flags: SpackFlags): string | undefined => {
    const isolated = { SPACK_DISABLE_LOCAL_CONFIG: "1", ...env };
    return new SpackFiles({ env: isolated, home: root, cwd: root, clock: systemClock }, { env: false, ...flags })
      .spackPrefix;
  };
  const spack = join(root, "spack");
  const cases: [env: Record<string, string>, flags: SpackFlags, expected: string | undefined][] = [
    [{}, { store: "/x" }, undefined],
    [{ SPACK_ROOT: spack }, { store: "/x" }, spack],
    [{ SPACK_ROOT: join(root, "link") }, {}, spack],
    [{}, { spack, store: "/x" }, spack],
    [{ PATH: join(spack, "bin") }, {}, spack],
    [{ PATH: join(spack, "bin") }, { store: "/x" }, undefined],
  ];
  for (const [env, flags, expected] of cases) assert.equal(prefix(env, flags), expected, JSON.stringify([env, flags]));
});

// Proves that `stave config` shows the origin of everything, and no secret.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { discover } from "../../../lib/spack/config/discover.ts";
import { discoveryReport } from "../../../lib/spack/config/discovery-report.ts";
import { configTree, hostAt, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";

const FILES = {
  ...spackFiles("spack", "1.2.0.dev0"),
  "home/.spack/mirrors.yaml":
    "mirrors:\n  push-here:\n    url: oci://ghcr.io/o/c\n    access_pair: {id: me, secret_variable: GHCR_TOKEN}\n",
  "env/spack.yaml":
    "spack:\n  specs: [zlib]\n  view: false\n  config:\n    install_tree: {root: ../store}\n  include:\n  - https://example.org/x.yaml\n",
  "env/spack.lock": "{}",
  "extra/upstreams.yaml": "upstreams: {site: {install_tree: /site/store}}",
};

test("a whole installation, with an environment and a scope of -C", () => {
  const root = configTree(FILES);
  const host = hostAt(root, {
    SPACK_ROOT: join(root, "spack"),
    SPACK_ENV: join(root, "env"),
    SSL_CERT_FILE: "/ca.pem",
  });
  const report = discoveryReport(discover({ host, scopes: ["extra"] }));
  assert.deepEqual(report.spack, { root: `${root}/spack`, version: "1.2.0.dev0", from: "SPACK_ROOT" });
  assert.deepEqual(report.environment, {
    name: `${root}/env`,
    folder: `${root}/env`,
    manifest: `${root}/env/spack.yaml`,
    lock: `${root}/env/spack.lock`,
    unify: false,
    views: [],
  });
  assert.deepEqual(report.store, {
    root: `${root}/store`,
    unpaddedRoot: `${root}/store`,
    projections: [["all", "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}"]],
    hashLength: null,
    from: `${root}/env/spack.yaml:5:26`,
  });
  assert.deepEqual(report.mirrors, [
    {
      name: "push-here",
      binary: true,
      source: true,
      signed: false,
      autopush: false,
      fetch: { url: "oci://ghcr.io/o/c", access_pair: { id: "me", secret_variable: "GHCR_TOKEN" } },
      push: { url: "oci://ghcr.io/o/c", access_pair: { id: "me", secret_variable: "GHCR_TOKEN" } },
      from: `${root}/home/.spack/mirrors.yaml:3:5`,
      unsetVariables: ["GHCR_TOKEN"],
    },
    {
      name: "spack-public",
      binary: false,
      source: true,
      signed: true,
      autopush: false,
      fetch: { url: "https://mirror.example.org" },
      push: { url: "https://mirror.example.org" },
      from: `${root}/spack/etc/spack/defaults/base/mirrors.yaml:2:17`,
      unsetVariables: [],
    },
  ]);
  assert.deepEqual(report.upstreams, [
    { name: "site", root: "/site/store", from: `${root}/extra/upstreams.yaml:1:19` },
  ]);
  assert.deepEqual(report.connectTimeout, {
    value: 30,
    from: `${root}/spack/etc/spack/defaults/base/config.yaml:4:20`,
  });
  assert.deepEqual(report.locks, { isEnabled: true, databaseTimeout: 120, packageTimeout: null });
  assert.equal(report.environmentsRoot, `${root}/spack/var/spack/environments`);
  assert.deepEqual(report.notes, [
    { value: "the include is ignored: it is the URL https://example.org/x.yaml", from: `${root}/env/spack.yaml:7:5` },
  ]);
  assert.deepEqual(
    report.scopes.map(({ name, files }) => [name, files.map((file) => file.slice(root.length + 1)).sort()]),
    [
      ["cmd_scope_0", ["extra/upstreams.yaml"]],
      [`env:${root}/env`, ["env/spack.yaml"]],
      ["spack", ["spack/etc/spack/include.yaml"]],
      ["user", ["home/.spack/mirrors.yaml"]],
      ["site", []],
      ["system", []],
      ["defaults", ["spack/etc/spack/defaults/include.yaml"]],
      ["defaults:linux", []],
      ["defaults:base", ["spack/etc/spack/defaults/base/config.yaml", "spack/etc/spack/defaults/base/mirrors.yaml"]],
      ["_builtin", []],
    ],
  );
  JSON.stringify(report);
});

test("nothing at all", () => {
  const report = discoveryReport(discover({ host: hostAt(configTree({})) }));
  assert.deepEqual(
    [report.spack, report.environment, report.store, report.mirrors, report.notes],
    [null, null, null, [], []],
  );
  assert.deepEqual(
    report.scopes.map(({ name }) => name),
    ["user", "system", "_builtin"],
  );
  assert.deepEqual([report.connectTimeout?.from, report.connectTimeout?.value], ["built-in", 30]);
});

test("a store that is named is taken as it is, with the configured layout", () => {
  const root = configTree({
    "home/.spack/config.yaml":
      "config: {install_tree: {root: $spack/x, padded_length: 99, projections: {all: '{name}'}}}",
  });
  const at = (store: string | undefined, env: Record<string, string> = {}) =>
    discover({ host: hostAt(root, env), store }).store;
  const named = at("s/__spack_path_placeholder__/__spack_path_");
  assert.deepEqual(
    [named?.tree.root, named?.tree.unpaddedRoot, named?.from],
    [`${root}/s/__spack_path_placeholder__/__spack_path_`, `${root}/s`, "--store"],
  );
  assert.deepEqual(named?.tree.projections, [["all", "{name}"]]);
  assert.deepEqual(
    [at(undefined, { STAVE_STORE: "~/t" })?.tree.root, at(undefined, { STAVE_STORE: "~/t" })?.from],
    [`${root}/home/t`, "STAVE_STORE"],
  );
  assert.equal(at("/o", { STAVE_STORE: "/t" })?.tree.root, "/o");
});

test("an unresolvable root is an error only when the store is not named", async () => {
  const root = configTree({ "home/.spack/config.yaml": "config: {install_tree: {root: $spack/x}}" });
  const error = await failsWith("CONFIG_INVALID", () => discover({ host: hostAt(root) }), /without \$spack/);
  assert.equal(error.hint, "name the store with `store`");
});

test("an environment can be left out although SPACK_ENV is set", () => {
  const root = configTree({ ...FILES });
  const host = hostAt(root, { SPACK_ENV: join(root, "env") });
  assert.equal(discover({ host, environment: false }).environment, undefined);
  assert.equal(discover({ host }).environment?.contents?.specs[0], "zlib");
});

test("an environment with only a lock has no manifest", () => {
  const root = configTree({ "locked/spack.lock": "{}" });
  const found = discover({ host: hostAt(root), environment: "locked" }).environment;
  assert.deepEqual([found?.contents, found?.lock], [undefined, `${root}/locked/spack.lock`]);
});

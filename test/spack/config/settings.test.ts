// Proves that the settings stave uses are read, and that errors in them are reported.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { compatibleSystems } from "../../../lib/spack/config/compatible-systems.ts";
import { Configuration } from "../../../lib/spack/config/config.ts";
import type { Host } from "../../../lib/spack/config/machine.ts";
import {
  environmentsRoot,
  installTree,
  lockSettings,
  networkSettings,
  permissions,
  prefixInspections,
  upstreams,
} from "../../../lib/spack/config/settings.ts";
import { findInstallation } from "../../../lib/spack/config/spack-installation.ts";
import { paddedRoot, unpaddedRoot } from "../../../lib/spack/store/padding.ts";
import { configTree, hostAt, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";
import { vector } from "../../support/vectors.ts";

// A configuration of one user's files, with Spack of some version or without.
function userConfig(files: Record<string, string>, version?: string, env: Record<string, string> = {}) {
  const own = Object.fromEntries(Object.entries(files).map(([path, text]) => [`home/.spack/${path}`, text]));
  const root = configTree({ ...(version === undefined ? {} : spackFiles("spack", version)), ...own });
  const host = hostAt(root, { ...env, ...(version === undefined ? {} : { SPACK_ROOT: join(root, "spack") }) });
  return { root, config: new Configuration({ host, installation: findInstallation(undefined, host) }) };
}

test("padded roots are Spack's", () => {
  for (const [root, length, expect] of vector("padding", z.array(z.tuple([z.string(), z.int(), z.string()])))) {
    assert.equal(paddedRoot(root, length), expect);
    if (length > 20) assert.equal(unpaddedRoot(expect), root, expect);
  }
  assert.equal(paddedRoot("/opt/store", 10), "/opt/store");
  assert.equal(paddedRoot("/opt/store", 11), "/opt/store");
  for (const root of ["/opt/s", "/opt/_", "/opt/__", "/opt/__spack"]) assert.equal(unpaddedRoot(root), root);
});

const NEW = "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}";
const OLD = "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}";
const TREES: {
  name: string;
  config: string;
  version?: string;
  expect: { root: string; unpaddedRoot?: string; projections?: [string, string][]; hashLength?: number };
}[] = [
  {
    name: "Spack's own",
    config: "",
    version: "1.2.0",
    expect: { root: "ROOT/spack/opt/spack", projections: [["all", NEW]] },
  },
  {
    name: "that of 0.23",
    config: "",
    version: "0.23.0",
    expect: { root: "ROOT/spack/opt/spack", projections: [["all", OLD]] },
  },
  {
    name: "variables",
    config: "install_tree: {root: $user/$arch/~x}",
    expect: { root: "ROOT/home/.spack/ada/linux-debian12-zen3/~x" },
  },
  {
    name: "a relative root, from its file",
    config: "install_tree: {root: ../../store}",
    expect: { root: "ROOT/store" },
  },
  {
    name: "the old spelling",
    config: "install_tree: /a\n  install_path_scheme: '{name}'",
    expect: { root: "/a", projections: [["all", "{name}"]] },
  },
  {
    name: "projections in order, above those of Spack",
    config: "install_tree: {root: /a, projections: {zlib: '{name}', 10: x}}",
    expect: {
      root: "/a",
      projections: [
        ["zlib", "{name}"],
        ["10", "x"],
        ["all", NEW],
      ],
    },
  },
  {
    name: "padding",
    config: "install_tree: {root: /opt/s/, padded_length: 20}",
    expect: { root: "/opt/s/__spack_path_", unpaddedRoot: "/opt/s" },
  },
  {
    name: "padding of the oldest kind",
    config: "install_tree: '/opt/s$padding:20'",
    expect: { root: "/opt/s/__spack_path_", unpaddedRoot: "/opt/s" },
  },
  { name: "no padding", config: "install_tree: {root: /opt/s, padded_length: false}", expect: { root: "/opt/s" } },
  {
    name: "short hashes",
    config: "install_tree: {root: /a}\n  install_hash_length: 7",
    expect: { root: "/a", hashLength: 7 },
  },
];
for (const { name, config, version, expect } of TREES)
  test(`the install tree: ${name}`, () => {
    const { config: at, root } = userConfig({ "config.yaml": config === "" ? "" : `config:\n  ${config}\n` }, version);
    const tree = installTree(at) ?? assert.fail();
    const expected = expect.root.replace("ROOT", root);
    assert.equal(tree.root, expected);
    assert.equal(tree.unpaddedRoot, expect.unpaddedRoot ?? expected);
    assert.equal(tree.hashLength, expect.hashLength);
    if (expect.projections) assert.deepEqual(tree.projections, expect.projections);
  });

test("padding as long as the system allows", () => {
  const { config } = userConfig({ "config.yaml": "config: {install_tree: {root: /opt/s, padded_length: true}}" });
  assert.equal(installTree(config)?.root.length, 4096 - 300);
});

test("there is no install tree when nothing says where", () => {
  assert.equal(installTree(userConfig({}).config), undefined);
  assert.equal(environmentsRoot(userConfig({}).config), undefined);
});

const WRONG: { name: string; file?: string; text: string; message: RegExp }[] = [
  {
    name: "a variable nobody knows",
    text: "config: {install_tree: {root: $spack/opt}}",
    message: /config\.yaml:1:31: config:install_tree:root is .*, expected a path without \$spack/,
  },
  {
    name: "a URL as root",
    text: "config: {install_tree: {root: 's3://bucket'}}",
    message: /expected a path without a URL/,
  },
  {
    name: "a list as root",
    text: "config:\n  install_tree:\n    root: [a]",
    message: /config\.yaml:3:11: config:install_tree:root is a list: expected string/,
  },
  {
    name: "an absolute projection",
    text: "config: {install_tree: {root: /a, projections: {all: /x}}}",
    message: /projections:all is "\/x", expected a path below the root/,
  },
  {
    name: "a projection that climbs",
    text: "config: {install_tree: {root: /a, projections: {all: '{name}/../../x'}}}",
    message: /without "\.\."/,
  },
  {
    name: "a hash of no length",
    text: "config: {install_tree: {root: /a}, install_hash_length: 0}",
    message: /config:install_hash_length is 0: /,
  },
  {
    name: "a list as tree",
    text: "config: {install_tree: [a]}",
    message: /config:install_tree is a list, expected a mapping/,
  },
  {
    name: "a negative padding",
    text: "config: {install_tree: {root: /a, padded_length: -1}}",
    message: /padded_length is -1/,
  },
];
for (const { name, text, message } of WRONG)
  test(`an install tree is an error with file and key: ${name}`, async () => {
    await failsWith("CONFIG_INVALID", () => installTree(userConfig({ "config.yaml": text }).config), message);
  });

test("locks", async () => {
  const at = (text: string) => lockSettings(userConfig({ "config.yaml": text }).config);
  assert.deepEqual(at(""), { isEnabled: true, databaseTimeout: 60, packageTimeout: undefined });
  assert.deepEqual(at("config: {locks: false, db_lock_timeout: 3, package_lock_timeout: 4}"), {
    isEnabled: false,
    databaseTimeout: 3,
    packageTimeout: 4,
  });
  await failsWith(
    "CONFIG_INVALID",
    () => at("config: {db_lock_timeout: soon}"),
    /config:db_lock_timeout is "soon": expected number/,
  );
  await failsWith("CONFIG_INVALID", () => at("config: {locks: 'no'}"), /config:locks is "no": expected boolean/);
});

test("the network, and certificates only where they are an absolute path", () => {
  const at = (text: string, env = {}) => networkSettings(userConfig({ "config.yaml": text }, undefined, env).config);
  const plain = at("");
  assert.deepEqual([plain.connectTimeout?.value, plain.verifyTls?.value, plain.certificates], [30, true, undefined]);
  assert.equal(at("", { SSL_CERT_FILE: "/ca.pem" }).certificates?.value, "/ca.pem");
  assert.equal(at("config: {ssl_certs: relative.pem}").certificates, undefined);
  assert.match(at("config: {ssl_certs: ~/ca.pem}").certificates?.place.file ?? "", /home\/\.spack\/config\.yaml$/);
  assert.equal(at("config: {verify_ssl: false, connect_timeout: 0}").verifyTls?.value, false);
});

test("inspections: Spack's table, or the configured one in its order", async () => {
  const at = (text: string) =>
    prefixInspections(userConfig({ "modules.yaml": text }).config).map(({ folder, variables }) => [
      folder,
      ...variables,
    ]);
  assert.deepEqual(at(""), [
    ["bin", "PATH"],
    ["man", "MANPATH"],
    ["share/man", "MANPATH"],
    ["share/aclocal", "ACLOCAL_PATH"],
    ["lib/pkgconfig", "PKG_CONFIG_PATH"],
    ["lib64/pkgconfig", "PKG_CONFIG_PATH"],
    ["share/pkgconfig", "PKG_CONFIG_PATH"],
    ["", "CMAKE_PREFIX_PATH"],
  ]);
  assert.deepEqual(at("modules: {prefix_inspections: {./lib: [A, B], 2: [C], 1: []}}"), [
    ["./lib", "A", "B"],
    ["2", "C"],
    ["1"],
  ]);
  await failsWith(
    "CONFIG_INVALID",
    () => at("modules: {prefix_inspections: {lib: [A=B]}}"),
    /prefix_inspections:lib:0 is "A=B"/,
  );
  await failsWith(
    "CONFIG_INVALID",
    () => at("modules: {prefix_inspections: {lib: A}}"),
    /prefix_inspections:lib is "A": expected array/,
  );
});

test("upstreams in their order, relative to their file", async () => {
  const at = (text: string) => userConfig({ "upstreams.yaml": text });
  const { config, root } = at("upstreams:\n  b: {install_tree: ../up}\n  a: {install_tree: /a, modules: {tcl: /m}}\n");
  assert.deepEqual(
    upstreams(config).map(({ name, root: path }) => [name, path]),
    [
      ["b", `${root}/home/up`],
      ["a", "/a"],
    ],
  );
  await failsWith(
    "CONFIG_INVALID",
    () => upstreams(at("upstreams: {a: {}}").config),
    /upstreams:a:install_tree|upstreams:a/,
  );
});

test("permissions: a package's own before those of all", async () => {
  const text =
    "packages:\n  all: {permissions: {read: group, group: hpc}}\n  zlib: {permissions: {read: world, write: group, group: lib}}\n  bad: {permissions: {write: world}}\n";
  const { config } = userConfig({ "packages.yaml": text });
  assert.deepEqual(permissions(config, "zlib"), { read: "world", write: "group", group: "lib", allowSetgid: true });
  assert.deepEqual(permissions(config, "hdf5"), { read: "group", write: "user", group: "hpc", allowSetgid: true });
  await failsWith(
    "CONFIG_INVALID",
    () => permissions(config, "bad"),
    /packages\.yaml:4:\d+: packages:bad:permissions:write is world, expected at most the read permission, group/,
  );
  await failsWith(
    "CONFIG_INVALID",
    () => permissions(userConfig({ "packages.yaml": "packages: {all: {permissions: {read: all}}}" }).config, "x"),
    /packages:all:permissions:read is "all"/,
  );
  assert.deepEqual(permissions(userConfig({}).config, "__proto__"), {
    read: "world",
    write: "user",
    group: undefined,
    allowSetgid: true,
  });
});

test("operating systems whose binaries the host runs: those of macOS, and the configured ones, at any distance", async () => {
  const systems = (host: Partial<Host>, text: string): string[] => {
    const root = configTree({ "home/.spack/concretizer.yaml": text });
    return compatibleSystems(new Configuration({ host: hostAt(root, {}, host), installation: undefined }));
  };
  assert.deepEqual(systems({}, ""), []);
  assert.deepEqual(systems({ os: undefined }, ""), []);
  assert.deepEqual(systems({ platform: "darwin", os: "ventura" }, ""), ["monterey", "bigsur", "catalina"]);
  const text =
    "concretizer:\n  os_compatible: {debian12: [debian11], debian11: [debian10, debian12], rhel9: [rhel8]}\n";
  assert.deepEqual(systems({}, text), ["debian11", "debian10"]);
  await failsWith(
    "CONFIG_INVALID",
    () => systems({}, "concretizer:\n  os_compatible: {debian12: debian11}\n"),
    /debian12/,
  );
});

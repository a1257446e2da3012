// Proves that environments are found by name or folder and their manifests, definitions and views are read.
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Configuration } from "../../../lib/spack/config/config.ts";
import { findInstallation } from "../../../lib/spack/config/spack-installation.ts";
import {
  definitions,
  findCustomScope,
  findEnvironment,
  readManifest,
  unify,
  views,
} from "../../../lib/spack/config/spack-yaml.ts";
import { configTree, hostAt, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";
import { golden } from "../../support/golden.ts";

const tree = () =>
  configTree({
    ...spackFiles("spack", "1.2.0"),
    "spack/var/spack/environments/dev/spack.yaml": "spack: {specs: [zlib]}",
    "spack/var/spack/environments/team/dev/spack.yaml": "spack: {}",
    "here/spack.yaml": "spack: {}",
    "here/spack.lock": "{}",
    "locked/spack.lock": "{}",
    "dev/spack.yaml": "spack: {}",
    "empty/x": "",
  });
const options = (root: string, env: Record<string, string> = {}) => {
  const host = hostAt(root, { SPACK_ROOT: join(root, "spack"), ...env });
  return { host, installation: findInstallation(undefined, host) };
};

const FOUND: {
  name: string;
  named?: string;
  env?: Record<string, string>;
  expect: string;
  folder: string;
  lock?: boolean;
}[] = [
  { name: "a name", named: "dev", expect: "dev", folder: "spack/var/spack/environments/dev" },
  {
    name: "a name with folders",
    named: "team/dev",
    expect: "team/dev",
    folder: "spack/var/spack/environments/team/dev",
  },
  { name: "a folder of the same name", named: "./dev", expect: "ROOT/dev", folder: "dev" },
  { name: "a folder", named: "here", expect: "ROOT/here", folder: "here", lock: true },
  { name: "a folder with only a lock", named: "locked", expect: "ROOT/locked", folder: "locked", lock: true },
  { name: "SPACK_ENV", env: { SPACK_ENV: "here" }, expect: "ROOT/here", folder: "here", lock: true },
  {
    name: "a named one by its folder",
    env: { SPACK_ENV: "spack/var/spack/environments/dev" },
    expect: "dev",
    folder: "spack/var/spack/environments/dev",
  },
];
for (const { name, named, env, expect, folder, lock = false } of FOUND)
  test(`an environment is found by ${name}`, () => {
    const root = tree();
    const found = findEnvironment(named, options(root, env));
    assert.equal(found?.name, expect.replace("ROOT", root));
    assert.equal(found?.folder, join(root, folder));
    assert.equal(found?.lock !== undefined, lock);
    assert.equal(found?.manifest === undefined, named === "locked");
  });

test("a folder that a named environment is a link to goes by that name", () => {
  const root = tree();
  symlinkSync(join(root, "here"), join(root, "spack/var/spack/environments/here"));
  assert.equal(findEnvironment("./here", options(root))?.name, "here");
});

test("no environment is none, and a wrong one is an error", async () => {
  const root = tree();
  assert.equal(findEnvironment(undefined, options(root)), undefined);
  assert.equal(findEnvironment(undefined, options(root, { SPACK_ENV: "" })), undefined);
  await failsWith(
    "CONFIG_INVALID",
    () => findEnvironment("empty", options(root)),
    /empty: it is not an environment: it has neither spack\.yaml nor spack\.lock/,
  );
  await failsWith(
    "CONFIG_INVALID",
    () => findEnvironment("gone\u001b[31m", options(root)),
    /^[\x20-\x7e]*there is no environment or folder of this name/,
  );
  await failsWith(
    "CONFIG_INVALID",
    () => findEnvironment(undefined, options(root, { SPACK_ENV: "gone" })),
    /\$SPACK_ENV, .*gone,: there is no environment or folder of this name/,
  );
});

test("named environments are where environments_root says", () => {
  const root = tree();
  mkdirSync(join(root, "home/.spack"), { recursive: true });
  const at = options(root, { SPACK_USER_CONFIG_PATH: join(root, "conf") });
  assert.equal(findEnvironment("dev", at)?.folder, join(root, "spack/var/spack/environments/dev"));
  const moved = configTree({
    "conf/config.yaml": "config: {environments_root: ../envs}",
    "envs/dev/spack.yaml": "spack: {}",
  });
  const host = hostAt(moved, { SPACK_USER_CONFIG_PATH: join(moved, "conf") });
  assert.equal(findEnvironment("dev", { host })?.folder, join(moved, "envs/dev"));
});

test("a scope of -C is an environment by name, an environment's folder, or a folder", async () => {
  const root = tree();
  const at = options(root);
  assert.deepEqual(findCustomScope("team/dev", at), {
    environment: { name: "team/dev", manifest: join(root, "spack/var/spack/environments/team/dev/spack.yaml") },
  });
  assert.deepEqual(findCustomScope("here", at), {
    environment: { name: join(root, "here"), manifest: join(root, "here/spack.yaml") },
  });
  assert.deepEqual(findCustomScope("empty", at), { folder: join(root, "empty") });
  await failsWith(
    "CONFIG_INVALID",
    () => findCustomScope("gone", at),
    /gone: it is neither a folder nor an environment/,
  );
});

// The configuration and manifest of one spack.yaml.
function environment(text: string, more: Record<string, string> = {}) {
  const root = configTree({ "env/spack.yaml": text, ...more });
  const [folder, manifest] = [join(root, "env"), join(root, "env/spack.yaml")];
  const config = new Configuration({
    host: hostAt(root, { SITE: "s1" }),
    environment: { name: "e", folder, manifest },
  });
  return { root, folder, config, manifest: () => readManifest(manifest, config.context) };
}

test("specs, matrices and definitions stay as they are written", () => {
  const { manifest, config, root } = environment(
    `spack:
  definitions:
  - compilers: ['%gcc@12', '%clang']
  - packages: [zlib, {matrix: [[a], [b, c]]}]
    when: os == "debian12"
  specs:
  - hdf5@1.14: +mpi
  - $packages
  -
  - matrix:
    - [$packages]
    - [$^compilers]
    exclude: ['zlib%clang']
  include_concrete:
  - ../other
  - /abs/$SITE
`.replace("hdf5@1.14: +mpi", "'hdf5@1.14: +mpi'"),
  );
  assert.deepEqual(manifest().specs, [
    "hdf5@1.14: +mpi",
    "$packages",
    { matrix: [["$packages"], ["$^compilers"]], exclude: ["zlib%clang"] },
  ]);
  assert.deepEqual(manifest().includeConcrete, [`${root}/other`, "/abs/s1"]);
  assert.deepEqual(
    definitions(config).map(({ name, when, specs }) => ({ name, when, specs })),
    [
      { name: "compilers", when: undefined, specs: ["%gcc@12", "%clang"] },
      { name: "packages", when: 'os == "debian12"', specs: ["zlib", { matrix: [["a"], ["b", "c"]], exclude: [] }] },
    ],
  );
});

const VIEWS: { text: string; expect: [name: string, root: string, link?: string, linkType?: string][] }[] = [
  { text: "spack: {}", expect: [["default", "ROOT/env/.spack-env/view"]] },
  { text: "spack: {view: true}", expect: [["default", "ROOT/env/.spack-env/view"]] },
  { text: "spack: {view: false}", expect: [] },
  { text: "spack: {view: my/$SITE}", expect: [["default", "ROOT/env/my/s1"]] },
  {
    text: "spack: {view: {b: {root: /b, link: run, link_type: hard}, a: {root: a, link_type: relocate, select: [x], exclude: [y], projections: {z: '{name}', all: q}}, c: plain}}",
    expect: [
      ["b", "/b", "run", "hardlink"],
      ["a", "ROOT/env/a", "all", "copy"],
      ["c", "ROOT/env/plain"],
    ],
  },
];
for (const { text, expect } of VIEWS)
  test(`the views of ${text}`, () => {
    const { config, folder, root } = environment(text);
    const found = views(config, folder);
    assert.deepEqual(
      found.map(({ name, root: path, link, linkType }) => [name, path, link, linkType]),
      expect.map(([name, path, link = "all", linkType = "symlink"]) => [
        name,
        path.replace("ROOT", root),
        link,
        linkType,
      ]),
    );
    const [, a] = found;
    if (a)
      assert.deepEqual(
        [a.select, a.exclude, a.projections],
        [
          ["x"],
          ["y"],
          [
            ["z", "{name}"],
            ["all", "q"],
          ],
        ],
      );
  });

test("a view of an included file is relative to that file", () => {
  const { config, folder, root } = environment("spack: {include: [../conf/view.yaml]}", {
    "conf/view.yaml": "view: {v: {root: here}}",
  });
  assert.deepEqual(
    views(config, folder).map(({ root: path }) => path),
    [`${root}/conf/here`],
  );
});

test("unify", async () => {
  const at = (value: string) => unify(environment(`spack: {concretizer: {unify: ${value}}}`).config);
  assert.deepEqual([at("true"), at("when_possible"), at("~")], [true, "when_possible", false]);
  await failsWith("CONFIG_INVALID", () => at("maybe"), /concretizer:unify is "maybe"/);
});

const WRONG: { name: string; text: string; message: RegExp }[] = [
  {
    name: "an environments_root",
    text: "spack:\n  config:\n    environments_root: /x",
    message: /spack\.yaml:3:24: config:environments_root is set in an environment/,
  },
  {
    name: "specs that are no list",
    text: "spack: {specs: zlib}",
    message: /spack\.yaml:1:16: specs is "zlib": expected array/,
  },
  { name: "a spec that is a number", text: "spack: {specs: [5]}", message: /specs:0 is 5: / },
  {
    name: "a matrix that is no matrix",
    text: "spack: {specs: [{matrix: [a]}]}",
    message: /specs:0:matrix:0 is "a": expected array/,
  },
  { name: "nothing", text: "", message: /spack\.yaml: the environment's manifest does not exist or is empty/ },
  { name: "a list", text: "- spack", message: /the file contains a list/ },
];
for (const { name, text, message } of WRONG)
  test(`a manifest is an error with its place: ${name}`, async () => {
    const root = configTree({ "env/spack.yaml": text });
    await failsWith(
      "CONFIG_INVALID",
      () => readManifest(join(root, "env/spack.yaml"), { host: hostAt(root) }),
      message,
    );
  });

test("the manifests that real Spack wrote are read", () => {
  const read = (version: string) => readManifest(golden(`${version}/spack.yaml`), { host: hostAt("/") }).specs;
  assert.deepEqual(read("spack-1.2"), ["fleet", "hull@1.10.1 +shared finish=oak,tar"]);
  assert.deepEqual(read("spack-0.23"), ["fleet"]);
});

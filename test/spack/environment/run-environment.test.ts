// Proves that run environments match those in every image pushed by real Spack, except for what stave omits by default.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { defaultInspections } from "../../../lib/spack/config/settings.ts";
import {
  applyModifications,
  baseEnvironment,
  type EnvModification,
  envList,
  isSystemPath,
  normalPath,
} from "../../../lib/spack/environment/env-modifications.ts";
import {
  parseUserVariable,
  type RunEnvironmentOptions,
  runEnvironment,
} from "../../../lib/spack/environment/run-environment.ts";
import { GraphBuilder } from "../../../lib/spack/spec/graph.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import type { JsonObject, JsonValue } from "../../../lib/spack/text/json-value.ts";
import { failsWith } from "../../support/errors.ts";
import { golden, unpackGolden } from "../../support/golden.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";
import { mustEnd } from "../../support/must-end.ts";

// The folders of externals that the pushing host had.
const HOST = new Set(["/usr/share/man", "/usr/share/aclocal", "/usr/lib/pkgconfig", "/usr/share/pkgconfig"]);

interface Image {
  name: string;
  env: string[];
  spec?: unknown;
}

function layoutImages(folder: string): Image[] {
  const blob = (digest: string) =>
    JSON.parse(readFileSync(golden(`${folder}/blobs/sha256/${digest.slice(7)}`), "utf8"));
  const { manifests } = JSON.parse(readFileSync(golden(`${folder}/index.json`), "utf8"));
  return manifests.map((entry: { digest: string; annotations: Record<string, string> }) => {
    const { config, spec } = blob(blob(entry.digest).config.digest);
    return { name: entry.annotations["org.opencontainers.image.ref.name"] ?? "", env: config?.Env ?? [], spec };
  });
}
const fileImage = (path: string): Image => {
  const { config, spec } = JSON.parse(readFileSync(golden(path), "utf8"));
  return { name: path, env: config.Env, spec };
};
const NAMES = [
  "compiler-wrapper-1.1.0-dwhsw3c43p2aml57x432te6gu5p7u7i6",
  "fleet-1.0-xio7v2fyvs6ghjnhggnbioye2opoaqio",
  "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww",
  "paddle-3.1-kvupzkz7tzrush7ammmqq2gd47ej6rae",
  "voyage-0.4.2-wsit3bgjqj7o2lamnut6wy4vubp47m44",
  "zlib-ish-1.0-bq6hs5tg726utiqtvgzy5vcxpiqjnded",
];
const withBase = (folder: string) => [
  ...NAMES.map((name) => fileImage(`spack-1.2/${folder}/${name}.spack.config.json`)),
  { ...fileImage(`spack-1.2/${folder}/fleet-env.config.json`), name: "fleet-env" },
];
const baseEnv: string[] = JSON.parse(readFileSync(golden("spack-1.2/base-oci/config.json"), "utf8")).config.Env;

const GENERATIONS: {
  name: string;
  images: Image[];
  store: string;
  root: string;
  hostRoot: string;
  env: string[];
  base?: string[];
}[] = [
  {
    name: "1.2",
    images: layoutImages("spack-1.2/plain.oci"),
    store: "spack-1.2/store",
    root: "/opt/harbor/store",
    hostRoot: "store",
    env: ["fleet", "hull"],
  },
  {
    name: "1.2 on an OCI base image",
    images: withBase("ocibase"),
    store: "spack-1.2/store",
    root: "/opt/harbor/store",
    hostRoot: "store",
    env: ["fleet", "hull"],
    base: baseEnv,
  },
  {
    name: "1.2 on a Docker base image",
    images: withBase("dockerbase"),
    store: "spack-1.2/store",
    root: "/opt/harbor/store",
    hostRoot: "store",
    env: ["fleet", "hull"],
    base: baseEnv,
  },
  {
    name: "0.23",
    images: layoutImages("spack-0.23/plain.oci"),
    store: "spack-0.23/store",
    root: "/opt/harbor/store23",
    hostRoot: "store23",
    env: ["fleet"],
  },
];

// The roots of an image, and the options to compute its environment from the golden store.
async function given(generation: (typeof GENERATIONS)[number], image: Image): Promise<RunEnvironmentOptions> {
  const folder = join(await unpackGolden(generation.store), generation.hostRoot);
  const database = JSON.parse(readFileSync(join(folder, ".spack-db/index.json"), "utf8")).database.installs;
  const specOf = (document: unknown) => readSpecFile(Buffer.from(JSON.stringify({ spec: document })), image.name).root;
  const all = generation.images.flatMap(({ spec }) => (spec === undefined ? [] : [specOf(spec)]));
  const roots =
    image.spec === undefined
      ? generation.env.map((name) => all.find((node) => node.name === name) ?? assert.fail())
      : [specOf(image.spec)];
  return {
    roots,
    prefixOf: (node: SpecNode) => node.external?.path ?? database[node.hash]?.path,
    isDirectory: (path) =>
      HOST.has(path) ||
      (path.startsWith(`${generation.root}/`) &&
        (statSync(folder + path.slice(generation.root.length), { throwIfNoEntry: false })?.isDirectory() ?? false)),
    inspections: defaultInspections("linux"),
    base: generation.base,
  };
}

for (const generation of GENERATIONS)
  test(`with --spack-env it is that of every image of Spack ${generation.name}, but for what recipes set`, async () => {
    const images = generation.images.filter(({ env }) => env.length > 0);
    assert.ok(images.length >= 7);
    for (const image of images) {
      const env = runEnvironment({ ...(await given(generation, image)), spackEnv: true });
      const byRecipe = /^(?:RIGGING_|VOYAGE_MODE=)/;
      assert.deepEqual(
        envList(env),
        image.env.filter((entry) => !byRecipe.test(entry)),
        image.name,
      );
    }
  });

for (const generation of GENERATIONS)
  test(`by default it has no folder of the pushing host and no entry twice (Spack ${generation.name})`, async () => {
    for (const image of generation.images.filter(({ env }) => env.length > 0)) {
      const options = await given(generation, image);
      const env = runEnvironment(options);
      const exact = runEnvironment({ ...options, spackEnv: true });
      for (const [name, value] of exact) {
        const kept = [...new Set(value.split(":").filter((entry) => !HOST.has(entry)))].join(":");
        assert.equal(env.get(name) ?? "", kept, `${image.name} ${name}`);
      }
      assert.ok(![...env.values()].includes(""));
    }
  });

test("user variables are set last, and Spack can be asked instead of looking at the store", async () => {
  const [generation] = GENERATIONS;
  const image = generation?.images.find(({ name }) => name.startsWith("paddle"));
  assert.ok(generation && image);
  const options = await given(generation, image);
  const rigging =
    options.prefixOf(options.roots[0]?.edges.find(({ child }) => child.name === "rigging")?.child ?? assert.fail()) ??
    "";
  const asked: EnvModification[] = [
    { op: "set", name: "RIGGING_HOME", value: rigging },
    { op: "set", name: "MAN", value: "/usr/share/man" },
    { op: "prepend-path", name: "MANPATH", value: "/usr/share/man", separator: ":" },
    { op: "remove-path", name: "UNSET", value: "/x", separator: ":" },
  ];
  const user = ["LANG=C.UTF-8", "PATH+=/extra", "PATH^=/first", "RIGGING_HOME=mine"].map(parseUserVariable);
  assert.deepEqual(envList(runEnvironment({ ...options, asked, user })), [
    "PATH=/first:/bin:/usr/bin:/extra",
    "LANG=C.UTF-8",
    "RIGGING_HOME=mine",
  ]);
  assert.deepEqual(envList(runEnvironment({ ...options, asked, spackEnv: true })), [
    "PATH=/bin:/usr/bin",
    "MAN=/usr/share/man",
    "MANPATH=/usr/share/man",
    `RIGGING_HOME=${rigging}`,
    "UNSET=.",
  ]);
});

// An invented root that runs `tool` (an external at /opt/vendor) and `libc` (one at /usr), and links `dep`.
function withExternals(environment: JsonValue): RunEnvironmentOptions {
  const builder = new GraphBuilder();
  const place = { source: { name: "made-up.json" } };
  const external = (path: string, attributes: JsonObject) => ({
    external: { path, module: null, extra_attributes: attributes },
  });
  const root = fakeNode(
    "app",
    1,
    [2, 3, 4].map((at) => ({ name: ["tool", "libc", "dep"][at - 2] ?? "", at })),
  );
  const runs = (name: string, at: number) => ({
    name,
    hash: fakeHash(at),
    parameters: { deptypes: ["run"], virtuals: [] },
  });
  (root["dependencies"] as JsonObject[]).splice(0, 2, runs("tool", 2), runs("libc", 3));
  const nodes = [
    root,
    { ...fakeNode("tool", 2, []), ...external("/opt/vendor", { environment }) },
    { ...fakeNode("libc", 3, []), ...external("/usr", {}) },
    fakeNode("dep", 4, []),
  ];
  const [app] = nodes.map((node) => builder.add(node, 5, place));
  builder.build();
  return {
    roots: [app ?? assert.fail()],
    prefixOf: (node) => node.external?.path ?? `/opt/vendor/store/${node.name}`,
    isDirectory: () => true,
    inspections: [
      { folder: "./bin", variables: ["PATH"] },
      { folder: "share/man", variables: ["MANPATH"] },
      { folder: "./", variables: ["TOP", "ALSO"] },
      { folder: "/abs", variables: ["ABS"] },
    ],
  };
}
const ENVIRONMENT = {
  set: { HOST: "/opt/vendor/x", LEVEL: 3, LIST: "a:/usr/lib", OTHER: "/elsewhere" },
  prepend_path: { LD_PATH: "/opt/vendor/lib", EXTRA: "/elsewhere/lib" },
  append_path: { EXTRA: "/usr/share/x" },
  remove_path: { MANPATH: "/usr/share/man" },
  unset: ["LEVEL", "NOTHING"],
};

test("externals: Spack's text has their folders and variables, but never a system path", () => {
  const env = runEnvironment({ ...withExternals(ENVIRONMENT), spackEnv: true });
  const store = "/opt/vendor/store";
  assert.deepEqual(envList(env), [
    `PATH=${store}/app/bin64:${store}/app/bin:/opt/vendor/bin64:/opt/vendor/bin:${store}/app/bin:${store}/dep/bin:/opt/vendor/bin:/bin:/usr/bin`,
    "ABS=/abs:/abs:/abs:/abs",
    `ALSO=${store}/app:${store}/dep:/opt/vendor`,
    "EXTRA=/elsewhere/lib:/usr/share/x",
    "HOST=/opt/vendor/x",
    "LD_PATH=/opt/vendor/lib",
    "LIST=a:/usr/lib",
    `MANPATH=${store}/app/share/man:${store}/dep/share/man:/opt/vendor/share/man`,
    "OTHER=/elsewhere",
    `TOP=${store}/app:${store}/dep:/opt/vendor`,
  ]);
});

test("externals: by default nothing that lies in their prefixes, unless in a store below them", () => {
  const store = "/opt/vendor/store";
  assert.deepEqual(envList(runEnvironment(withExternals(ENVIRONMENT))), [
    `PATH=${store}/app/bin64:${store}/app/bin:${store}/dep/bin:/bin:/usr/bin`,
    "ABS=/abs",
    `ALSO=${store}/app:${store}/dep`,
    "EXTRA=/elsewhere/lib",
    `MANPATH=${store}/app/share/man:${store}/dep/share/man`,
    "OTHER=/elsewhere",
    `TOP=${store}/app:${store}/dep`,
  ]);
});

const DAMAGED: { name: string; environment: JsonValue; message: RegExp }[] = [
  {
    name: "a list",
    environment: [],
    message: /the external tool@1\.0\/\w{7} has an invalid extra attribute environment/,
  },
  { name: "an unknown command", environment: { explode: {} }, message: /environment:explode/ },
  {
    name: "__proto__ as command",
    environment: JSON.parse('{"__proto__": {"A": "b"}}'),
    message: /environment:__proto__/,
  },
  { name: "a list of values", environment: { set: ["A"] }, message: /environment:set/ },
  { name: "a value that is no text", environment: { set: { A: [1] } }, message: /environment:set:A/ },
  { name: "a NUL", environment: { set: { A: "a\0b" } }, message: /environment:set:A/ },
  { name: "a name to unset that is none", environment: { unset: [5, null] }, message: /environment:unset/ },
];
for (const { name, environment, message } of DAMAGED)
  test(`the environment of an external is an error that names it: ${name}`, async () => {
    await failsWith("SPEC_INVALID", () => runEnvironment(withExternals(environment)), message);
  });

const USER: [text: string, expect: EnvModification | undefined][] = [
  ["A=b", { op: "set", name: "A", value: "b" }],
  ["A=", { op: "set", name: "A", value: "" }],
  ["A=b=c\nd", { op: "set", name: "A", value: "b=c\nd" }],
  ["A+=/x", { op: "append-path", name: "A", value: "/x", separator: ":" }],
  ["A^=/x", { op: "prepend-path", name: "A", value: "/x", separator: ":" }],
  ["A+=", undefined],
  ["A", undefined],
  ["=b", undefined],
  ["", undefined],
  ["A=\0", undefined],
];
for (const [text, expect] of USER)
  test(`the variable ${JSON.stringify(text)} ${expect ? "is read" : "is a usage error"}`, async () => {
    if (expect) assert.deepEqual(parseUserVariable(text), expect);
    else await failsWith("USAGE", () => parseUserVariable(text), /expected NAME=VALUE/);
  });

const mods = (text: string): EnvModification[] =>
  text.split(", ").map((one) => {
    const [op = "", name = "", value = "", separator = ":"] = one.split(" ");
    return { op, name, value, separator } as EnvModification;
  });
// Compared with Spack 1.2 and 0.23, as 4000 random ones were.
const APPLIED: { name: string; base?: string[]; mods: string; expect: string[]; exact?: boolean }[] = [
  {
    name: "variables by name, modifications in sequence",
    mods: "set B 1, set A 1, set B 2",
    expect: ["PATH=/bin:/usr/bin", "A=1", "B=2"],
  },
  {
    name: "known variables keep their place",
    base: ["Z=1", "B=2"],
    mods: "set B 3, set A 1",
    expect: ["PATH=/bin:/usr/bin", "Z=1", "B=3", "A=1"],
  },
  {
    name: "the base image's PATH comes instead",
    base: ["PATH=/b", "X=a=b", "broken", "=x"],
    mods: "prepend-path PATH /a/",
    expect: ["PATH=/a:/b", "X=a=b"],
  },
  {
    name: "lists grow at both ends",
    mods: "append-path L /b, prepend-path L /a, append-path L /c/../d",
    expect: ["PATH=/bin:/usr/bin", "L=/a:/b:/d"],
  },
  { name: "a variable that is unset is gone", base: ["A=1"], mods: "unset A, unset B", expect: ["PATH=/bin:/usr/bin"] },
  {
    name: "unset and set again it comes at the end",
    base: ["A=1", "B=2"],
    mods: "unset A, set A 3",
    expect: ["PATH=/bin:/usr/bin", "B=2", "A=3"],
  },
  {
    name: "removing paths",
    base: ["L=/a:/b:/a/:/c:/a"],
    mods: "remove-path L /a",
    expect: ["PATH=/bin:/usr/bin", "L=/b:/a:/c"],
  },
  {
    name: "removing the first",
    base: ["L=/a:/b:/a"],
    mods: "remove-first-path L /a/",
    expect: ["PATH=/bin:/usr/bin", "L=/b:/a"],
  },
  {
    name: "removing the last",
    base: ["L=/a:/b:/a"],
    mods: "remove-last-path L /a/",
    expect: ["PATH=/bin:/usr/bin", "L=/a:/b"],
  },
  {
    name: "removing from nothing is nothing",
    mods: "remove-path L /a, remove-flags F x, prune-duplicate-paths P",
    expect: ["PATH=/bin:/usr/bin"],
  },
  {
    name: "which Spack writes as a dot",
    mods: "remove-path L /a, remove-flags F x",
    exact: true,
    expect: ["PATH=/bin:/usr/bin", "F=", "L=."],
  },
  {
    name: "flags",
    base: ["F=-a -b"],
    mods: "append-flags F -c  , remove-flags F -a  ",
    expect: ["PATH=/bin:/usr/bin", "F=-b -c"],
  },
  { name: "other separators", base: ["L=a;b"], mods: "append-path L c ;", expect: ["PATH=/bin:/usr/bin", "L=a;b;c"] },
  {
    name: "duplicates and system paths",
    base: ["L=/usr/bin:/a:/a/:/b"],
    mods: "prune-duplicate-paths L, deprioritize-system-paths L",
    expect: ["PATH=/bin:/usr/bin", "L=/a:/b:/usr/bin"],
  },
];
for (const { name, base, mods: text, expect, exact } of APPLIED)
  test(`modifications: ${name}`, () => {
    const flags = mods(text).map((one) =>
      "separator" in one && one.op.endsWith("flags") ? { ...one, separator: " " } : one,
    );
    assert.deepEqual(envList(applyModifications(flags, baseEnvironment(base), exact)), expect);
  });

test("system paths and normal paths are Spack's", () => {
  for (const path of ["/", "/usr", "/usr/", "/usr/local", "/bin", "/usr/lib64/", "/usr/local/include", "/usr/share/.."])
    assert.ok(isSystemPath(path), path);
  for (const path of ["", "/opt", "/usr/share", "/usr/local/share", "/usr/lib/pkgconfig", "usr"])
    assert.ok(!isSystemPath(path), path);
  const rows = [
    ["", "."],
    ["/a/./b/../c/", "/a/c"],
    ["//a", "//a"],
    ["///a", "/a"],
    ["a//b", "a/b"],
    ["..", ".."],
    ["/..", "/"],
  ] as const;
  for (const [path, expect] of rows) assert.equal(normalPath(path), expect);
});

test("a list of 500 000 entries is made", () => {
  const many: EnvModification[] = Array.from({ length: 500_000 }, (_, at) => ({
    op: "prepend-path",
    name: "L",
    value: `/store/package-${at}`,
    separator: ":",
  }));
  const made = mustEnd(() => applyModifications(many, new Map()).get("L")) ?? "";
  assert.ok(made.startsWith("/store/package-499999:/store/package-499998:") && made.endsWith(":/store/package-0"));
});

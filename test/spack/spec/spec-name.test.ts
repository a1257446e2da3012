// Proves that names, formats and projections of specs are Spack's.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { readSpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import { formatPath, formatSpec, politeFileName } from "../../../lib/spack/spec/spec-format.ts";
import {
  goArchitectureOf,
  legacyStem,
  manifestFileName,
  specString,
  specTag,
} from "../../../lib/spack/spec/spec-name.ts";
import { preOrder } from "../../../lib/spack/spec/traversal.ts";
import { DEFAULT_LAYOUT, type Layout, projectedPath } from "../../../lib/spack/store/projection.ts";
import { vectors } from "../../support/golden.ts";

const nodes = new Map<string, SpecNode>();
for (const spec of Object.values(vectors<Record<string, never>>("concrete_specs")))
  for (const node of preOrder([readSpecDocument(spec, { name: "vectors" }).root])) nodes.set(node.hash, node);
const named = (name: string): SpecNode => {
  const found = [...nodes.values()].find((node) => node.name === name);
  assert.ok(found, name);
  return found;
};

interface Names {
  name: string;
  hash: string;
  format: string;
  default_tag: string;
  v3_manifest: string;
  v2_name: string;
  store_path: string;
  goarch: string;
}

test("every name of every node is Spack's", () => {
  const rows = vectors<Names[]>("spec_strings");
  assert.ok(rows.length > 50);
  for (const row of rows) {
    const node = nodes.get(row.hash);
    assert.ok(node, row.hash);
    assert.deepEqual(
      {
        name: node.name,
        hash: node.hash,
        format: specString(node),
        default_tag: specTag(node),
        v3_manifest: manifestFileName(node),
        v2_name: legacyStem(node),
        store_path: projectedPath(node, DEFAULT_LAYOUT),
        goarch: goArchitectureOf(node),
      },
      row,
    );
  }
});

test("file names are made polite as Spack does", () => {
  for (const [given, expected] of vectors<[string, string][]>("polite_filename"))
    assert.equal(politeFileName(given), expected);
});

const FORMATS: { given: string; expect: string }[] = [
  { given: "{name}{@version}{/hash:7}", expect: "hdf5@1.14.6/7juel3e" },
  { given: "{namespace}.{name}-{version}", expect: "builtin.hdf5-1.14.6" },
  { given: "{fullname} {versions}", expect: "builtin.hdf5 =1.14.6" },
  { given: "{^mpi.name}-{^mpi.version}", expect: "openmpi-5.0.9" },
  { given: "{^zlib-api.name}", expect: "zlib-ng" },
  { given: "{%compiler.name}{@compiler.version}", expect: "%gcc@12.2.0" },
  { given: "{compiler}", expect: "gcc@=12.2.0" },
  { given: "x{compilers}", expect: "x %c=gcc@12.2.0" },
  { given: "{variants.mpi} {variants.api} {variants.api.value}", expect: "+mpi api=default default" },
  { given: "{arch} {architecture.target.family} {target}", expect: "linux-debian12-icelake x86_64 icelake" },
  { given: "x{ target=architecture.target}", expect: "x target=icelake" },
  { given: "\\{{name}\\}", expect: "{hdf5}" },
  { given: "{NAME}", expect: "hdf5" },
];
for (const { given, expect } of FORMATS)
  test(`the format ${given} is filled`, () => {
    const node = named("hdf5");
    if (given.includes("^mpi")) assert.equal(formatSpec(node, given), `openmpi-${named("openmpi").version}`);
    else assert.equal(formatSpec(node, given), expect);
  });

const BAD_FORMATS = ["{name", "name}", "{}", "{nonsense}", "{^nobody.name}", "{variants.nothing}", "{name.__class__}"];
for (const given of BAD_FORMATS)
  test(`the format ${given} is refused`, () => {
    assert.throws(() => formatSpec(named("hdf5"), given), { code: "CONFIG_INVALID" });
  });

const PROJECTIONS: { name: string; layout: Partial<Layout> & Pick<Layout, "projections">; expect: string | RegExp }[] =
  [
    {
      name: "a flat one",
      layout: { projections: [["all", "{name}/{version}/{hash:7}"]] },
      expect: "hdf5/1.14.6/7juel3e",
    },
    {
      name: "upper case and doubled slashes",
      layout: { projections: [["all", "./{Name}//{HASH}"]] },
      expect: "hdf5/7juel3ef425xufe5eiggadwgmcde2mn7",
    },
    {
      name: "the first that matches",
      layout: {
        projections: [
          ["all", "all/{name}"],
          ["^mpi", "mpi/{name}-{^mpi.name}"],
          ["hdf5", "late/{name}"],
        ],
      },
      expect: "mpi/hdf5-openmpi",
    },
    {
      name: "a short hash",
      layout: { projections: [["all", "{name}-{hash}"]], hashLength: 5 },
      expect: "hdf5-7juel",
    },
    {
      name: "a short hash without a hash",
      layout: { projections: [["all", "{name}"]], hashLength: 5 },
      expect: /no "\{hash\}" to shorten/,
    },
    {
      name: "a way out",
      layout: { projections: [["all", "../{name}"]] },
      expect: /component is "\.\."/,
    },
    {
      name: "a hidden way out",
      layout: { projections: [["all", "a/.{namespace}./{name}"]] },
      expect: "a/.builtin./hdf5",
    },
    { name: "an absolute path", layout: { projections: [["all", "/opt/{name}"]] }, expect: /absolute/ },
    {
      name: "a slash in a field",
      layout: { projections: [["all", "{/hash}"]] },
      expect: /is not closed/,
    },
    { name: "nothing for all", layout: { projections: [["zlib", "{name}"]] }, expect: /no default/ },
  ];
for (const { name, layout, expect } of PROJECTIONS)
  test(`projection: ${name}`, () => {
    if (typeof expect === "string")
      assert.equal(
        projectedPath(named("hdf5"), { hashLength: undefined, ...layout }, (_node, query) => query.startsWith("^")),
        expect,
      );
    else
      assert.throws(
        () =>
          projectedPath(named("hdf5"), { hashLength: undefined, ...layout }, (_node, query) => query.startsWith("^")),
        { code: "CONFIG_INVALID", message: expect },
      );
  });

test("a version that is a path does not lead out of the store", () => {
  const node: SpecNode = { ...named("hdf5"), version: "..", namespace: undefined };
  assert.throws(() => formatPath(node, "{name}/{version}"), { code: "CONFIG_INVALID" });
  assert.equal(formatPath({ ...node, version: "git.a/../../b=1.0" }, "{name}/{version}"), "hdf5/git.a_.._.._b_1.0");
  assert.equal(formatPath(node, "{namespace}/{name}"), "hdf5");
});

test("flags and quoted values are written as a query writes them", () => {
  const node: SpecNode = {
    ...named("zlib-ng"),
    version: "git.main=1.2",
    flags: new Map([
      ["ldflags", ["-L/a b"]],
      ["cflags", ["-O2", "-g"]],
      ["fflags", []],
    ]),
    variants: new Map<string, boolean | string | string[]>([
      ["a", "it's"],
      ["b", true],
    ]),
  };
  assert.equal(
    specString(node),
    "zlib-ng@git.main=1.2 cflags='-O2 -g' ldflags='-L/a b' +b a=\"it's\" platform=linux os=debian12 target=icelake",
  );
});

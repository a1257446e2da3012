// Proves which variables the rules of recipe families give, and that nothing is set for folders that are not there.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { envList } from "../../../lib/spack/environment/env-modifications.ts";
import { extensionRules, packageRule } from "../../../lib/spack/environment/recipe-families.ts";
import { runEnvironment } from "../../../lib/spack/environment/run-environment.ts";
import { GraphBuilder } from "../../../lib/spack/spec/graph.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";

interface Made {
  readonly name: string;
  readonly version?: string;
  readonly parameters?: JsonObject;
  readonly needs?: readonly string[];
  readonly external?: boolean;
}

/** Nodes by name; each needs others of the list. */
function made(specs: readonly Made[]): Map<string, SpecNode> {
  const builder = new GraphBuilder();
  const nodes = specs.map(({ name, version = "1.0", parameters = {}, needs = [], external = false }, at) => {
    const children = needs.map((need) => ({ name: need, at: specs.findIndex((other) => other.name === need) }));
    const node: JsonObject = {
      ...fakeNode(name, at, children),
      version,
      parameters: { build_system: "generic", ...parameters },
      ...(external ? { external: { path: "/usr", module: null, extra_attributes: {} } } : {}),
    };
    return builder.add(node, 5, { source: { name: "made-up.json", code: "SPEC_INVALID" } });
  });
  builder.build();
  assert.equal(fakeHash(0), nodes[0]?.hash);
  return new Map(nodes.map((node) => [node.name, node]));
}

const PYTHON: Made[] = [
  { name: "python", version: "3.11.9" },
  { name: "python-venv", needs: ["python"] },
];

const ROWS: { name: string; specs: Made[]; of: string; folders: string[]; expect: string[] }[] = [
  {
    name: "an extension of python",
    specs: [...PYTHON, { name: "py-numpy", needs: ["python-venv", "python"] }],
    of: "py-numpy",
    folders: ["lib/python3.11/site-packages"],
    expect: ["prepend-path PYTHONPATH /s/py-numpy/lib/python3.11/site-packages"],
  },
  {
    name: "one that reaches python through python-venv only, with two folders",
    specs: [...PYTHON, { name: "gdb", needs: ["python-venv"] }],
    of: "gdb",
    folders: ["lib/python3.11/site-packages", "lib64/python3.11/site-packages"],
    expect: [
      "prepend-path PYTHONPATH /s/gdb/lib64/python3.11/site-packages",
      "prepend-path PYTHONPATH /s/gdb/lib/python3.11/site-packages",
    ],
  },
  {
    name: "python-venv itself",
    specs: PYTHON,
    of: "python-venv",
    folders: ["lib/python3.11/site-packages"],
    expect: ["prepend-path PYTHONPATH /s/python-venv/lib/python3.11/site-packages"],
  },
  {
    name: "not a program that only uses python",
    specs: [...PYTHON, { name: "meson", needs: ["python"] }],
    of: "meson",
    folders: ["lib/python3.11/site-packages"],
    expect: [],
  },
  {
    name: "a perl module",
    specs: [{ name: "perl-uri", parameters: { build_system: "perl" } }],
    of: "perl-uri",
    folders: ["lib/perl5"],
    expect: ["prepend-path PERL5LIB /s/perl-uri/lib/perl5"],
  },
  {
    name: "an R package",
    specs: [{ name: "r-mass", parameters: { build_system: "r" } }],
    of: "r-mass",
    folders: ["rlib/R/library"],
    expect: ["prepend-path R_LIBS /s/r-mass/rlib/R/library"],
  },
  {
    name: "R without LD_LIBRARY_PATH, which would reach the base's programs",
    specs: [{ name: "r" }],
    of: "r",
    folders: ["rlib/R", "rlib/pkgconfig", "rlib/R/lib"],
    expect: ["set R_HOME /s/r/rlib/R", "prepend-path PKG_CONFIG_PATH /s/r/rlib/pkgconfig"],
  },
  {
    name: "a gem",
    specs: [{ name: "ruby-rake", parameters: { build_system: "ruby" } }],
    of: "ruby-rake",
    folders: [],
    expect: ["prepend-path GEM_PATH /s/ruby-rake"],
  },
  {
    name: "a Lua module",
    specs: [
      { name: "lua", version: "5.4.6" },
      { name: "lua-lpeg", parameters: { build_system: "lua" }, needs: ["lua"] },
    ],
    of: "lua-lpeg",
    folders: ["share/lua/5.4", "lib/lua/5.4"],
    expect: [
      "prepend-path LUA_PATH /s/lua-lpeg/share/lua/5.4/?.lua ;",
      "prepend-path LUA_PATH /s/lua-lpeg/share/lua/5.4/?/init.lua ;",
      "prepend-path LUA_CPATH /s/lua-lpeg/lib/lua/5.4/?.so ;",
    ],
  },
  { name: "Java", specs: [{ name: "openjdk" }], of: "openjdk", folders: ["bin"], expect: ["set JAVA_HOME /s/openjdk"] },
  {
    name: "MPICH has no MPIFC",
    specs: [{ name: "mpich" }],
    of: "mpich",
    folders: ["bin"],
    expect: [
      "set MPICC /s/mpich/bin/mpicc",
      "set MPICXX /s/mpich/bin/mpicxx",
      "set MPIF77 /s/mpich/bin/mpif77",
      "set MPIF90 /s/mpich/bin/mpif90",
    ],
  },
  {
    name: "Open MPI since 1.7",
    specs: [{ name: "openmpi", version: "5.0.1" }],
    of: "openmpi",
    folders: ["bin"],
    expect: [
      "set MPICC /s/openmpi/bin/mpicc",
      "set MPICXX /s/openmpi/bin/mpic++",
      "set MPIF77 /s/openmpi/bin/mpif77",
      "set MPIF90 /s/openmpi/bin/mpif90",
      "set MPIFC /s/openmpi/bin/mpifort",
    ],
  },
  {
    name: "the compilers of gcc's languages",
    specs: [{ name: "gcc", parameters: { languages: ["c", "fortran"] } }],
    of: "gcc",
    folders: ["bin"],
    expect: ["set CC /s/gcc/bin/gcc", "set FC /s/gcc/bin/gfortran", "set F77 /s/gcc/bin/gfortran"],
  },
  {
    name: "nothing of an external",
    specs: [{ name: "gcc", parameters: { languages: ["c"] }, external: true }],
    of: "gcc",
    folders: ["bin"],
    expect: [],
  },
];

describe("variables by the rules of recipe families", () => {
  for (const { name, specs, of, folders, expect } of ROWS)
    test(name, () => {
      const node = made(specs).get(of) ?? assert.fail();
      const prefix = `/s/${of}`;
      const run = (there: readonly string[]): string[] => {
        const spec = { node, prefix, isDirectory: (path: string) => there.includes(path.slice(prefix.length + 1)) };
        const extensions = extensionRules(spec).flatMap(({ modifications }) => modifications);
        return [...extensions, ...(packageRule(spec) ?? [])].map((one) => {
          const separator = "separator" in one && one.separator !== ":" ? ` ${one.separator}` : "";
          return `${one.op} ${one.name} ${"value" in one ? one.value : ""}${separator}`;
        });
      };
      assert.deepEqual(run(folders), expect);
      if (folders.length > 0) assert.deepEqual(run([]), []);
    });
});

test("an image of python extensions has their folders in PYTHONPATH, once each", () => {
  const nodes = made([
    ...PYTHON,
    { name: "py-six", needs: ["python-venv", "python"] },
    { name: "py-dateutil", needs: ["py-six", "python-venv", "python"] },
  ]);
  const root = nodes.get("py-dateutil") ?? assert.fail();
  const env = envList(
    runEnvironment({
      roots: [root],
      prefixOf: ({ name }) => `/s/${name}`,
      isDirectory: (path) => path.endsWith("/lib/python3.11/site-packages"),
      inspections: [],
    }),
  );
  const [value = ""] = env.flatMap((entry) => /^PYTHONPATH=(.*)$/.exec(entry)?.[1] ?? []);
  const names = value.split(":").map((path) => path.split("/")[2]);
  assert.deepEqual(names.toSorted(), ["py-dateutil", "py-six", "python-venv"]);
  assert.ok(names.indexOf("py-dateutil") < names.indexOf("py-six"), "dependents first");
});

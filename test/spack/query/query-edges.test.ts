// Proves how repeated constraints on one dependency are merged, and what toolchains stand for. The rows were compared
// with Spack 1.2.
import assert from "node:assert/strict";
import { test } from "node:test";
import { discover } from "../../../lib/spack/config/discover.ts";
import type { Toolchains } from "../../../lib/spack/config/toolchains.ts";
import type { SpecQuery } from "../../../lib/spack/query/query.ts";
import { printQuery } from "../../../lib/spack/query/query.ts";
import { parseQueries, parseQuery } from "../../../lib/spack/query/spec-parser.ts";
import { configTree, hostAt, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";

// Edges in a fixed order: Spack sorts them differently.
function shown({ edges, ...node }: SpecQuery): string {
  const parts = edges.map((edge) => printQuery({ ...edge.child, ...NAMELESS, edges: [edge] })).toSorted();
  return [printQuery({ ...node, edges: [] }), ...parts].join(" ").replace(/^\* /, "");
}
const NAMELESS = parseQuery("*");

type Row = { given: string; expect: string | RegExp };

const MERGED: Row[] = [
  { given: "a ^foo target=x86_64: ^foo target=:haswell", expect: "a ^foo target=x86_64:haswell" },
  { given: "a ^foo target=x86_64:haswell ^foo target=:nehalem,zen2", expect: "a ^foo target=x86_64:nehalem" },
  {
    given: "a ^foo target=:haswell,:icelake ^foo target=x86_64:",
    expect: "a ^foo target=x86_64:haswell,x86_64:icelake",
  },
  { given: "a ^foo target=zen2 ^foo target=x86_64:", expect: "a ^foo target=zen2" },
  { given: "a ^foo target=x86_64: ^foo target=zen2", expect: "a ^foo target=zen2" },
  { given: "a ^foo target=zen2,haswell ^foo target=haswell,zen2", expect: "a ^foo target=zen2,haswell" },
  { given: "a ^foo target=haswell: ^foo target=:haswell", expect: "a ^foo target=haswell" },
  { given: "a ^foo target=x86_64_v2: ^foo target=nehalem:icelake", expect: "a ^foo target=nehalem:icelake" },
  { given: "a ^foo target=zen2 ^foo target=*", expect: "a ^foo target=zen2" },
  { given: "a ^foo target=* ^foo target=zen:", expect: "a ^foo target=zen:" },
  {
    given: "a ^foo target=:zen2 ^foo target=:haswell",
    expect: /at character 21: foo .* conflicting targets/,
  },
  { given: "a ^foo target=zen: ^foo target=haswell:", expect: /conflicting targets/ },
  { given: "a ^foo target=icelake: ^foo target=:haswell", expect: /conflicting targets/ },
  { given: "a ^foo target=x86_64: ^foo target=aarch64:", expect: /conflicting targets/ },
  { given: "a ^foo target=zen2 ^foo target=haswell", expect: /conflicting targets/ },
  { given: "a ^foo target=mine ^foo target=:mine", expect: "a ^foo target=mine" },
  { given: "a ^[deptypes=link] foo ^foo@1", expect: "a ^[deptypes=link]foo ^foo@1" },
  { given: "a ^[deptypes=link] foo ^[deptypes=link] foo@1", expect: "a ^[deptypes=link]foo@1" },
  { given: "a ^[deptypes=build] foo ^[deptypes=link] foo@1", expect: "a ^[deptypes=build]foo ^[deptypes=link]foo@1" },
  {
    given: "a ^[deptypes=link] foo ^[deptypes=run] foo@1",
    expect: /at character 24: foo is requested twice, with conflicting dependency types/,
  },
  { given: "a ^[deptypes=build] foo ^[deptypes=build,link] foo@1", expect: /conflicting dependency types/ },
  { given: "a ^[deptypes=link when=+x] foo ^[deptypes=run when=+x] foo", expect: /conflicting dependency types/ },
  {
    given: "a ^[deptypes=link when=+x] foo ^[deptypes=run] foo@1",
    expect: "a ^[deptypes=link when='+x']foo ^[deptypes=run]foo@1",
  },
  { given: "a ^[when=+x] foo@1 ^[when=+x] foo+b", expect: "a ^[when='+x']foo@1+b" },
  { given: "a ^[when=+x] foo@1 ^[when=+y] foo@2", expect: "a ^[when='+x']foo@1 ^[when='+y']foo@2" },
  { given: "a ^[virtuals=mpi] foo ^[virtuals=blas] foo@1", expect: "a ^mpi,blas=foo@1" },
  { given: "a %foo ^foo@1", expect: "a %foo@1" },
  { given: "a ^foo %foo@1", expect: "a ^foo %foo@1" },
  { given: "a ^foo cflags=-g ^foo cflags=-g", expect: "a ^foo cflags=-g" },
  { given: "a ^foo/abc ^foo/abcd", expect: "a ^foo /abcd" },
  { given: "a ^foo/abc ^foo/abd", expect: /conflicting hashes/ },
  { given: "a ^x.foo ^y.foo", expect: /conflicting namespaces/ },
  { given: "a ^foo os=* ^foo os=debian12", expect: /conflicting operating systems/ },
  { given: "a %oneapi@1 %intel-oneapi-compilers@2", expect: /conflicting versions/ },
];

const CONFIGURED = `toolchains:
  gcc12: "%gcc@12"
  mixed:
  - {spec: '%c=clang', when: '%c'}
  - {spec: '%cxx=clang', when: '%cxx'}
  - {spec: '%fortran=gcc', when: '%fortran'}
  - spec: cflags="-O3 -g"
  omp:
  - {spec: '%mpi=openmpi@4 +cuda', when: '%mpi'}
  nested: "%gcc12 %omp"
  loop: "%other"
  other: "%loop"
  caret: "^zlib"
  named: "hdf5 %gcc@12"
  conflict:
  - {spec: '%gcc@12', when: '%c'}
  - {spec: '%gcc@11', when: '%fortran'}
  both:
  - {spec: "%[when=+x] foo@1 %[when=+x] bar", when: platform=linux}
  build: "%[deptypes=build] gcc"
  nameless: "% +x"
  nothing: []
  node: "cflags=-O3 +shared target=:icelake"
  clang: "%gcc"
  broken: "%gcc@"
  two: "%gcc zlib"
  file: "./gcc.json"
  __proto__: "%proto"
`;

const EXPANDED: Row[] = [
  { given: "foo %gcc12", expect: "foo %gcc@12" },
  { given: "foo %%gcc12", expect: "foo %%gcc@12" },
  { given: "%gcc12", expect: "%gcc@12" },
  {
    given: "foo %mixed",
    expect: "foo cflags='-O3 -g' %[when='%c'] c=llvm %[when='%cxx'] cxx=llvm %[when='%fortran'] fortran=gcc",
  },
  { given: "foo %nested ^bar %gcc12", expect: "foo %[when='%mpi'] mpi=openmpi@4+cuda %gcc@12 ^bar %gcc@12" },
  { given: "foo+bar %gcc12 ^dep", expect: "foo+bar %gcc@12 ^dep" },
  { given: "foo %gcc12 %gcc@12.1:", expect: "foo %gcc@12.1:12" },
  { given: "foo %gcc@12.1 %gcc12", expect: "foo %gcc@12.1" },
  { given: "foo %gcc@11 %gcc12", expect: /at character 13: gcc is requested with conflicting versions/ },
  { given: "foo %c=gcc12", expect: "foo %c=gcc12" },
  { given: "foo %[when=+x] gcc12", expect: "foo %[when='+x']gcc12" },
  { given: "foo ^gcc12", expect: "foo ^gcc12" },
  { given: "hdf5 %named", expect: "hdf5 %gcc@12" },
  { given: "@1.2 %named", expect: "hdf5@1.2 %gcc@12" },
  { given: "foo %named", expect: /conflicting names/ },
  {
    given: "foo %conflict",
    expect: /the toolchain conflict \(.*toolchains\.yaml:16:3\) is wrong: gcc is requested with conflicting versions/,
  },
  { given: "foo %both", expect: "foo %[when='+x platform=linux']bar %[when='+x platform=linux']foo@1" },
  {
    given: "foo %[when=+x] foo@1.1 %both",
    expect: "foo %[when='+x platform=linux']bar %[when='+x platform=linux']foo@1 %[when='+x']foo@1.1",
  },
  { given: "foo %gcc %build", expect: "foo %[deptypes=build]gcc" },
  { given: "foo %[deptypes=link] gcc %build", expect: "foo %[deptypes=link,build]gcc" },
  { given: "foo ^[virtuals=c] gcc@12.3 %gcc12", expect: "foo ^c=gcc@12.3 %gcc@12" },
  { given: "foo %gcc@12.3 ^bar %gcc12 %gcc@12.4", expect: "foo %gcc@12.3 ^bar %gcc@12.4" },
  // Spack first compares the toolchain with potential build dependencies, whatever the conditions.
  {
    given: "foo %[deptypes=link] gcc@12 %[when='+y'] gcc@11 %gcc12",
    expect: /at character 49: gcc .* conflicting versions/,
  },
  {
    given: "foo %[deptypes=link when='+y'] gcc@11 %gcc@12 %gcc12",
    expect: "foo %[deptypes=link when='+y']gcc@11 %gcc@12",
  },
  {
    given: "foo %[deptypes=link] gcc %[deptypes=build] gcc %gcc12",
    expect: "foo %[deptypes=build]gcc %[deptypes=link]gcc@12",
  },
  { given: "foo %nothing", expect: "foo" },
  {
    given: "foo ^bar cflags=-g target=x86_64: %node",
    expect: "foo ^bar+shared cflags=-g cflags=-O3 target=x86_64:icelake",
  },
  { given: "foo~shared %node", expect: /conflicting values of shared/ },
  { given: "foo %clang", expect: "foo %gcc" },
  { given: "foo %[when='%clang'] bar", expect: "foo %[when='%gcc']bar" },
  {
    given: "foo %mixed %mixed %gcc12 %gcc12",
    expect: "foo cflags='-O3 -g' %[when='%c'] c=llvm %[when='%cxx'] cxx=llvm %[when='%fortran'] fortran=gcc %gcc@12",
  },
  { given: "foo %loop", expect: /it leads back to itself: loop, other, loop$/ },
  { given: "foo %caret", expect: /with \^, expected only %/ },
  { given: "foo %nameless", expect: /\+x has no name, expected one/ },
  {
    given: "foo %broken",
    expect: /the toolchain broken \(.*\) is wrong: the spec "%gcc@" is not valid at character 5/,
  },
  { given: "foo %file", expect: /it names the spec file \.\/gcc\.json/ },
  { given: "foo %two", expect: /a second spec begins here/ },
  { given: "foo %gcc12@3", expect: /at character 11: a second spec begins here/ },
  { given: "foo %__proto__", expect: "foo %proto" },
  { given: "foo %constructor", expect: "foo %constructor" },
];

function configured(text: string, version = "1.2.0"): Toolchains {
  const root = configTree({ ...spackFiles("spack", version), "scope/toolchains.yaml": text });
  return discover({ host: hostAt(root), spack: "spack", scopes: ["scope"], environment: false }).toolchains;
}
const known = configured(CONFIGURED);

for (const { given, expect } of [...MERGED, ...EXPANDED])
  test(`${given} is ${expect}`, async () => {
    const read = (): SpecQuery => parseQuery(given, { toolchains: known });
    if (typeof expect === "string") assert.equal(shown(read()), expect);
    else await failsWith("SPEC_INVALID", read, expect);
  });

test("what follows a toolchain is another spec", () => {
  const queries = parseQueries("foo %gcc12 +bar ^gcc12", { toolchains: known });
  assert.deepEqual(queries.map(printQuery), ["foo %gcc@12", "+bar ^gcc12"]);
});

test("a toolchain cannot grow without end", async () => {
  const names = (from: number): string => Array.from({ length: 600 }, (_, index) => `%a${from + index}`).join(" ");
  const chain = Array.from({ length: 20 }, (_, index) => `  t${index}: "%t${index + 1}"\n`).join("");
  const text = `toolchains:\n  one: "${names(0)}"\n  two: "${names(600)}"\n  all: "%one %two"\n${chain}`;
  const deep = { toolchains: configured(text) };
  await failsWith("SPEC_INVALID", () => parseQuery("%all", deep), /more than 1000 dependencies/);
  await failsWith("SPEC_INVALID", () => parseQuery("%t0", deep), /nested more than 16 deep/);
  const list = Array.from({ length: 400 }, (_, index) => `t${index}`).join(",");
  await failsWith("SPEC_INVALID", () => parseQuery(`^a target=${list} ^a target=:,${list}`), /too long/);
});

const SECTIONS: { name: string; text: string; expect: RegExp }[] = [
  {
    name: "no mapping",
    text: "toolchains: [a]\n",
    expect: /toolchains\.yaml:1:13: toolchains is a list, expected a mapping/,
  },
  { name: "a number", text: "toolchains: {a: 12}\n", expect: /:1:17: toolchains:a is 12/ },
  { name: "no spec", text: "toolchains:\n  a:\n  - when: '%c'\n", expect: /toolchains:a:0/ },
  { name: "a long spec", text: `toolchains: {a: "${"%".repeat(70_000)}"}\n`, expect: /toolchains:a is/ },
];
for (const { name, text, expect } of SECTIONS)
  test(`the section is wrong: ${name}`, async () => {
    await failsWith("CONFIG_INVALID", () => configured(text), expect);
  });

test("Spack before 1.0 has no toolchains", () => {
  assert.equal(configured(CONFIGURED, "0.23.1").size, 0);
});

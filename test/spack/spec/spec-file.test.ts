// Proves that spec files of every format are read, and malformed ones refused quickly.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { isStaveError } from "../../../lib/errors.ts";
import { BUILD, LINK, RUN } from "../../../lib/spack/spec/node.ts";
import { readSpecDocument, readSpecFile, type SpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import { specDocument, writeSpecFile } from "../../../lib/spack/spec/spec-writer.ts";
import { preOrder } from "../../../lib/spack/spec/traversal.ts";
import { parseJsonBytes, writeJson } from "../../../lib/spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../../lib/spack/text/json-value.ts";
import { Recurring } from "../../../lib/spack/text/recurring.ts";
import { unpackGolden } from "../../support/golden.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";

const STORES = [
  ["spack-1.2/store", 5, 8],
  ["spack-0.23/store", 4, 7],
  ["spack-1.2/installed-at-opt-q-st", 5, 7],
] as const;

for (const [name, format, count] of STORES)
  test(`reads every spec.json of ${name}`, async () => {
    const folder = await unpackGolden(name);
    const files = globSync("**/.spack/spec.json", { cwd: folder });
    assert.equal(files.length, count);
    for (const file of files) {
      const document = readSpecFile(readFileSync(join(folder, file)), file);
      assert.equal(document.format, format);
      assert.ok(file.includes(`${document.root.name}-${document.root.version}-${document.root.hash}`));
    }
  });

test("reads the fields of a node", async () => {
  const folder = await unpackGolden("spack-0.23/store");
  const [file = ""] = globSync("**/voyage-*/.spack/spec.json", { cwd: folder });
  const { root, graph } = readSpecFile(readFileSync(join(folder, file)), file);
  assert.deepEqual(root.compiler, { name: "gcc", version: "12.2.0" });
  assert.deepEqual([root.namespace, root.platform, root.os, root.target], ["shipyard", "linux", "debian12", "x86_64"]);
  const paddle = root.edges.find((edge) => edge.child.name === "paddle");
  assert.equal(paddle?.types, BUILD | LINK);
  assert.deepEqual(paddle?.virtuals, ["propulsion"]);
  assert.equal(root.edges.find((edge) => edge.child.name === "rigging")?.types, BUILD | RUN);
  const glibc = [...graph.nodes()].find((node) => node.name === "glibc");
  assert.deepEqual(glibc?.external, { path: "/usr", modules: [], extraAttributes: {} });
  assert.ok(glibc && graph.virtualsOf(glibc).has("libc"));
  assert.ok(writeJson(root.raw).startsWith('{"name":"voyage"'));
});

const read = (document: JsonValue) => readSpecFile(Buffer.from(JSON.stringify(document)), "spec.json");
const nodesOf = (format: number, ...nodes: JsonObject[]): JsonObject => ({
  spec: { _meta: { version: format }, nodes },
});

// The format of the oldest spec files, with build hashes in dependencies.
test("format 1 ties nodes together by name", () => {
  const node = (hash: number, build: number, dependencies: JsonObject): JsonObject => ({
    version: "1.10.5",
    arch: { platform: "linux", platform_os: "ubuntu20.04", target: { name: "skylake_avx512", parents: ["skylake"] } },
    compiler: { name: "gcc", version: "9.4.0" },
    namespace: "builtin",
    parameters: {
      mpi: true,
      shared: "False",
      fabrics: ["none", 70, true, null],
      api: "default",
      level: 3,
      nothing: null,
      cflags: [],
    },
    dependencies,
    hash: fakeHash(hash),
    build_hash: fakeHash(build),
  });
  const { root, graph, format } = read({
    spec: [{ hdf5: node(1, 11, { zlib: { hash: fakeHash(12), type: ["build", "link"] } }) }, { zlib: node(2, 12, {}) }],
  });
  assert.equal(format, 1);
  assert.deepEqual(
    [...graph.nodes()].map(({ name, hash }) => [name, hash]),
    [
      ["hdf5", fakeHash(1)],
      ["zlib", fakeHash(2)],
    ],
  );
  assert.deepEqual(Object.fromEntries(root.variants), {
    mpi: true,
    shared: false,
    fabrics: ["none", "70", "True", "None"],
    api: "default",
    level: "3",
    nothing: "None",
  });
  const [edge] = root.edges;
  assert.deepEqual([edge?.child.name, edge?.types, edge?.direct], ["zlib", BUILD | LINK, true]);
});

test("format 2 ties nodes together by the hash that its dependencies name", () => {
  const { dependencies: _none, hash: _hash, ...base } = fakeNode("zlib", 0, []);
  const dependencies = [{ name: "zlib", build_hash: fakeHash(12), type: ["run", "test"] }];
  const { root } = read(
    nodesOf(
      2,
      { ...base, name: "hdf5", dependencies, hash: fakeHash(1), full_hash: fakeHash(21), build_hash: fakeHash(11) },
      { ...base, hash: fakeHash(2), full_hash: fakeHash(22), build_hash: fakeHash(12) },
    ),
  );
  assert.deepEqual([root.hash, root.edges[0]?.child.hash, root.edges[0]?.types], [fakeHash(1), fakeHash(2), RUN | 8]);
});

test("what was built comes after the spec that was spliced from it, and each node once", () => {
  const spliced = (at: number, name: string, built: number, ...children: [string, number][]): JsonObject => ({
    ...fakeNode(
      name,
      at,
      children.map(([child, number]) => ({ name: child, at: number })),
    ),
    build_spec: { name, hash: fakeHash(built) },
  });
  const document = nodesOf(
    5,
    spliced(1, "top", 4, ["mid", 2]),
    fakeNode("top", 4, [
      { name: "base", at: 3 },
      { name: "mid", at: 5 },
    ]),
    fakeNode("base", 3, []),
    spliced(5, "mid", 6),
    fakeNode("mid", 6, [{ name: "base", at: 3 }]),
    fakeNode("mid", 2, []),
  );
  const { root, graph } = read(document);
  assert.deepEqual(
    preOrder([root]).map(({ name, hash }) => [name, hash]),
    [
      ["top", fakeHash(1)],
      ["mid", fakeHash(2)],
    ],
  );
  assert.equal(writeSpecFile(root, graph), JSON.stringify(document));
});

test("a node of an old format is converted with its externals and flags", () => {
  const { annotations: _new, ...base } = fakeNode("mpich", 1, []);
  const { root, graph } = read(
    nodesOf(3, {
      ...base,
      version: "git.main=4.1",
      compiler: { name: "gcc", version: "12" },
      external: { path: "None", module: ["b", "a"], extra_attributes: { z: 1, a: { d: [], c: null } } },
      parameters: { slurm: "TRUE", netmod: ["ofi", "a"], build_system: "autotools", cflags: ["-O2"] },
      dependencies: [],
      patches: ["ff"],
    }),
  );
  assert.equal(
    JSON.stringify(specDocument(root, graph)),
    `{"_meta":{"version":5},"nodes":[{"name":"mpich","version":"git.main=4.1","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64"},"namespace":"made","parameters":{"build_system":"autotools","netmod":["a","ofi"],"slurm":true,"cflags":["-O2"]},"external":{"path":null,"module":["b","a"],"extra_attributes":{"a":{"c":null,"d":[]},"z":1}},"patches":["ff"],"annotations":{"original_specfile_version":3,"compiler":"gcc@=12"},"hash":"${fakeHash(1)}"}]}`,
  );
});

const one = fakeNode("top", 1, []);
const BAD: { name: string; given: JsonValue; message: RegExp }[] = [
  { name: "a list", given: [], message: /^spec\.json is not valid: the document is a list, expected an object$/ },
  { name: "no spec", given: {}, message: /^spec\.json is not valid: spec is missing, expected an object$/ },
  {
    name: "no version",
    given: { spec: { _meta: {}, nodes: [] } },
    message: /spec\._meta\.version is missing, expected a spec format from 2 to 5/,
  },
  {
    name: "a newer version",
    given: nodesOf(6, one),
    message: /spec\._meta\.version is the number 6, expected a spec format from 2 to 5/,
  },
  { name: "a version in between", given: nodesOf(4.5, one), message: /is the number 4\.5/ },
  { name: "no nodes", given: nodesOf(5), message: /spec\.nodes is empty/ },
  { name: "no nodes in format 1", given: { spec: [] }, message: /spec is empty/ },
  {
    name: "a node that is text",
    given: { spec: { _meta: { version: 5 }, nodes: ["x"] } },
    message: /spec\.nodes\.0\.node is the string "x", expected an object/,
  },
  { name: "no name", given: nodesOf(5, {}), message: /spec\.nodes\.0\.name is missing, expected a string/ },
  {
    name: "a name that is a path",
    given: nodesOf(5, { ...one, name: "../../etc" }),
    message: /nodes\.0\.name is the string "\.\.\/\.\.\/etc", expected a package name/,
  },
  {
    name: "a name that is a lie to terminals",
    given: nodesOf(5, { ...one, name: "a\u001b[2J" }),
    message: /the string "a\\u001b\[2J"/,
  },
  {
    name: "no version",
    given: nodesOf(5, { ...one, version: 1 }),
    message: /nodes\.0\.version is the number 1, expected a string/,
  },
  {
    name: "an abstract spec",
    given: nodesOf(5, { ...one, concrete: false }),
    message: /nodes\.0\.concrete is false, expected a concrete spec/,
  },
  {
    name: "a version with a line break",
    given: nodesOf(5, { ...one, version: "1\n2" }),
    message: /nodes\.0\.version is the string "1\\n2", expected a version/,
  },
  {
    name: "an architecture in one word",
    given: nodesOf(5, { ...one, arch: "linux" }),
    message: /nodes\.0\.arch is the string "linux", expected an object/,
  },
  {
    name: "a target without name",
    given: nodesOf(5, { ...one, arch: { platform: "linux", platform_os: "x", target: {} } }),
    message: /nodes\.0\.arch\.target\.name is missing/,
  },
  {
    name: "a variant that is an object",
    given: nodesOf(5, { ...one, parameters: { x: {} } }),
    message: /nodes\.0\.parameters\.x is an object, expected true, false/,
  },
  {
    name: "a variant of numbers",
    given: nodesOf(5, { ...one, parameters: { x: ["a", []] } }),
    message: /nodes\.0\.parameters\.x\.1 is a list, expected true, false/,
  },
  {
    name: "flags in one text",
    given: nodesOf(5, { ...one, parameters: { cflags: "-O2" } }),
    message: /nodes\.0\.parameters\.cflags is the string "-O2", expected a list of flags/,
  },
  {
    name: "a short hash",
    given: nodesOf(5, { ...one, hash: "abc" }),
    message: /nodes\.0\.hash is the string "abc", expected 32 characters/,
  },
  { name: "no hash", given: nodesOf(5, { ...one, hash: null }), message: /has a node top@1\.0 without a hash/ },
  {
    name: "an unknown dependency type",
    given: nodesOf(5, {
      ...one,
      dependencies: [{ name: "b", hash: fakeHash(2), parameters: { deptypes: ["make"], virtuals: [] } }],
    }),
    message: /nodes\.0\.dependencies\.0\.parameters\.deptypes is the string "make", expected build, link, run or test/,
  },
  {
    name: "a dependency of format 3 in format 5",
    given: nodesOf(5, { ...one, dependencies: [{ name: "b", hash: fakeHash(2), type: ["link"] }] }),
    message: /dependencies\.0\.parameters is missing, expected an object/,
  },
  {
    name: "a dangling hash",
    given: nodesOf(5, fakeNode("top", 1, [{ name: "gone", at: 2 }])),
    message: /top@1\.0\/aaaaaaa depends on gone\/a{31}c, which is not in it/,
  },
  {
    name: "a dangling build spec",
    given: nodesOf(5, { ...one, build_spec: { name: "top", hash: fakeHash(9) } }),
    message: /depends on top\/a{31}j, which is not in it/,
  },
  {
    name: "a node that depends on itself",
    given: nodesOf(5, fakeNode("top", 1, [{ name: "top", at: 1 }])),
    message: /its dependencies form a cycle: top@1\.0\/aaaaaaa -> top@1\.0\/aaaaaaa$/,
  },
  {
    name: "a cycle",
    given: nodesOf(
      5,
      fakeNode("a", 1, [{ name: "b", at: 2 }]),
      fakeNode("b", 2, [
        { name: "c", at: 3 },
        { name: "d", at: 4 },
      ]),
      fakeNode("c", 3, [{ name: "b", at: 2 }]),
      fakeNode("d", 4, []),
    ),
    message:
      /form a cycle: (b@1\.0\/aaaaaaa -> c@1\.0\/aaaaaaa -> b|c@1\.0\/aaaaaaa -> b@1\.0\/aaaaaaa -> c)@1\.0\/aaaaaaa$/,
  },
  {
    name: "a cycle through what was built",
    given: nodesOf(
      5,
      { ...one, build_spec: { name: "top", hash: fakeHash(2) } },
      fakeNode("top", 2, [{ name: "top", at: 1 }]),
    ),
    message: /form a cycle/,
  },
  {
    name: "one hash for two nodes",
    given: nodesOf(5, one, fakeNode("other", 1, [])),
    message: /has two different nodes under a{31}b: top@1\.0\/aaaaaaa and other@1\.0\/aaaaaaa/,
  },
  {
    name: "a hash of another package",
    given: nodesOf(5, fakeNode("top", 1, [{ name: "zlib", at: 2 }]), fakeNode("evil", 2, [])),
    message: /top@1\.0\/aaaaaaa depends on zlib, but that hash belongs to evil@1\.0\/aaaaaaa/,
  },
];
for (const { name, given, message } of BAD)
  test(`refuses a spec file with ${name}`, () => {
    assert.throws(() => read(given), { code: "SPEC_INVALID", message });
  });

test("the same node twice is fine, and so are keys of every object's prototype", () => {
  const text = JSON.stringify(nodesOf(5, one, one)).replaceAll(
    '"parameters":{',
    '"parameters":{"__proto__":"x","constructor":true,',
  );
  const { root, graph } = readSpecFile(Buffer.from(text), "spec.json");
  assert.equal(graph.size, 1);
  assert.deepEqual([...root.variants.keys()], ["__proto__", "constructor", "build_system"]);
  assert.equal(
    writeJson(root.raw),
    JSON.stringify(one).replace('"parameters":{', '"parameters":{"__proto__":"x","constructor":true,'),
  );
});

const SEED = 20_261_121;
test(`a damaged spec file gives a spec or an error of its own, quickly (seed ${SEED})`, async () => {
  const folder = await unpackGolden("spack-1.2/store");
  const [file = ""] = globSync("**/fleet-*/.spack/spec.json", { cwd: folder });
  const text = readFileSync(join(folder, file), "utf8");
  const damage = fc.record({
    at: fc.nat(text.length),
    cut: fc.nat(40),
    put: fc.constantFrom("", "null", '"', "[]", "{}", "1", ",", '"x":', "\\u0000"),
  });
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
      let bad = text;
      for (const { at, cut, put } of damages) bad = bad.slice(0, at) + put + bad.slice(at + cut);
      try {
        const { root, graph } = readSpecFile(Buffer.from(bad), "bad.json");
        assert.ok(graph.get(root.hash) === root);
      } catch (error) {
        if (!isStaveError(error, "CONTENT_INVALID", "SPEC_INVALID")) throw error;
        assert.match(error.message, /^bad\.json [ -~…]+$/);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("documents read together share each node whose whole sub-DAG is equal", () => {
  const recurring = new Recurring();
  const ids = { base: 1, lib: 2, app: 3, tool: 4 };
  const hashOf = (name: keyof typeof ids): string => fakeHash(ids[name]);
  const node = (name: keyof typeof ids, more: JsonObject, ...below: (keyof typeof ids)[]): JsonObject => ({
    ...fakeNode(
      name,
      ids[name],
      below.map((child) => ({ name: child, at: ids[child] })),
    ),
    ...more,
  });
  const read = (...nodes: JsonObject[]): SpecDocument => {
    const text = Buffer.from(writeJson({ spec: { _meta: { version: 5 }, nodes } }));
    return readSpecDocument(parseJsonBytes(text, { name: "made.json", recurring }), { name: "made.json" });
  };
  const padding = "x".repeat(300);
  const [base, lib, app] = [node("base", { padding }), node("lib", { padding }, "base"), node("app", {}, "lib")];
  const first = read(app, lib, base);
  const second = read(node("tool", { padding }, "lib"), base, lib);
  for (const name of ["lib", "base"] as const) {
    assert.ok(first.graph.get(hashOf(name)));
    assert.equal(first.graph.get(hashOf(name)), second.graph.get(hashOf(name)), name);
  }
  assert.equal(second.root.edges[0]?.child, first.graph.get(hashOf("lib")));
  assert.equal(read(lib, base).root, first.graph.get(hashOf("lib")));

  // If the node under a dependency's hash differs, all nodes above it are new ones.
  const forged = read(app, lib, node("base", { padding, version: "6.6.6" }));
  assert.equal(forged.root.edges[0]?.child.edges[0]?.child.version, "6.6.6");
  assert.equal(first.root.edges[0]?.child.edges[0]?.child.version, first.graph.get(hashOf("base"))?.version);
  assert.notEqual(forged.graph.get(hashOf("base")), first.graph.get(hashOf("base")));
  assert.equal(read(lib, base).root.edges[0]?.child, first.graph.get(hashOf("base")));
});

test("documents that are gone leave no nodes, even if their upper nodes recur", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const recurring = new Recurring();
  const padding = "x".repeat(300);
  const read = (at: number): SpecDocument => {
    const nodes = [
      { ...fakeNode("app", 1, [{ name: "lib", at: 2 }]), padding },
      { ...fakeNode("lib", 2, [{ name: "base", at: 3 }]), padding, version: `1.${at % 8}` },
      // Too long to be shared.
      { ...fakeNode("base", 3, []), version: `1.${at}`, padding: "x".repeat(500_000) },
    ];
    const text = Buffer.from(writeJson({ spec: { _meta: { version: 5 }, nodes } }));
    return readSpecDocument(parseJsonBytes(text, { name: "made.json", recurring }), { name: "made.json" });
  };
  read(0);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < 100; at++) assert.equal(read(at).graph.size, 3);
  // What is referred to weakly lives until the end of the turn.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  assert.ok(process.memoryUsage().heapUsed - before < 10e6);
  assert.equal(read(0).graph.size, 3);
});

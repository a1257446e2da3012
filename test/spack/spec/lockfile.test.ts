// Proves that lock files of every version are read and verified, and malformed ones refused with the location.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { verifyHashes } from "../../../lib/spack/spec/dag-hash.ts";
import { readEnvironmentLock, readLockfile } from "../../../lib/spack/spec/lockfile.ts";
import { preOrder } from "../../../lib/spack/spec/traversal.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { golden } from "../../support/golden.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";

const LOCKS = [
  {
    folder: "spack-1.2",
    version: 6,
    roots: ["fleet", "hull@1.10.1+shared finish=oak,tar"],
    names: ["fleet", "hull"],
    spack: "1.2.0.dev0",
  },
  { folder: "spack-0.23", version: 5, roots: ["fleet"], names: ["fleet"], spack: "0.23.0.dev0" },
];
for (const { folder, version, roots, names, spack } of LOCKS)
  test(`reads the lock file of ${folder} and verifies every hash`, async () => {
    const lock = await readEnvironmentLock(golden(folder));
    assert.equal(lock.version, version);
    assert.equal(lock.spackVersion, spack);
    assert.deepEqual(
      lock.roots.map((root) => root.spec),
      roots,
    );
    assert.deepEqual(
      lock.roots.map((root) => root.node.name),
      names,
    );
    assert.ok(lock.roots.every((root) => root.includedFrom === undefined));
    const all = verifyHashes(lock.graph.nodes(), folder);
    assert.equal(all.verified.length, lock.graph.size);
  });

test("an environment that is not concretized says how to do it", async () => {
  await assert.rejects(readEnvironmentLock("/nonexistent/env"), {
    code: "NOT_FOUND",
    message: "the environment /nonexistent/env is not concretized: /nonexistent/env/spack.lock does not exist",
    hint: "spack -e /nonexistent/env concretize",
  });
});

const read = (document: JsonObject) => readLockfile(Buffer.from(JSON.stringify(document)), "spack.lock");
const head = (version: number): JsonObject => ({ "file-type": "spack-lockfile", "lockfile-version": version });
const roots = (...list: [number, string][]) => list.map(([at, spec]) => ({ hash: fakeHash(at), spec }));

test("specs of included environments are found wherever they stand", () => {
  const document: JsonObject = {
    _meta: head(6),
    roots: roots([1, "top"]),
    concrete_specs: { [fakeHash(1)]: fakeNode("top", 1, [{ name: "base", at: 2 }]) },
    include_concrete: {
      "/envs/a": {
        roots: roots([3, "other@1"]),
        concrete_specs: { [fakeHash(2)]: fakeNode("base", 2, []) },
        include_concrete: {
          "/envs/b": {
            roots: roots([2, "base"]),
            concrete_specs: { [fakeHash(3)]: fakeNode("other", 3, []), [fakeHash(2)]: fakeNode("base", 2, []) },
          },
        },
      },
    },
  };
  const lock = read(document);
  assert.deepEqual(
    lock.roots.map(({ node, spec, includedFrom }) => [node.name, spec, includedFrom]),
    [
      ["top", "top", undefined],
      ["other", "other@1", "/envs/a"],
      ["base", "base", "/envs/b"],
    ],
  );
  assert.equal(lock.graph.size, 3);
  assert.equal(lock.roots[0]?.node.edges[0]?.child, lock.roots[2]?.node);
});

// The format of the oldest lock files: nodes below their name, keys that are build hashes.
const old = (name: string, dependencies: Record<string, number>, hash?: number): JsonObject => ({
  [name]: {
    version: "1.0",
    arch: { platform: "darwin", platform_os: "macos", target: { name: "skylake" } },
    compiler: { name: "apple-clang", version: "13.0.0" },
    namespace: "builtin_mock",
    parameters: { cflags: [], shared: true },
    dependencies: Object.fromEntries(
      Object.entries(dependencies).map(([child, at]) => [child, { hash: fakeHash(at), type: ["build", "link"] }]),
    ),
    ...(hash === undefined ? {} : { hash: fakeHash(hash) }),
  },
});

test("version 1 knows hashes by their keys only", () => {
  const lock = read({
    _meta: head(1),
    roots: roots([1, "dttop ^dtbuild1@0.5"], [1, "dttop"]),
    concrete_specs: { [fakeHash(1)]: old("dttop", { dtlink: 2 }), [fakeHash(2)]: old("dtlink", {}) },
  });
  assert.deepEqual(
    lock.roots.map(({ node }) => node.hash),
    [fakeHash(1), fakeHash(1)],
  );
  const [top, link] = preOrder(lock.roots.map(({ node }) => node));
  assert.deepEqual(
    [top?.target, top?.compiler?.name, top?.format, link?.hash],
    ["skylake", "apple-clang", 1, fakeHash(2)],
  );
  assert.deepEqual(
    verifyHashes([lock.roots[0]?.node ?? assert.fail()], "old").unverifiable.map(({ reason }) => reason)[0],
    "it is written in spec format 1",
  );
});

test("in version 2 several keys may stand for one hash: the first that the roots lead to counts", () => {
  const lock = read({
    _meta: head(2),
    roots: roots([11, "dttop ^dtbuild1@0.5"], [12, "dttop ^dtbuild1@1.0"]),
    concrete_specs: {
      [fakeHash(12)]: old("dttop", { dtbuild1: 14 }, 21),
      [fakeHash(11)]: old("dttop", { dtbuild1: 13 }, 21),
      [fakeHash(13)]: old("dtbuild1", {}, 23),
      [fakeHash(14)]: old("dtbuild1", {}, 24),
    },
  });
  assert.equal(lock.roots[0]?.node, lock.roots[1]?.node);
  assert.deepEqual(
    [...lock.graph.nodes()].map((node) => node.hash),
    [fakeHash(21), fakeHash(23)],
  );
});

test("version 3 holds nodes of format 2 under keys of another kind", () => {
  const { dependencies: _none, hash: _hash, ...base } = fakeNode("zlib", 0, []);
  const lock = read({
    _meta: head(3),
    roots: roots([31, "hdf5"]),
    concrete_specs: {
      [fakeHash(31)]: {
        ...base,
        name: "hdf5",
        dependencies: [{ name: "zlib", build_hash: fakeHash(32), type: ["link"] }],
        hash: fakeHash(41),
        build_hash: fakeHash(31),
      },
      [fakeHash(32)]: { ...base, hash: fakeHash(42), build_hash: fakeHash(32) },
    },
  });
  assert.deepEqual(
    [...lock.graph.nodes()].map((node) => [node.name, node.hash, node.format]),
    [
      ["hdf5", fakeHash(41), 2],
      ["zlib", fakeHash(42), 2],
    ],
  );
});

const spec = fakeNode("top", 1, []);
const BAD: { name: string; given: JsonObject; code?: string; message: RegExp }[] = [
  {
    name: "no head",
    given: { roots: [] },
    message: /^spack\.lock is not valid: _meta is missing, expected an object$/,
  },
  {
    name: "a newer version",
    given: { _meta: head(7) },
    message: /_meta\.lockfile-version is the number 7, expected a lock file version from 1 to 6/,
  },
  {
    name: "a version that is text",
    given: { _meta: { "lockfile-version": "6" } },
    message: /is the string "6", expected/,
  },
  { name: "no roots", given: { _meta: head(6), concrete_specs: {} }, message: /roots is missing, expected a list/ },
  {
    name: "a root that is not there",
    given: { _meta: head(6), roots: roots([9, "x"]), concrete_specs: { [fakeHash(1)]: spec } },
    message: /roots\.0\.hash is the string "a{31}j", expected the key of a concrete spec/,
  },
  {
    name: "a key that is not the hash",
    given: { _meta: head(6), roots: [], concrete_specs: { [fakeHash(2)]: spec } },
    code: "SPEC_INVALID",
    message: /concrete_specs\.a{31}c\.hash is the string "a{31}b", expected its key/,
  },
  {
    name: "a dependency that is not there",
    given: {
      _meta: head(6),
      roots: [],
      concrete_specs: { [fakeHash(1)]: fakeNode("top", 1, [{ name: "gone", at: 5 }]) },
    },
    code: "SPEC_INVALID",
    message: /top@1\.0\/aaaaaaa depends on gone\/a{31}f, which is not in it/,
  },
];
for (const { name, given, code = "CONTENT_INVALID", message } of BAD)
  test(`refuses a lock file with ${name}`, () => {
    assert.throws(() => read(given), { code, message });
  });

test("a truncated lock file is refused with its place", () => {
  const text = readFileSync(golden("spack-1.2/spack.lock"));
  assert.throws(() => readLockfile(text.subarray(0, 2000), "spack.lock"), {
    code: "CONTENT_INVALID",
    message: /at the end, in concrete_specs\./,
    hint: "concretize the environment again: spack concretize --force",
  });
});

// Proves that DAG hashes are computed and verified as Spack does, for every format.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  base32Hash,
  checkHashes,
  hashedText,
  lockOffset,
  otherHash,
  verifyHashes,
} from "../../../lib/spack/spec/dag-hash.ts";
import { readSpecDocument, readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { specDocument, writeSpecFile } from "../../../lib/spack/spec/spec-writer.ts";
import { preOrder } from "../../../lib/spack/spec/traversal.ts";
import { parseJsonBytes, parseJsonText, writeJson } from "../../../lib/spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../../lib/spack/text/json-value.ts";
import { Recurring } from "../../../lib/spack/text/recurring.ts";
import { unpackGolden, vectors } from "../../support/golden.ts";

const concrete = vectors<Record<string, JsonObject>>("concrete_specs");
const read = (document: JsonObject) =>
  readSpecDocument(parseJsonText(JSON.stringify(document), { name: "vectors" }), { name: "vectors" });

interface HashRow {
  name: string;
  serialised: string;
  hash: string;
}

test("the hash of a serialised node is Spack's", () => {
  const nodes = new Map(
    Object.values(concrete).flatMap((spec) => preOrder([read(spec).root]).map((node) => [node.hash, node])),
  );
  for (const { name, serialised, hash } of vectors<HashRow[]>("dag_hash")) {
    assert.equal(base32Hash(serialised), hash, name);
    const node = nodes.get(hash);
    if (node) assert.equal(hashedText(node), serialised);
  }
});

test("a node that recurs is verified once, and one that only claims its hash is refused", () => {
  const recurring = new Recurring();
  const readAgain = (text: string, name: string) =>
    readSpecDocument(parseJsonBytes(Buffer.from(text), { name, recurring }), { name });
  for (const [name, spec] of Object.entries(concrete)) {
    const text = JSON.stringify(spec);
    for (const _ of [1, 2]) {
      const { root, graph } = readAgain(text, name);
      assert.equal(verifyHashes([root], name).verified.length, graph.size);
      assert.equal(writeSpecFile(root, graph), text);
    }
    const forged = text.replace('"platform":"linux"', '"platform":"linuy"');
    const { root } = readAgain(forged, name);
    assert.throws(() => verifyHashes([root], name), { code: "SPEC_INVALID", message: /but its content gives/ });
  }
});

test("every hash of the vectors is verified", () => {
  for (const [name, spec] of Object.entries(concrete)) {
    const { root, graph } = read(spec);
    const report = verifyHashes([root], name);
    assert.equal(report.verified.length, graph.size);
    assert.deepEqual([report.unverifiable, report.mismatched], [[], []]);
    assert.equal(writeSpecFile(root, graph), JSON.stringify(spec));
  }
});

for (const [store, format] of [
  ["spack-1.2/store", 5],
  ["spack-0.23/store", 4],
  ["spack-1.2/padded-installed-at-opt-quayside-unpadded", 5],
] as const)
  test(`every hash of ${store} is verified, and format 5 is written back byte for byte`, async () => {
    const folder = await unpackGolden(store);
    const files = globSync("**/.spack/spec.json", { cwd: folder });
    assert.ok(files.length > 4);
    for (const file of files) {
      const bytes = readFileSync(join(folder, file));
      const { root, graph } = readSpecFile(bytes, file);
      assert.equal(verifyHashes([root], file).verified.length, graph.size);
      if (format === 5) assert.equal(writeSpecFile(root, graph), bytes.toString());
      else assert.equal(writeJson(parseJsonText(bytes.toString(), { name: file })), bytes.toString());
    }
  });

test("a spec of format 4 is converted as Spack 1.2 does, and is no longer verifiable", () => {
  const { input, output } = vectors<Record<string, JsonObject>>("v4_reserialised_by_1_2");
  assert.ok(input && output);
  const { root, graph } = read(input);
  assert.equal(verifyHashes([root], "input").verified.length, 2);
  // The features of core2 are only in archspec's table: Spack's differs from the file in one, and readers skip it.
  const withoutFeatures = (document: JsonObject): string =>
    JSON.stringify(document).replaceAll(/"features":\[[^\]]*\]/g, "");
  const written = { spec: specDocument(root, graph) };
  assert.equal(withoutFeatures(written), withoutFeatures(output));
  const again = read(written);
  assert.deepEqual(again.root.compiler, { name: "gcc", version: "10.2.1" });
  const report = verifyHashes([again.root], "output");
  assert.deepEqual(
    report.unverifiable.map(({ node, reason }) => [node.name, reason]),
    [
      ["libelf", "it was hashed in spec format 4, and rewritten since"],
      ["libdwarf", "it was hashed in spec format 4, and rewritten since"],
    ],
  );
});

test("the byte of a spec in the prefix lock file is Spack's", () => {
  for (const [hash, offset] of vectors<[string, string][]>("lock_offset"))
    assert.equal(lockOffset(hash), BigInt(offset));
});

const LIES: { name: string; change: (text: string) => string; message: RegExp }[] = [
  {
    name: "a changed version below",
    change: (text) => text.replace('"name":"leaf-b","version":"2.0"', '"name":"leaf-b","version":"2.1"'),
    message:
      /^lie\.json: leaf-b@2\.1\/zws3kv7 has the DAG hash zws3kv7qb5kopvrk2k3crduxmxof2utr, but its content gives [a-z2-7]{32}$/,
  },
  {
    name: "an added key",
    change: (text) => text.replace('"name":"root-a",', '"name":"root-a","1":2,'),
    message: /root-a@1\.0/,
  },
  {
    name: "another number spelling",
    change: (text) => text.replace('"original_specfile_version":5', '"original_specfile_version":5.0'),
    message: /but its content gives/,
  },
];
for (const { name, change, message } of LIES)
  test(`a lying hash is found: ${name}`, () => {
    const text = change(JSON.stringify(concrete["root-a"]));
    const { root, graph } = readSpecFile(Buffer.from(text), "lie.json");
    assert.throws(() => verifyHashes([root], "lie.json"), { code: "SPEC_INVALID", message });
    assert.equal(checkHashes([root]).mismatched.length + checkHashes([root]).verified.length, graph.size);
    assert.equal(writeSpecFile(root, graph), text);
  });

// The target of hdf5 as described by other releases of archspec, and so of Spack; the first one matches its hash.
const hdf5 = JSON.stringify(concrete["hdf5"]);
const ICELAKE = /"target":(\{"name":"icelake"[^}]*\})/;
const [, described = ""] = ICELAKE.exec(hdf5) ?? [];
const withTarget = (change: (target: Record<string, unknown>) => unknown): string =>
  hdf5.replaceAll(described, JSON.stringify(change(JSON.parse(described))));
const without =
  (...names: string[]) =>
  (target: Record<string, unknown>) => ({
    ...target,
    features: (target["features"] as string[]).filter((name) => !names.includes(name)),
  });
const TARGETS: { name: string; text: string; isVerified: boolean }[] = [
  { name: "as it was hashed", text: hdf5, isVerified: true },
  { name: "with features that the table had not yet", text: withTarget(without("cx16", "sse3")), isVerified: true },
  {
    name: "with other parents",
    text: withTarget((target) => ({ ...target, parents: ["cannonlake"] })),
    isVerified: true,
  },
  { name: "without the part number", text: withTarget(({ cpupart: _, ...target }) => target), isVerified: true },
  { name: "as a name", text: withTarget(({ name }) => name), isVerified: true },
  { name: "with another name", text: withTarget((target) => ({ ...target, name: "zen3" })), isVerified: false },
  { name: "as another name", text: withTarget(() => "zen3"), isVerified: false },
  { name: "as an unknown name", text: withTarget(() => "constructor"), isVerified: false },
];
for (const { name, text, isVerified } of TARGETS)
  test(`a target written ${name} is ${isVerified ? "no" : "a"} lie`, () => {
    assert.ok(described.length > 100);
    const { root, graph } = readSpecFile(Buffer.from(text), "hdf5.json");
    const report = checkHashes(graph.nodes());
    assert.equal(report.mismatched.length === 0, isVerified);
    assert.equal(otherHash(root) === undefined, isVerified);
    if (isVerified) assert.equal(report.verified.length, graph.size);
  });

// Descriptions that earlier Spacks wrote: of archspec 0.1.0 and 0.1.4, without part numbers, with and without sse3.
const HASWELL = "aes avx avx2 bmi1 bmi2 f16c fma mmx movbe pclmulqdq popcnt rdrand sse sse2 sse4_1 sse4_2 ssse3";
const OLD: { name: string; target: JsonObject; isVerified: boolean }[] = [
  { name: "the first table", target: target(HASWELL.split(" "), ["ivybridge"]), isVerified: true },
  {
    name: "a later table",
    target: target([...HASWELL.split(" "), "sse3"].sort(), ["ivybridge", "x86_64_v3"]),
    isVerified: true,
  },
  { name: "a table of nobody", target: target(["mmx"], ["ivybridge"]), isVerified: false },
];
function target(features: string[], parents: string[]): JsonObject {
  return { name: "haswell", vendor: "GenuineIntel", features, generation: 0, parents };
}
for (const { name, target, isVerified } of OLD)
  test(`a hash made with ${name} ${isVerified ? "holds" : "does not hold"}`, () => {
    const spec = concrete["hdf5"];
    assert.ok(spec);
    const leaf = preOrder([read(spec).root]).find((node) => node.edges.length === 0 && node.buildSpec === undefined);
    assert.ok(leaf);
    const { hash: _, ...hashed } = leaf.raw;
    const at = (described: JsonValue): JsonObject => ({
      ...hashed,
      arch: { platform: "linux", platform_os: "debian12", target: described },
    });
    const node = { ...at("haswell"), hash: base32Hash(writeJson(at(target))) };
    const { root } = read({ spec: { _meta: { version: 5 }, nodes: [node] } });
    assert.equal(otherHash(root) === undefined, isVerified);
  });

test("a spliced node ends with the hash of what was built", () => {
  const spec = concrete["root-a"];
  assert.ok(spec);
  const { root } = read(spec);
  const built = root.edges[0]?.child;
  assert.ok(built);
  const raw: JsonObject = { ...root.raw, build_spec: { name: built.name, hash: built.hash } };
  const { hash: _old, ...hashed } = raw;
  const hash = base32Hash(writeJson(hashed)).slice(0, -7) + built.hash.slice(-7);
  const nodes = [
    { ...raw, hash },
    ...preOrder([root])
      .slice(1)
      .map((node) => node.raw),
  ];
  const spliced = read({ spec: { _meta: { version: 5 }, nodes } });
  assert.equal(spliced.root.buildSpec?.hash, built.hash);
  assert.ok(verifyHashes([spliced.root], "spliced").verified.includes(spliced.root));
  const odd = read({ spec: { _meta: { version: 5 }, nodes: [{ ...raw, hash: root.hash }, ...nodes.slice(1)] } });
  assert.deepEqual(
    verifyHashes([odd.root], "odd").unverifiable.map(({ reason }) => reason),
    ["it is spliced"],
  );
});

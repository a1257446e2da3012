// Proves that the quick reader of spec documents finds what the full reader finds, and leaves anything unusual to it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownNodes } from "../../lib/cache/known-nodes.ts";
import { type KnownRecords, newNodesOf, scanDocument } from "../../lib/cache/new-nodes.ts";
import type { NodeRecord } from "../../lib/cache/record.ts";
import { base32Hash } from "../../lib/spack/spec/dag-hash.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { parseJsonBytes, writeJson } from "../../lib/spack/text/json.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { imageTexts, specFiles } from "../fuzz/seeds.ts";
import { madeSpec } from "../support/caches.ts";

const none = new Map<string, NodeRecord>();
const scan = (text: string | Buffer, known: KnownRecords = none) =>
  scanDocument(Buffer.from(text), known, { source: { name: "it" } });
const byHash = (a: NodeRecord, b: NodeRecord): number => (a.hash < b.hash ? -1 : 1);
const shown = (records: readonly NodeRecord[]): unknown[] =>
  records.toSorted(byHash).map((record) => ({ ...record, text: Buffer.from(record.text).toString("latin1") }));

for (const [what, texts] of [
  ["spec files", specFiles(20)],
  ["configs of images", imageTexts("config", 20)],
] as const)
  test(`${what} of real Spack are read quickly, and alike`, () => {
    let quickly = 0;
    for (const text of texts) {
      const found = scan(text);
      if (found === undefined) continue;
      quickly++;
      const document = readSpecFile(Buffer.from(text), "it");
      const full = newNodesOf(document, none);
      assert.equal(found.nodes.root.hash, full.root.hash);
      assert.deepEqual(shown(found.nodes.records), shown(full.records));
      const { spec: _, ...others } = parseJsonBytes(Buffer.from(text), { name: "it" }) as JsonObject;
      const { spec, ...rest } = parseJsonBytes(found.rest, { name: "it" }) as JsonObject;
      assert.equal(spec, null);
      assert.equal(writeJson(rest), writeJson(others));
    }
    assert.ok(quickly > texts.length / 2, `${quickly} of ${texts.length}`);
  });

test("known nodes are skipped, with and without spaces", () => {
  const below = madeSpec("below", "2.0");
  const top = madeSpec("top", "1.0", [below]);
  const known = new Map(newNodesOf(below, none).records.map((record) => [record.hash, record]));
  const document = { spec: specDocument(top.root, top.graph) };
  for (const text of [writeJson(document), pythonJson(document)]) {
    const found = scan(text, known);
    assert.deepEqual(
      found?.nodes.records.map(({ hash }) => hash),
      [top.root.hash],
    );
  }
});

test("nodes in a known order are recognised by their texts, and changed ones are not", () => {
  const made = ["a", "b", "c", "d", "e", "f"].map((name) => madeSpec(name, "1.0"));
  const known = new KnownNodes();
  for (const one of made) for (const record of newNodesOf(one, none).records) known.add(record, "dependency");
  // How often the record of a hash is asked for: once for each node that is not recognised, and for some others.
  let [asked, askedOfFew, askedOfAll] = [0, 0, 0];
  for (let round = 0; round < 3; round++)
    for (const order of ["012345", "051234", "024135", "035142", "041253"]) {
      const parent = madeSpec(`top${round}${order}`, "1.0", made);
      const { root, graph } = parent;
      const [top = {}, ...below] = nodesOf(parent);
      const others = [...order].map((at) => below[Number(at)] ?? {});
      const texts = others.map((node) => writeJson(node));
      const whole = { ...specDocument(root, graph), nodes: [top, ...others] };
      const spaced = writeJson({ spec: whole }).replaceAll("},{", "} ,\n {");
      for (const text of [writeJson({ spec: whole }), spaced]) {
        const { followers } = known;
        const get = (hash: string): NodeRecord | undefined => {
          asked++;
          return known.get(hash);
        };
        const found = scan(text, { get, followers });
        askedOfFew += asked;
        asked = 0;
        const scanned = scan(text, { get });
        askedOfAll += asked;
        asked = 0;
        assert.deepEqual(found?.nodes, scanned?.nodes);
        assert.deepEqual(
          found?.nodes.records.map(({ hash }) => hash),
          [root.hash],
        );
      }
      for (const text of texts) {
        const changed = writeJson({ spec: whole }).replace(text, `${text.slice(0, -1)},"more":1}`);
        assert.equal(scan(changed, known), undefined);
      }
    }
  const nodes = 3 * 5 * 2 * made.length;
  assert.ok(askedOfAll - askedOfFew > 0.5 * nodes, `${askedOfAll - askedOfFew} of ${nodes}`);
});

test("at most four followers of a node are kept, the latest first", () => {
  const made = ["a", "b", "c", "d", "e", "f"].map((name) => madeSpec(name, "1.0"));
  const known = new KnownNodes();
  for (const one of made) for (const record of newNodesOf(one, none).records) known.add(record, "dependency");
  const parent = madeSpec("top", "1.0", made);
  const { root, graph } = parent;
  const [top = {}, ...below] = nodesOf(parent);
  const followers = (): string[] => (known.followers.get(made[0]?.root.hash ?? "") ?? []).map(({ name }) => name);
  const expected = ["b", "cb", "dcb", "edcb", "fedc", "bfed"];
  for (const [at, name] of [..."bcdefb"].entries()) {
    // First a, then the one that follows it.
    const rank = (node: JsonObject): number => [name, "a"].indexOf(String(node["name"]));
    const nodes = [top, ...below.toSorted((one, other) => rank(other) - rank(one))];
    assert.ok(scan(writeJson({ spec: { ...specDocument(root, graph), nodes } }), known));
    assert.equal(followers().join(""), expected[at]);
  }
});

/** As Python's `json.dumps` writes it, with a space after commas and colons. */
function pythonJson(value: unknown): string {
  return JSON.stringify(value, undefined, 1)
    .replace(/\n\s*/g, " ")
    .replace(/([[{]) /g, "$1")
    .replace(/ ([\]}])/g, "$1");
}

const below = madeSpec("below", "2.0");
const top = madeSpec("top", "1.0", [below]);
const spec = specDocument(top.root, top.graph);
const nodes = spec["nodes"] as JsonObject[];
const loose = madeSpec("loose", "3.0");
// A hash covers the name that a node gives its dependency, so a wrong one can have a true hash.
const { hash: _, ...misnaming } = JSON.parse(JSON.stringify(nodes[0]).replace('"below"', '"other"')) as JsonObject;
const misnamed = { ...misnaming, hash: base32Hash(writeJson(misnaming)) };

const UNUSUAL: Record<string, unknown> = {
  "a missing dependency": { spec: { ...spec, nodes: nodes.slice(0, 1) } },
  "a dependency under another name": { spec: { ...spec, nodes: [misnamed, nodes[1]] } },
  "a node that nothing needs": { spec: { ...spec, nodes: [...nodes, ...nodesOf(loose)] } },
  "a changed node": { spec: { ...spec, nodes: [{ ...nodes[0], namespace: "evil" }, nodes[1]] } },
  "a node that is a list": { spec: { ...spec, nodes: [[], ...nodes] } },
  "no nodes": { spec: { ...spec, nodes: [] } },
  "an old format": { spec: { ...spec, _meta: { version: 3 } } },
  "a future format": { spec: { ...spec, _meta: { version: 9 } } },
  "nodes before their format": { spec: { nodes, _meta: spec["_meta"] } },
  "another member": { spec: { ...spec, more: {} } },
  "no spec": { more: 1 },
};
function nodesOf({ root, graph }: typeof top): JsonObject[] {
  return specDocument(root, graph)["nodes"] as JsonObject[];
}

test("anything unusual is left to the full reader", () => {
  assert.ok(scan(writeJson({ spec } as JsonObject)) !== undefined);
  for (const [what, document] of Object.entries(UNUSUAL)) assert.equal(scan(JSON.stringify(document)), undefined, what);
  const text = writeJson({ spec } as JsonObject);
  assert.equal(scan(`${text} x`), undefined, "text after the document");
  assert.equal(scan(text.slice(0, -1)), undefined, "a truncated document");
  assert.equal(scan(text.replace("{", `{"sp\\u0065c":null,`)), undefined, "two specs");
});

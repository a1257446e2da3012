// Proves that scopes are merged as Spack's merge_yaml does it.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mergeNodes } from "../../../lib/spack/config/merge-values.ts";
import { type Joining, parseYaml, type YamlNode } from "../../../lib/spack/text/yaml.ts";
import { useSeed } from "../../support/seed.ts";

useSeed();

// Ordered plain data: mappings as lists of pairs.
type Plain = string | number | boolean | null | Plain[] | { map: [string, Plain][] };
function plain(node: YamlNode): Plain {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(plain);
  return { map: [...node.entries].map(([key, { value }]) => [key, plain(value)]) };
}
const yaml = (text: string): YamlNode => parseYaml(text, "f") ?? assert.fail("empty");
const merged = (lower: string, higher: string, joining?: Joining): Plain =>
  plain(mergeNodes(yaml(lower), yaml(higher), joining));

const ROWS: { name: string; lower: string; higher: string; expect: string; joining?: Joining }[] = [
  {
    name: "mappings merge, the higher keys first",
    lower: "{a: 1, b: 2}",
    higher: "{c: 3, b: 4}",
    expect: "{c: 3, b: 4, a: 1}",
  },
  { name: "and so do those inside", lower: "{a: {x: 1, y: 2}}", higher: "{a: {y: 3}}", expect: "{a: {y: 3, x: 1}}" },
  { name: "higher items of a list come first and once", lower: "[a, b, c]", higher: "[d, b]", expect: "[d, b, a, c]" },
  {
    name: "items are compared by value",
    lower: "[{a: 1, b: 2}, [1]]",
    higher: "[{b: 2, a: 1}]",
    expect: "[{b: 2, a: 1}, [1]]",
  },
  { name: "1 and true are the same item", lower: "[1, x]", higher: "[true]", expect: "[true, x]" },
  { name: "the higher scalar wins", lower: "{a: 1}", higher: "{a: x}", expect: "{a: x}" },
  { name: "null wins too", lower: "{a: [1]}", higher: "{a: ~}", expect: "{a: ~}" },
  { name: "other kinds replace", lower: "{a: [1]}", higher: "{a: {b: 1}}", expect: "{a: {b: 1}}" },
  { name: "key:: replaces", lower: "{a: {x: 1}, b: 1}", higher: '{"a:": {y: 2}}', expect: "{a: {y: 2}, b: 1}" },
  {
    name: "key+: puts list items in front",
    lower: "[a, b]",
    higher: "[b, c]",
    joining: "prepend",
    expect: "[b, c, a]",
  },
  { name: "key-: puts list items behind", lower: "[a, b]", higher: "[b, c]", joining: "append", expect: "[a, b, c]" },
  { name: "key+: puts text in front", lower: "b", higher: "a", joining: "prepend", expect: "ab" },
  { name: "key-: puts text behind", lower: "b", higher: "a", joining: "append", expect: "ba" },
  { name: "key+: leaves numbers alone", lower: "1", higher: "2", joining: "prepend", expect: "2" },
];

for (const { name, lower, higher, expect, joining } of ROWS)
  test(name, () => assert.deepEqual(merged(lower, higher, joining), plain(yaml(expect))));

test("merging changes neither side", () => {
  const [lower, higher] = [yaml("{a: {x: [1]}, b: 1}"), yaml("{a: {x: [2]}}")];
  const before = JSON.stringify([plain(lower), plain(higher)]);
  mergeNodes(lower, higher);
  assert.equal(JSON.stringify([plain(lower), plain(higher)]), before);
});

// Configuration in which each key always has the same kind of value, as Spack's schemas require.
const scope = fc.record(
  {
    text: fc.constantFrom("a", "b", "c"),
    list: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { maxLength: 4 }),
    map: fc.record({ x: fc.nat(3), y: fc.nat(3), "10": fc.nat(3) }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
const fromJson = (value: unknown): YamlNode => yaml(JSON.stringify(value));

test("three scopes merge to the same, whichever two are merged first", () => {
  fc.assert(
    fc.property(scope, scope, scope, (a, b, c) => {
      const [low, mid, high] = [fromJson(a), fromJson(b), fromJson(c)];
      assert.deepEqual(plain(mergeNodes(mergeNodes(low, mid), high)), plain(mergeNodes(low, mergeNodes(mid, high))));
    }),
  );
});

test("a scope merged with itself or with nothing is itself", () => {
  fc.assert(
    fc.property(scope, (a) => {
      const node = fromJson(a);
      assert.deepEqual(plain(mergeNodes(node, node)), plain(node));
      assert.deepEqual(plain(mergeNodes(fromJson({}), node)), plain(node));
      assert.deepEqual(plain(mergeNodes(node, fromJson({}))), plain(node));
      assert.deepEqual(plain(mergeNodes(undefined, node)), plain(node));
    }),
  );
});

// Proves that YAML is read as Spack's reader does (ruamel.yaml, YAML 1.2), and that hostile files do no harm.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isStaveError } from "../../../lib/errors.ts";
import { formatPlace, nodeAt, parseYaml, toJson, YAML_LIMIT, type YamlNode } from "../../../lib/spack/text/yaml.ts";
import { failsWith } from "../../support/errors.ts";
import { mustEnd } from "../../support/must-end.ts";
import { chooseSeed } from "../../support/seed.ts";

const read = (text: string): YamlNode => {
  const node = parseYaml(text, "/etc/x.yaml");
  assert.ok(node, "expected a value");
  return node;
};

// Compared with Spack 1.2 and 0.23.
const SCALARS: [text: string, value: unknown][] = [
  ["1", 1],
  ["+3", 3],
  ["-0x1", -1],
  ["0x1f", 31],
  ["0o17", 15],
  ["0b11", 3],
  ["010", 10],
  ["1_000", 1000],
  ["1.50", 1.5],
  [".5", 0.5],
  ["1e3", 1000],
  ["90071992547409931", "90071992547409931"],
  ["true", true],
  ["FALSE", false],
  ["yes", "yes"],
  ["on", "on"],
  ["~", null],
  ["Null", null],
  ["1:30", "1:30"],
  ["2024-01-01", "2024-01-01"],
  ['"1"', "1"],
  ["'~'", "~"],
  ["!!str 5", "5"],
  ["!!int '7'", 7],
  ["'bar:'", "bar"],
  ["'a@1:'", "a@1:"],
];

test("scalars have the values that Spack gives them", () => {
  for (const [text, value] of SCALARS) assert.deepEqual(toJson(read(`[${text}]`)), [value], text);
});

test("keys keep their order, even those that look like numbers, and __proto__ is a key like any other", () => {
  const node = read("b: 1\n10: 2\n2: 3\n__proto__: {polluted: true}\nconstructor: 4\n");
  assert.equal(node.kind, "map");
  assert.deepEqual(node.kind === "map" && [...node.entries.keys()], ["b", "10", "2", "__proto__", "constructor"]);
  assert.equal(Object.getPrototypeOf(toJson(node)), null);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

test("a key that ends in a colon overrides, unless it is a spec", () => {
  const node = read('a::\n- 1\n"b:": 2\n"c@1.2:": 3\n');
  const entries = node.kind === "map" ? [...node.entries].map(([key, { joining }]) => [key, joining]) : [];
  assert.deepEqual(entries, [
    ["a", "override"],
    ["b", "override"],
    ["c@1.2:", "merge"],
  ]);
});

test("every value knows its file, line and column", () => {
  const node = read("config:\n  install_tree:\n    root: /x\n  empty:\n");
  const place = (...path: string[]) => formatPlace(nodeAt(node, ...path)?.place ?? assert.fail());
  assert.equal(place("config", "install_tree", "root"), "/etc/x.yaml:3:11");
  assert.equal(place("config", "empty"), "/etc/x.yaml:4:3");
});

test("aliases and merge keys are followed", () => {
  const node = read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\nd: {<<: [{x: 9}, *a]}\n");
  assert.deepEqual(JSON.parse(JSON.stringify(toJson(node))), {
    a: { x: 1, y: 2 },
    b: { y: 3, x: 1 },
    c: [
      { x: 1, y: 2 },
      { x: 1, y: 2 },
    ],
    d: { x: 9, y: 2 },
  });
});

test("nothing but comments is nothing", () => {
  for (const text of ["", "\n\n", "# only a comment\n", "---\n", "~", "\ufeff# mark\n"])
    assert.equal(parseYaml(text, "f"), undefined, text);
});

const bomb = `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`)}]\n`).join("")}`;
const chain = `a0: &a0 [x]\n${Array.from({ length: 300 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}]\n`).join("")}`;

const HOSTILE: { name: string; text: string; message: RegExp }[] = [
  { name: "a bomb of aliases", text: bomb, message: /aliases expand this to more than 1000000 values/ },
  {
    name: "a chain of aliases as deep as a stack",
    text: chain,
    message: /:100:12: values are nested more than 100 levels/,
  },
  {
    name: "an alias inside its own anchor",
    text: "a: &a\n  b: *a\n",
    message: /:2:6: the alias \*a is inside its own anchor/,
  },
  { name: "an alias without an anchor", text: "a: *b\n", message: /:1:4: / },
  { name: "brackets nested 20000 deep", text: "[".repeat(20000), message: /nested more than 100 levels/ },
  { name: "mappings without brackets nested 4000 deep", text: `{a${": b".repeat(4000)}}`, message: /100 levels/ },
  { name: "a line of 90 000 mappings", text: `a${": b".repeat(90_000)}`, message: /100 levels/ },
  {
    name: "closed brackets nested 5000 deep",
    text: "[".repeat(5000) + "]".repeat(5000),
    message: /nested more than 100 levels/,
  },
  { name: "dashes nested 20000 deep", text: `${"- ".repeat(20000)}x`, message: /nested more than 100 levels/ },
  {
    name: "a tab as indentation",
    text: "a:\n\tb: 1\n",
    message: /^\/etc\/x\.yaml:2:1: tabs are not allowed as indentation/,
  },
  { name: "a key given twice", text: "a: 1\nb: 2\na: 3\n", message: /:3:1: the key a was already given in line 1/ },
  { name: "a key given twice, once as override", text: "a: 1\na:: 3\n", message: /:2:1: the key a was already given/ },
  { name: "a list as a key", text: "? [a]\n: 1\n", message: /:1:3: a list is used as a key/ },
  {
    name: "a tag of its own",
    text: "a: !python/object x\n",
    message: /:1:\d+: the tag !python\/object is not supported/,
  },
  { name: "two documents", text: "a: 1\n---\nb: 2\n", message: /a second document/ },
  { name: "YAML 1.1", text: "%YAML 1.1\n---\na: yes\n", message: /declares YAML 1\.1, expected 1\.2/ },
  { name: "an open quote", text: 'a: "b\n', message: /^\/etc\/x\.yaml:\d+:\d+: [a-z]/ },
  { name: "a control character in a message", text: "a: 1\n\u001b[31m: 1\n\u001b[31m: 1\n", message: /^\P{Cc}*$/u },
  { name: "a merge of what is no mapping", text: "a: {<<: 5}\n", message: /<< merges a scalar, expected a mapping/ },
];

for (const { name, text, message } of HOSTILE)
  test(`is an error with its place: ${name}`, async () => {
    await failsWith("CONFIG_INVALID", () => parseYaml(text, "/etc/x.yaml"), message);
  });

test("more than the limit is refused before it is parsed", async () => {
  await failsWith("TOO_LARGE", () => parseYaml("a".repeat(YAML_LIMIT + 1), "big.yaml"), /big\.yaml is larger/);
});

test("more parts than the limit are refused before they are nested", async () => {
  await failsWith("TOO_LARGE", () => parseYaml(`a${": b".repeat(600_000)}`, "f"), /more than 200000 parts/);
});

test("a mapping with as many keys as are allowed is read", () => {
  const [count, limit] = [99_000, 50_000_000];
  // Long and similar, so that comparing each with all others would take hours.
  const text = Array.from({ length: count }, (_, i) => `${"k".repeat(50)}${i}: ${i}`).join("\n");
  const node = mustEnd(() => parseYaml(text, "f", limit));
  assert.equal(node?.kind === "map" ? node.entries.size : 0, count);
});

test("no text makes the parser throw anything but its own error", () => {
  const seed = chooseSeed();
  const characters = fc.constantFrom(..."[]{}:,-?&*!|>'\" \n\t#%@`a0<~\\é\u0000");
  fc.assert(
    fc.property(fc.string({ unit: characters, maxLength: 10_000, size: "max" }), (text) => {
      try {
        parseYaml(text, "f");
      } catch (error) {
        assert.ok(isStaveError(error, "CONFIG_INVALID"), String(error));
      }
    }),
    { seed, numRuns: 200 },
  );
});

// Proves that JSON is written back byte for byte, with limits, and that the parser agrees with JSON.parse.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { isStaveError } from "../../../lib/errors.ts";
import {
  copyObject,
  isObject,
  keysOf,
  parseJsonBytes,
  parseJsonText,
  writeJson,
  writeJsonInPieces,
  writeJsonWithout,
} from "../../../lib/spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../../lib/spack/text/json-value.ts";
import { Recurring } from "../../../lib/spack/text/recurring.ts";
import { mustEnd } from "../../support/must-end.ts";

const SOURCE = { name: "a.json" };
const SEED = 20_261_121;
const parse = (text: string): JsonValue => parseJsonText(text, SOURCE);

const KEPT: { name: string; given: string }[] = [
  { name: "the order of keys", given: '{"b":1,"a":2,"c":{"z":1,"y":2}}' },
  { name: "keys that look like array indexes", given: '{"b":1,"10":2,"9":3,"a":{"1":[],"0":{}}}' },
  { name: "one such key", given: '{"5":1}' },
  { name: "keys that only begin like them", given: '{"01":1,"1a":2,"4294967296":3,"-1":4}' },
  {
    name: "the spelling of numbers",
    given: '{"a":1.0,"b":1e3,"c":[1E+2,0.10,-0,-0.0],"d":12345678901234567890,"e":1e400}',
  },
  { name: "shortest floats as they are", given: '{"installation_time":1795222904.128013}' },
  { name: "escapes", given: String.raw`{"\u00e9\ud83d\ude00":"\n\r\t\b\f\"\\\u007f\u0000/"}` },
  { name: "lone surrogates", given: String.raw`["\ud800","\udc00x"]` },
  { name: "prototype keys", given: '{"__proto__":{"polluted":1},"constructor":2,"toString":null}' },
  {
    name: "equal objects",
    given: `{"a":{"target":{"name":"zen3","n":1.0}},"b":{"target":{"name":"zen3","n":1.0}},"c":{"target":{"name":"zen3","n":1}}}`,
  },
  { name: "empty containers", given: '{"a":{},"b":[],"c":[[],{}],"d":""}' },
  { name: "words", given: "[true,false,null]" },
];
for (const { name, given } of KEPT)
  test(`writes back byte for byte: ${name}`, () => {
    assert.equal(writeJson(parse(given)), given);
    assert.equal(writeJson(parseJsonBytes(Buffer.from(given), SOURCE)), given);
  });

test("keys come in the order of the file, and plain reading still works", () => {
  const value = parse('{"b":1,"10":2.50,"9":{"x":1}}');
  assert.ok(isObject(value));
  assert.deepEqual(keysOf(value), ["b", "10", "9"]);
  assert.equal(value["10"], 2.5);
  assert.equal(writeJsonWithout(value, "10"), '{"b":1,"9":{"x":1}}');
  value["10"] = 3;
  value["new"] = "é";
  delete value["b"];
  assert.equal(writeJson(value), String.raw`{"10":3,"9":{"x":1},"new":"\u00e9"}`);
});

test("what occurs again is shared, and cannot be changed for both", () => {
  const text = `[${Array.from({ length: 20 }, (_, at) => `{"at":${at},"other":{"platform":"linux","list":[1,2,3]}}`).join(",")}]`;
  const value = parse(text);
  assert.ok(Array.isArray(value));
  const [first, second] = value;
  assert.ok(isObject(first) && isObject(second));
  assert.equal(first["other"], second["other"]);
  assert.ok(Object.isFrozen(first["other"]) && !Object.isFrozen(first));
  assert.equal(writeJson(value), text);
});

test("the parameters of edges are shared between nodes whose own parameters all differ", () => {
  const kinds = Array.from({ length: 12 }, (_, at) => `{"deptypes":["build"],"virtuals":["v${at}"]}`);
  const edges = kinds.map((kind, at) => `{"name":"d${at}","parameters":${kind}}`).join();
  const nodes = Array.from({ length: 50 }, (_, at) => {
    const parameters = `{"build_system":"generic","variant":"${"v".repeat(at)}"}`;
    return `{"spec":{"parameters":${parameters},"dependencies":[${edges}]}}`;
  });
  const text = `{"installs":[${nodes.join()}]}`;
  const found = new Set<JsonValue>();
  const walk = (value: JsonValue | undefined): void => {
    if (typeof value !== "object" || value === null) return;
    if (isObject(value) && "deptypes" in value) found.add(value);
    for (const member of Object.values(value)) walk(member);
  };
  const parsed = parse(text);
  walk(parsed);
  // One of the first node, which is not known to recur yet, and one that is shared.
  assert.ok(found.size <= 2 * kinds.length, `${found.size} different objects for ${kinds.length} kinds`);
  assert.equal(writeJson(parsed), text);
});

test("entries of dependencies and architectures are shared between documents, and frozen", () => {
  const recurring = new Recurring();
  const arch = '{"platform":"linux","target":{"name":"zen2","features":["a","b"]}}';
  const entry = (name: string, type: string): string =>
    `{"name":"${name}","hash":"${name.repeat(8)}","parameters":{"deptypes":["${type}"],"virtuals":[]}}`;
  const nodeOf = (name: string, ...entries: string[]): string =>
    `{"name":"${name}","arch":${arch},"dependencies":[${entries.join()}],"long":"${"x".repeat(300)}"}`;
  const partsOf = (text: string): JsonValue[] => {
    const [found] = nodesOf(withNodes(text), recurring);
    assert.ok(isObject(found));
    const { arch: described, dependencies } = found;
    assert.ok(Array.isArray(dependencies));
    return [described ?? null, ...dependencies];
  };
  const [arch1, zlib1, odd1] = partsOf(nodeOf("a", entry("zlib", "build"), entry("cm}ke", "build")));
  const [arch2, odd2, zlib2, other] = partsOf(
    nodeOf("b", entry("cm}ke", "build"), entry("zlib", "build"), entry("zlib", "link")),
  );
  assert.ok(arch1 === arch2 && zlib1 === zlib2 && odd1 === odd2);
  assert.notEqual(other, zlib1);
  assert.ok(isObject(zlib1 ?? null) && Object.isFrozen(zlib1) && Object.isFrozen(arch1));
  // A string with an escape, a long one, and one that is cut off.
  const [, escaped, long] = partsOf(nodeOf("c", entry(String.raw`\u00e9`, "run"), entry("n".repeat(900), "run")));
  assert.ok(isObject(escaped) && escaped["name"] === "é" && isObject(long));
  assert.throws(() => parse(`{"dependencies":[${entry("zlib", "build").slice(0, -1)}`), { code: "CONTENT_INVALID" });
  // At a deeper place it is read again, so that it cannot exceed the limit of nesting.
  const deep = `${'{"x":'.repeat(61)}{"arch":${arch}}${"}".repeat(61)}`;
  assert.throws(() => parseJsonBytes(Buffer.from(deep), { ...SOURCE, recurring }), /nested deeper/);
});

test("a part of a short node, which is not remembered itself, cannot be changed for other documents", () => {
  const recurring = new Recurring();
  const short = Buffer.from('{"nodes":[{"name":"a","dependencies":[{"name":"zlib","hash":"z"}]}]}');
  const entry = (): JsonObject => {
    const read = parseJsonBytes(short, { ...SOURCE, recurring });
    const [first] = isObject(read) && Array.isArray(read["nodes"]) ? read["nodes"] : [];
    const [found] = isObject(first) && Array.isArray(first["dependencies"]) ? first["dependencies"] : [];
    assert.ok(isObject(found));
    return found;
  };
  assert.throws(() => Object.assign(entry(), { name: "other" }), TypeError);
  assert.deepEqual(entry(), { name: "zlib", hash: "z" });
});

test("the values of a shared object count each time", () => {
  const entry = '{"name":"zlib","hash":"z"}';
  const text = (count: number): string => `{"dependencies":[${Array(count).fill(entry).join()}]}`;
  // The document, the list, and three values of each entry.
  assert.ok(parseJsonBytes(Buffer.from(text(32)), { ...SOURCE, values: 98 }));
  assert.throws(() => parseJsonBytes(Buffer.from(text(33)), { ...SOURCE, values: 98 }), { code: "TOO_LARGE" });
});

test("a part or a node that is remembered does not keep its document, nor thousands of values for each part", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const recurring = new Recurring();
  const read = (text: string): unknown => parseJsonBytes(Buffer.from(text), { ...SOURCE, recurring });
  const filler = "x".repeat(1024 * 1024);
  const numbers = Array.from({ length: 300 }, () => "[0.0]").join();
  read('{"arch":{"n":1.5},"nodes":[]}');
  const before = used();
  for (let at = 0; at < 100; at++) {
    read(`{"arch":{"n":1.00000000000000000${at}0},"filler":"${filler}"}`);
    read(`{"nodes":[{"n":1.00000000000000000${at}0,"long":"${"y".repeat(300)}"}],"filler":"${filler}"}`);
  }
  for (let at = 0; at < 1000; at++) read(`{"arch":{"at":${at},"list":[${numbers}]}}`);
  const grown = (used() - before) / 1e6;
  assert.ok(grown < 80, `${grown} MB are kept`);
});

test("parts in parts take no longer than other objects", () => {
  const nested = (at: number): string =>
    `${'{"arch":'.repeat(58)}{"at":${at},"long":"${"x".repeat(3400)}"}${"}".repeat(58)}`;
  const text = `[${Array.from({ length: 20_000 }, (_, at) => nested(at)).join()}]`;
  const value = mustEnd(() => parseJsonBytes(Buffer.from(text), { ...SOURCE, values: 2e6 }));
  assert.equal(writeJson(value), text);
});

test("thousands of different parts, more than are remembered, are read as they are", () => {
  const parts = Array.from({ length: 3000 }, (_, at) => `{"name":"p${at}","long":"${"x".repeat(3000)}","at":${at}}`);
  const recurring = new Recurring();
  for (const list of [parts, parts.toReversed(), parts])
    assert.equal(
      writeJson(parseJsonBytes(Buffer.from(`{"dependencies":[${list.join()}]}`), { ...SOURCE, recurring })),
      `{"dependencies":[${list.join()}]}`,
    );
});

test(`writing in pieces gives the same text, and no piece is much longer than asked for (seed ${SEED})`, () => {
  const json = fc.object({ maxDepth: 4, key: fc.string({ maxLength: 3 }) });
  fc.assert(
    fc.property(json, fc.integer({ min: 1, max: 40 }), (made, size) => {
      const value = parse(JSON.stringify(made));
      assert.ok(isObject(value));
      const pieces = [...writeJsonInPieces(value, size)];
      assert.equal(pieces.join(""), writeJson(value));
      assert.ok(pieces.slice(0, -1).every((piece) => piece.length >= size));
    }),
    { seed: SEED },
  );
  const installs = Array.from({ length: 500 }, (_, at) => `"${at}":{"spec":{"10":1.50,"9":"x"}}`).join();
  const text = `{"database":{"version":"8","installs":{${installs}}},"1":1e400}`;
  const pieces = [...writeJsonInPieces(parse(text) as JsonObject, 100)];
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.length > 100 && pieces.every((piece) => piece.length < 160));
});

test("objects that nearly repeat at every level take no longer than their text", () => {
  const nested = (at: number): string => {
    const inner = `{"long":"${"x".repeat(3500)}","number":${1e6 + at}}`;
    return `${'{"a":'.repeat(58)}${inner}${"}".repeat(58)}`;
  };
  const text = `[${Array.from({ length: 8000 }, (_, at) => nested(at)).join()}]`;
  const parsed = mustEnd(() => parseJsonBytes(Buffer.from(text), { ...SOURCE, values: 1e6 }));
  assert.ok(Array.isArray(parsed) && parsed.length === 8000);
});

/** A document with nodes that are large enough to be shared. */
const withNodes = (...nodes: string[]): Buffer =>
  Buffer.from(`{"spec":{"_meta":{"version":5},"nodes":[${nodes.join()}]}}`);
const node = (name: string, more = ""): string =>
  `{"name":"${name}","version":"1.0","10":1.50,"9":"\\u00e9"${more},"text":"${"x".repeat(300)}","hash":"${name}"}`;

function nodesOf(bytes: Buffer, recurring: Recurring): JsonValue[] {
  const value = parseJsonBytes(bytes, { ...SOURCE, recurring });
  assert.equal(writeJson(value), bytes.toString());
  const spec = isObject(value) ? value["spec"] : undefined;
  const nodes = isObject(spec) ? spec["nodes"] : undefined;
  assert.ok(Array.isArray(nodes));
  return nodes;
}

test("nodes that recur are one object in all documents, and cannot be changed", () => {
  const recurring = new Recurring();
  const [a, b] = nodesOf(withNodes(node("a"), node("b")), recurring);
  const [b2, c, a2] = nodesOf(withNodes(node("b"), node("c"), node("a")), recurring);
  assert.ok(a === a2 && b === b2 && isObject(a) && Object.isFrozen(a));
  assert.notEqual(a, c);
  // The same beginning and end, and the same length.
  const [odd] = nodesOf(withNodes(node("a", ',"k":1')), recurring);
  const [even] = nodesOf(withNodes(node("a", ',"k":2')), recurring);
  assert.ok(isObject(odd) && isObject(even));
  assert.deepEqual([odd["k"], even["k"]], [1, 2]);
  // A copy is written as it is, not as the node was.
  const copy = copyObject(a);
  copy["10"] = 2;
  delete copy["text"];
  assert.equal(writeJson(copy), String.raw`{"name":"a","version":"1.0","10":2,"9":"\u00e9","hash":"a"}`);
  assert.equal(writeJsonWithout(a, "text"), String.raw`{"name":"a","version":"1.0","10":1.50,"9":"\u00e9","hash":"a"}`);
});

test("a node that is in memory anyway takes the place of one that is written alike", () => {
  const [there] = nodesOf(withNodes(node("a")), new Recurring());
  assert.ok(isObject(there));
  const recurring = new Recurring({ known: () => there });
  const [a, other, again] = nodesOf(withNodes(node("a"), node("b"), node("a")), recurring);
  assert.ok(a === there && again === there);
  assert.ok(isObject(other) && other["name"] === "b");
});

test("a node of a database is the one of a spec file", () => {
  const recurring = new Recurring();
  const [read] = nodesOf(withNodes(node("a")), recurring);
  const text = `{"database":{"installs":{"a":{"spec":${node("a")},"ref_count":1}}}}`;
  const value = parseJsonBytes(Buffer.from(text), { ...SOURCE, recurring });
  assert.equal(writeJson(value), text);
  const found = ["database", "installs", "a", "spec"].reduce<JsonValue | undefined>(
    (at, key) => (isObject(at) ? at[key] : undefined),
    value,
  );
  assert.ok(found !== undefined);
  // At a deeper place than before it is read again, so that it cannot exceed the limit of nesting.
  assert.notEqual(found, read);
  assert.equal(nodesOf(withNodes(node("a")), recurring)[0], read);
});

test("what is written otherwise than it was read is so however often", () => {
  const recurring = new Recurring();
  const text = Buffer.from(`{"nodes": [${node("a").replaceAll(",", ", ")}]}`);
  for (const _ of [1, 2, 3])
    assert.equal(writeJson(parseJsonBytes(text, { ...SOURCE, recurring })), `{"nodes":[${node("a")}]}`);
});

test("the memory of nodes that recur is bounded, and those that are in use stay shared", async () => {
  const recurring = new Recurring();
  const large = (at: number): string => node(`n${at}`, `,"more":"${"y".repeat(50_000)}"`);
  const read = (at: number): JsonValue => nodesOf(withNodes(large(at)), recurring)[0] ?? null;
  const used = read(0);
  const unused = Array.from({ length: 9 }, (_, at) => new WeakRef(read(at + 1) as object));
  assert.equal(read(1), unused[0]?.deref());
  for (let at = 10; at < 400; at++) read(at);
  assert.equal(read(0), used, "one that is in use");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What a weak reference returned lives until the end of the task.
  await setTimeout(1);
  collect();
  assert.deepEqual(
    unused.map((one) => one.deref()),
    unused.map(() => undefined),
  );
  // Nor do many with the same beginning pile up.
  const alike = (at: number): Buffer => withNodes(node("a", `,"at":${at}`));
  const [oldest] = nodesOf(alike(0), recurring);
  for (let at = 1; at < 9; at++) nodesOf(alike(at), recurring);
  assert.equal(nodesOf(alike(0), recurring)[0], oldest);
  for (let at = 10; at < 30; at++) nodesOf(alike(at), recurring);
  assert.equal(nodesOf(alike(0), recurring)[0], oldest);
});

test("errors behind a node that recurs name their place", () => {
  const recurring = new Recurring();
  nodesOf(withNodes(node("a")), recurring);
  assert.throws(() => parseJsonBytes(withNodes(node("a"), '{"b":}'), { ...SOURCE, recurring }), {
    code: "CONTENT_INVALID",
    message: /in spec\.nodes\.1\.b: expected a value/,
  });
  assert.throws(() => parseJsonBytes(withNodes(`${node("a")}x`), { ...SOURCE, recurring }), /expected "," or "\]"/);
});

const BAD: { name: string; given: string; message: RegExp }[] = [
  {
    name: "nothing",
    given: "",
    message: /^a\.json is not valid JSON at the end: expected a value, it is cut off there$/,
  },
  {
    name: "a truncated document",
    given: '{"database":{"installs":{"abc":{"spec":{"name":"zl',
    message: /at the end, in database\.installs\.abc\.spec\.name: the string does not end, it is cut off there$/,
  },
  { name: "a truncated list", given: '{"a":[1,', message: /at the end, in a\.1: expected a value/ },
  { name: "two documents", given: "{} {}", message: /at character 4: expected the end of the document, found "\{\}"/ },
  { name: "a byte order mark", given: "\ufeff{}", message: /at character 1: expected a value/ },
  { name: "a comment", given: "{} // x", message: /expected the end/ },
  { name: "single quotes", given: "{'a':1}", message: /expected a key in double quotes/ },
  { name: "a trailing comma", given: '{"a":1,}', message: /expected a key in double quotes/ },
  { name: "a trailing comma in a list", given: "[1,]", message: /in 1: expected a value/ },
  { name: "a missing comma", given: '{"a":1 "b":2}', message: /in a: expected "," or "}"|expected "," or "}"/ },
  { name: "no colon", given: '{"a" 1}', message: /in a: expected ":"/ },
  { name: "NaN", given: '{"a":NaN}', message: /in a: expected a value, found "NaN}"/ },
  { name: "a leading zero", given: "[01]", message: /expected "," or "\]"/ },
  { name: "a lone minus", given: "[-]", message: /expected a number/ },
  { name: "a raw newline in a string", given: '["a\nb"]', message: /in 0: a control character inside a string/ },
  { name: "a raw newline after an escape", given: '["\\ta\nb"]', message: /a control character inside a string/ },
  { name: "an unknown escape", given: '["\\x41"]', message: /an unknown escape/ },
  { name: "half an escape", given: '["\\u12"]', message: /an unknown escape/ },
  { name: "an escape at the end", given: '["\\', message: /an unknown escape/ },
  { name: "a key twice", given: '{"a":{"b":1,"c":2,"b":3}}', message: /in a\.b: the key occurs twice/ },
  { name: "__proto__ twice", given: '{"__proto__":1,"__proto__":2}', message: /the key occurs twice/ },
  { name: "an index twice", given: '{"1":1,"1":2}', message: /the key occurs twice/ },
  { name: "deep nesting", given: `${"[".repeat(100_000)}`, message: /nested deeper than 64 levels/ },
  { name: "deep objects", given: `${'{"a":'.repeat(100_000)}`, message: /nested deeper than 64 levels/ },
];
for (const { name, given, message } of BAD)
  test(`refuses ${name}`, () => {
    assert.throws(() => parse(given), { code: "CONTENT_INVALID", message });
  });

test("a repeated object is no way past the limit of nesting", () => {
  const deep = `${'{"a":['.repeat(28)}1${"]}".repeat(28)}`;
  const text = `{"x":{"a":${deep}},"y":${"[".repeat(40)}{"a":${deep}}${"]".repeat(40)}}`;
  assert.throws(() => parse(text), { message: /nested deeper than 64 levels/ });
});

test("bytes that are not UTF-8 are refused, and messages hold no control characters", () => {
  assert.throws(() => parseJsonBytes(Buffer.from([0x22, 0xff, 0x22]), SOURCE), {
    message: "a.json is not valid JSON: it is not UTF-8 text",
  });
  const error = ((): unknown => {
    try {
      return parseJsonText('{"\\u001b[31m":x}', { name: "aé\u001b[0m\u202e.json", code: "SPEC_INVALID", hint: "do" });
    } catch (caught) {
      return caught;
    }
  })();
  assert.ok(isStaveError(error, "SPEC_INVALID"));
  assert.match(error.message, /^[ -~é]+$/);
  assert.equal(error.hint, "do");
});

test(`agrees with JSON.parse and JSON.stringify (seed ${SEED})`, () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      const mine = parseJsonBytes(Buffer.from(text), SOURCE);
      assert.deepEqual(mine, JSON.parse(text));
      assert.equal(JSON.stringify(JSON.parse(writeJson(mine))), JSON.stringify(JSON.parse(text)));
      assert.match(writeJson(mine), /^[ -~]*$/);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test(`accepts what JSON.parse accepts and throws nothing but its own error (seed ${SEED})`, () => {
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"',
    "1",
    "-",
    "0.5e3",
    "true",
    "null",
    " ",
    "\\u0041",
    "\\",
    "é",
    "\n",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join("");
      let expected: unknown;
      let fails = false;
      try {
        expected = JSON.parse(text);
      } catch {
        fails = true;
      }
      try {
        assert.deepEqual(parse(text), expected);
        assert.ok(!fails, text);
      } catch (error) {
        if (!isStaveError(error, "CONTENT_INVALID")) throw error;
        assert.ok(fails || /twice/.test(error.message), text);
      }
    }),
    { seed: SEED, numRuns: 3000 },
  );
});

// Fuzzes JSON as Spack writes it, and compares the parser with JavaScript's own.
import assert from "node:assert/strict";
import fc from "fast-check";
import { JsonScanner } from "../../../lib/cache/json-scanner.ts";
import { isStaveError } from "../../../lib/errors.ts";
import { parseJsonBytes, writeJson } from "../../../lib/spack/text/json.ts";
import type { Family } from "../family.ts";
import { imageTexts, specFiles } from "../seeds.ts";

const SOURCE = { name: "the document" };
const WORDS = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ":",
  ",",
  "\\",
  "\\u00",
  "\\ud800",
  "\\udc00",
  "null",
  "true",
  "1e5",
  "-",
  "0.",
  "NaN",
  "__proto__",
  '"a":',
  "\u2028",
  "[[[[",
];

// JavaScript's own parser; undefined if it refuses.
function native(input: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input));
  } catch {
    return undefined;
  }
}

const literalOrNumber = fc.oneof(
  fc.constantFrom(
    "true",
    "false",
    "null",
    "0",
    "00",
    "01",
    "-0",
    "truex",
    "nul",
    "1e5",
    "1.5",
    "999999999",
    "1234567890",
  ),
  fc.maxSafeNat().map(String),
  fc.jsonValue().map((given) => JSON.stringify(given)),
);

// Objects without a prototype, so that members of any name compare.
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const value = fc.jsonValue({ maxDepth: 6 });

export const family: Family = {
  name: "json",
  targets: [
    {
      name: "json texts",
      seeds: [
        ...specFiles(2),
        ...imageTexts("manifest", 2),
        '{"a":[1,-2.5e3,true,null,"\\u00e9\\n"],"b":{}}',
        "[]",
        '""',
      ],
      words: WORDS,
      run: (input) => {
        const expected = native(input);
        let found: ReturnType<typeof parseJsonBytes>;
        try {
          found = parseJsonBytes(input, SOURCE);
        } catch (error) {
          // stave's parser has additional limits on depth and repeated keys; both refuse invalid grammar.
          if (expected === undefined || /nested|twice|two|repeat/.test(String(error))) throw error;
          if (isStaveError(error)) throw new Error(`refused what is JSON: ${error.message}`);
          throw error;
        }
        assert.ok(expected !== undefined, "took what is no JSON");
        const written = writeJson(found);
        // Too large numbers are infinite, and written as in Python.
        if (!written.includes("Infinity"))
          assert.equal(JSON.stringify(native(Buffer.from(written))), JSON.stringify(expected));
      },
    },
    {
      name: "json scanner",
      seeds: [...specFiles(2), '{"a":[1,{"b":"\\"]"}],"c":"}"}'],
      words: WORDS,
      run: (input) => {
        const scanner = new JsonScanner(input, SOURCE);
        const members: [string, number, number][] = [];
        scanner.object((key) => {
          const from = scanner.skip();
          members.push([key, from, scanner.at]);
        });
        scanner.end();
        const whole = native(input);
        if (whole === undefined) return;
        // In valid text it finds exactly the members.
        const found = members.map(([key, from, to]) => [key, native(input.subarray(from, to))]);
        assert.deepEqual(plain(Object.fromEntries(found)), plain(whole));
      },
    },
  ],
  properties: [
    {
      name: "literals and whole numbers equal what JSON.parse reads, and no other value is passed",
      check: (parameters) =>
        fc.assert(
          fc.property(literalOrNumber, fc.constantFrom(",1", "}", "]", " ", ""), (text, rest) => {
            const scanner = new JsonScanner(Buffer.from(text + rest), SOURCE);
            const found = scanner.literalOrInteger();
            const isPlain = /^(?:true|false|null|0|[1-9][0-9]{0,8})$/.test(text) && /^[,}\]]/.test(rest);
            assert.deepEqual([found, scanner.at], isPlain ? [native(Buffer.from(text)), text.length] : [undefined, 0]);
          }),
          parameters,
        ),
    },
    {
      name: "json is read as it was written",
      check: (parameters) =>
        fc.assert(
          fc.property(value, fc.constantFrom(0, 1, 2), (given, space) => {
            const text = JSON.stringify(given, null, space);
            const found = parseJsonBytes(Buffer.from(text), SOURCE);
            assert.equal(JSON.stringify(found), JSON.stringify(given));
            // Not by JSON.parse: V8 may read the key `"` as `\` once it has seen objects of such a shape (Node 24.21).
            const again = parseJsonBytes(Buffer.from(writeJson(found)), SOURCE);
            assert.equal(JSON.stringify(again), JSON.stringify(given));
          }),
          parameters,
        ),
    },
  ],
};

// Proves that the fast reader of one-line YAML agrees with the general one, or declines.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readFlowYaml } from "../../../lib/spack/text/flow-yaml-reader.ts";
import { type FlowValue, writeFlowYaml } from "../../../lib/spack/text/flow-yaml-writer.ts";
import { parseYaml, type YamlNode } from "../../../lib/spack/text/yaml.ts";
import { archives } from "../../support/golden-archives.ts";
import { useSeed } from "../../support/seed.ts";

useSeed();

/** A value without its places. */
function bare(node: YamlNode | undefined): unknown {
  if (node === undefined) return undefined;
  if (node.kind === "scalar") return { value: node.value, text: node.text };
  if (node.kind === "list") return node.items.map(bare);
  return Array.from(node.entries, ([key, { joining, value }]) => [key, joining, bare(value)]);
}

const general = (text: string): unknown => {
  try {
    return bare(parseYaml(text, "f"));
  } catch {
    return "an error";
  }
};

describe("known or left to the general parser", () => {
  const cases: { text: string; isKnown: boolean }[] = [
    { text: "{a: b, c: [d, e/f.g, 'h, i'], j: {}, k: []}\n", isKnown: true },
    { text: "[Foo::Bar.3pm, a b c, x+y=z~, 1.10, true, null, /p/%41@b, '', '-x', '#(!)']", isKnown: true },
    { text: "{__proto__: a, '10': b}", isKnown: true },
    ...[
      "",
      "a",
      "'a'",
      "{a: b",
      "{a: b}}",
      "{a: b} \n",
      "{a: b}\n\n",
      "{a: b, a: c}",
      "{a:b}",
      "{a: }",
      "{a}",
      "[a: b]",
      "[a,b]",
      "[a, ]",
      "[a  b]",
      "[a #b]",
      "[&a b, *a]",
      "[!!str 1]",
      "[-a]",
      "['it''s']",
      "['a:']",
      '["a"]',
      "[a:]",
      "[\u00e9]",
      "['\u00e9']",
      "[a,\n  b]",
      "[[[[[[[[[[[]]]]]]]]]]]",
      "{a: b}\n---\n{c: d}\n",
    ].map((text) => ({ text, isKnown: false })),
  ];
  for (const { text, isKnown } of cases)
    test(JSON.stringify(text), () => {
      const node = readFlowYaml(text, "f");
      assert.equal(node !== undefined, isKnown);
      if (isKnown) assert.deepEqual(bare(node), general(text));
    });
});

test("what Spack writes is known", async () => {
  for await (const { directory } of archives("spack-1.2/plain.oci")) {
    const text = readFileSync(`${directory}/.spack/binary_distribution`, "utf8");
    assert.deepEqual(bare(readFlowYaml(text, "f")), general(text));
  }
});

const LETTERS = "ab1.0 :'/-_,#[]{}&*!|>%@`?~=<n\\\n".split("");

test("any text: the same as the general parser, or nothing", () => {
  const token = fc.oneof(fc.constantFrom("{", "}", "[", "]", ": ", ", ", "'", "a", "b"), fc.constantFrom(...LETTERS));
  const inside = fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join(""));
  fc.assert(
    fc.property(fc.constantFrom("{a: ", "[", "{"), inside, fc.constantFrom("}", "]", "}\n", "]\n"), (a, b, c) => {
      const node = readFlowYaml(a + b + c, "f");
      if (node !== undefined) assert.deepEqual(bare(node), general(a + b + c));
    }),
    { numRuns: 3000 },
  );
});

test("what the writer writes", () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...LETTERS), maxLength: 6 }),
    fc.stringMatching(/^[a-z./][\w./ +-]{0,8}$/),
  );
  const { value } = fc.letrec<{ value: FlowValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      text,
      fc.boolean(),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.array(fc.tuple(text, tie("value")), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    ),
  }));
  let known = 0;
  fc.assert(
    fc.property(value, (written) => {
      const yaml = writeFlowYaml(written);
      const node = readFlowYaml(yaml, "f");
      if (node === undefined) return;
      known++;
      assert.deepEqual(bare(node), general(yaml));
    }),
    { numRuns: 1000 },
  );
  assert.ok(known > 50);
});

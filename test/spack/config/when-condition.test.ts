// Proves which conditions of includes can be decided, and that the others are reported as undecided.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decide } from "../../../lib/spack/config/when-condition.ts";
import { hostAt } from "../../support/config-tree.ts";
import { useSeed } from "../../support/seed.ts";

useSeed();

const host = hostAt("/r", { A: "alpha", EMPTY: "" });
const bare = hostAt("/r", {}, { os: undefined, target: undefined });

const DECIDED: [condition: string, holds: boolean][] = [
  ['"A" in env', true],
  ["'B' in env", false],
  ['"B" not in env', true],
  ['"__proto__" in env', false],
  ['env["A"] == "alpha"', true],
  ['env.get("B") == None', true],
  ['env.get("B", "x") == "x"', true],
  ['env.get("EMPTY", "x") == "x"', false],
  ['env["A"].startswith("al")', true],
  ['hostname.endswith("oom") and os == "debian12"', true],
  ['platform == "linux" and target != "zen4"', true],
  ['"debian" in os', true],
  ['not (platform == "darwin" or "B" in env)', true],
  ["not not True", true],
  ["False or None", false],
  ["1", true],
  ["0", false],
  ['"x"', true],
  ['arch_str == "platform=linux os=debian12 target=zen3"', true],
  ["True or False and False", true],
];
for (const [condition, holds] of DECIDED)
  test(`decides ${condition}`, () => assert.deepEqual(decide(condition, host), { holds }));

test("what nobody knows counts only where it matters", () => {
  assert.deepEqual(decide('os == "x" or True', bare), { holds: true });
  assert.deepEqual(decide('target == "x" and False', bare), { holds: false });
  for (const condition of [
    'os == "x"',
    'not target == "x"',
    'target == "x" and True',
    '"a" in os',
    'os.startswith("d")',
  ])
    assert.deepEqual(decide(condition, bare), { undecided: "it depends on something unknown here" }, condition);
});

for (const condition of [
  "",
  "(",
  ")",
  "True)",
  're.match("a", hostname)',
  'arch.satisfies("target=zen3")',
  'env["B"]',
  "env[A]",
  'os < "x"',
  "1.5",
  "__import__('os').system('true')",
  'os.system("true")',
  "x",
  '"a" in 5',
  "True True",
  "not",
  '"open',
  `${"(".repeat(5000)}True${")".repeat(5000)}`,
])
  test(`does not decide ${condition.slice(0, 40)}`, () => {
    const decision = decide(condition, host);
    assert.ok("undecided" in decision && decision.undecided.length > 0, JSON.stringify(decision));
  });

test("never throws", () => {
  const words = fc.constantFrom(
    "(",
    ")",
    "and",
    "or",
    "not",
    "in",
    "==",
    "!=",
    "env",
    "[",
    "]",
    ".",
    ",",
    '"A"',
    "get",
    "os",
    "True",
    "5",
    "\n",
    "é",
    "'",
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), (parts) => void decide(parts.join(" "), host)),
    { numRuns: 1000 },
  );
});

// Proves that flow YAML is written exactly as Spack's writer does.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { type FlowValue, flowScalar, writeFlowYaml } from "../../../lib/spack/text/flow-yaml-writer.ts";
import { vector, vectorRows } from "../../support/vectors.ts";

describe("texts are written as Spack's YAML writer does", () => {
  for (const [text, expected] of vectorRows("yaml_flow_scalar", z.tuple([z.string(), z.string()])))
    test(JSON.stringify(text), () => assert.equal(writeFlowYaml(new Map([["k", [text]]])), expected));
});

test("whole documents are written as Spack does", () => {
  for (const [value, expected] of vector("yaml_flow_examples", z.array(z.tuple([z.json(), z.string()]))))
    assert.equal(writeFlowYaml(flowValue(value)), expected);
});

function flowValue(value: unknown): FlowValue {
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.map(flowValue);
  assert.ok(typeof value === "object" && value !== null);
  return new Map(Object.entries(value).map(([key, member]) => [key, flowValue(member)]));
}

// Recorded from ruamel.yaml 0.17.21 with Spack's settings; these rows go beyond the vectors.
describe("odd texts are written as ruamel.yaml does", () => {
  const rows: [string, string][] = [
    ["\udc80x", '"\\uDC80x"'],
    ["x\udcffy: z", '"x\\uDCFFy: z"'],
    ["a\x85b", "'a\x85b'"],
    ["a\u2029", "'a\u2029'"],
    ["a\u2028 b", '"a\\L b"'],
    [" \u2028", '" \\L"'],
    ["\ufffe", '"\\uFFFE"'],
    ["\u{1f600}\t", '"\\U0001F600\\t"'],
    ["it's: x", '"it\'s: x"'],
    ['"\\ : ', "'\"\\ : '"],
    ["a\f\x1b", '"a\\f\\e"'],
    [": a", ": a"],
    ["? $", "? $"],
    ["? ", "'? '"],
    ["?\tx", '"?\\tx"'],
    ["a :b", "a :b"],
    ["a :", "'a :'"],
    ["-_", "'-_'"],
    ["._", "'._'"],
    ["1_.5e+3", "'1_.5e+3'"],
    ["2020-1-2 3:04:05.", "'2020-1-2 3:04:05.'"],
    ["2020-1-2", "2020-1-2"],
    ["a".repeat(300), "a".repeat(300)],
  ];
  for (const [text, expected] of rows) test(JSON.stringify(text), () => assert.equal(flowScalar(text), expected));
});

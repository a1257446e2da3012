// Proves that documents which are small on the wire but large in memory are refused before they are parsed.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { jsonExcess } from "../../lib/oci/json-limits.ts";
import { parseBySchema, parseManifest } from "../../lib/oci/manifest.ts";
import { parseJsonBytes } from "../../lib/spack/text/json.ts";
import { parseYaml } from "../../lib/spack/text/yaml.ts";
import { failsWith } from "../support/errors.ts";

const attempt = async <T>(work: () => T): Promise<T> => work();

describe("values and levels are counted before anything is parsed", () => {
  for (const { given, values = 5, expect } of [
    { given: "1", expect: undefined },
    { given: "[1,2,3,4]", expect: undefined },
    { given: "[1,2,3,4,5]", expect: "more than 5 values" },
    { given: '{"a":1,"b":{"c":[]}}', expect: undefined },
    { given: '{"a":[],"b":{"c":[]}}', values: 4, expect: "more than 4 values" },
    { given: '[",,,,,,[[[[[["]', expect: undefined },
    { given: '["\\",,,,,,"]', expect: undefined },
    { given: '["\\\\",1,2,3,4,5]', expect: "more than 5 values" },
    { given: '["never ends,,,,,,', expect: undefined },
    { given: "[".repeat(64), values: 100, expect: undefined },
    { given: "[".repeat(65), values: 100, expect: "more than 64 levels" },
    { given: "[[]],".repeat(100), values: 1000, expect: undefined },
  ])
    test(`${given.slice(0, 30)}, ${values}`, () => assert.equal(jsonExcess(given, values), expect));
});

describe("a document of nothing but brackets", () => {
  const brackets = `{"spec": [${"[], ".repeat(2_000_000)}[]]}`;
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const any = z.unknown();
  const works: Record<string, (text: string) => unknown> = {
    "of a registry": (text) => parseBySchema(text, any, "it"),
    manifest: (text) => parseManifest(Buffer.from(text), undefined, "it"),
    "of Spack": (text) => parseJsonBytes(Buffer.from(text), { name: "it" }),
  };
  for (const [name, work] of Object.entries(works))
    test(name, async () => {
      await failsWith(
        "TOO_LARGE",
        attempt(() => work(brackets)),
        /more than 1000000 values/,
      );
      const error = await failsWith(
        name === "of Spack" ? "CONTENT_INVALID" : "TOO_LARGE",
        attempt(() => work(deep)),
      );
      assert.match(error.message, /64 levels/);
    });

  test("more is allowed where more is needed", () => {
    const list = parseJsonBytes(Buffer.from(`[${"0,".repeat(1_100_000)}0]`), { name: "it", values: 2_000_000 });
    assert.equal(Array.isArray(list) && list.length, 1_100_001);
  });

  test("YAML", async () => {
    for (const text of [
      `[${"a,".repeat(300_000)}a]`,
      "- a\n".repeat(300_000),
      `a: ${"[".repeat(300_000)}`,
      "- ".repeat(300_000),
    ])
      await failsWith(
        "TOO_LARGE",
        attempt(() => parseYaml(text, "it")),
        /more than 200000 parts/,
      );
  });
});

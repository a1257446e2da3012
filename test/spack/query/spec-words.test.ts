// Proves that SPEC arguments of several words mean what they mean to Spack, whose answers for the golden store are in
// the table.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isStaveError } from "../../../lib/errors.ts";
import { select } from "../../../lib/spack/query/select.ts";
import { parseQueries } from "../../../lib/spack/query/spec-parser.ts";
import { joinWords } from "../../../lib/spack/query/spec-words.ts";
import type { SpecLine } from "../../support/spack.ts";
import { copyOf, openStore, SPACK_1 } from "../../support/stores.ts";

const lines: SpecLine[] = JSON.parse(
  readFileSync(new URL("../../../testdata/spec-lines.json", import.meta.url), "utf8"),
);

test(`the words of ${lines.length} command lines are the specs that Spack reads and finds`, async () => {
  const store = await openStore(SPACK_1, await copyOf(SPACK_1));
  const nodes = [...store.records()].filter(({ installed }) => installed).map(({ node }) => node);
  const { graph } = store.database;
  const answer = (words: readonly string[]): SpecLine => {
    try {
      const queries = joinWords(words).flatMap((part) => ("text" in part ? parseQueries(part.text) : []));
      const specs = queries.map((query) =>
        select({ nodes, graph, place: "" }, [query])
          .map(({ name, hash }) => `${name}/${hash.slice(0, 7)}`)
          .toSorted(),
      );
      return { words, specs };
    } catch (error) {
      assert.ok(isStaveError(error, "SPEC_INVALID"), String(error));
      return { words };
    }
  };
  assert.deepEqual(
    lines.map(({ words }) => answer(words)),
    lines,
  );
});

const files: { words: string[]; parts: ReturnType<typeof joinWords> }[] = [
  {
    words: ["hull", "x.json", "paddle", "^hull"],
    parts: [{ text: "hull" }, { file: "x.json" }, { text: "paddle ^hull" }],
  },
  { words: ["./my dir/x+y.json"], parts: [{ file: "./my dir/x+y.json" }] },
  { words: ["fleet", "^./x.json"], parts: [{ text: "fleet ^./x.json" }] },
  { words: ["hull", "finish=x.json"], parts: [{ text: "hull finish=x.json" }] },
  { words: ["hull ./x.json"], parts: [{ text: "hull ./x.json" }] },
];

for (const { words, parts } of files)
  test(`spec files among the words: ${JSON.stringify(words)}`, () => assert.deepEqual(joinWords(words), parts));

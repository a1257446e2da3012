// Fuzzes indexes of caches and databases of stores.
import assert from "node:assert/strict";
import { readIndexText } from "../../../lib/cache/index-read.ts";
import { indexText } from "../../../lib/cache/index-write.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { readDatabase } from "../../../lib/spack/store/database.ts";
import { readAll } from "../../../lib/util/stream.ts";
import { makeDatabase } from "../../../scripts/make-database.ts";
import type { Family } from "../family.ts";
import { indexes } from "../seeds.ts";

const small = makeDatabase({ installs: 3, seed: 5, root: "/s" });
const WORDS = [
  '"hash":"',
  '"dependencies":[',
  '"spec":{',
  '"installs":{',
  '"version":"8"',
  '"database":{',
  '"in_buildcache":true',
  '"parameters":{',
  '"virtuals":[',
  "a".repeat(32),
  '"ref_count":',
  "__proto__",
  "null",
  "{}",
  "[]",
];

export const family: Family = {
  name: "index",
  targets: [
    {
      name: "index records",
      seeds: [small, ...indexes()],
      words: WORDS,
      share: { of: 0.5, because: "each checks the hashes of some specs" },
      run: async (bytes) => {
        const read = (text: Uint8Array) => readIndexText({ name: "the index", bytes: text, digest: digestOf(text) });
        const { records, problems, incomplete } = read(bytes);
        const complete = [...records.values()].filter(({ hash }) => !incomplete.has(hash));
        if (problems.length > 0 || complete.length === 0) return;
        // What was read completely is the same when it is read again.
        const hashes = complete.map(({ hash }) => hash);
        const written = await readAll(
          await indexText((hash) => records.get(hash), hashes).open(),
          1 << 24,
          "the index",
        );
        assert.deepEqual(new Set(read(written).records.keys()), new Set(hashes));
      },
    },
    {
      name: "databases",
      seeds: [small, ...indexes()],
      words: WORDS,
      share: { of: 0.5, because: "each ties a graph together" },
      run: (bytes) => {
        const { records, graph } = readDatabase({ name: "the database", bytes });
        for (const { node } of records.values()) assert.equal(graph.get(node.hash), node);
      },
    },
  ],
};

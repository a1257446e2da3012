// Fuzzes indexes of caches and databases of stores.
import assert from "node:assert/strict";
import { readIndexText } from "../../../lib/cache/index-read.ts";
import { indexText } from "../../../lib/cache/index-write.ts";
import { newNodesOf, scanDocument } from "../../../lib/cache/new-nodes.ts";
import type { NodeRecord } from "../../../lib/cache/record.ts";
import { checkIdentity } from "../../../lib/cache/spec-identity.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import { readDatabase } from "../../../lib/spack/store/database.ts";
import { parseJsonBytes } from "../../../lib/spack/text/json.ts";
import { readAll } from "../../../lib/util/stream.ts";
import { makeDatabase } from "../../../scripts/make-database.ts";
import type { Family } from "../family.ts";
import { imageTexts, indexes, specFiles } from "../seeds.ts";

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
      name: "specs for an index",
      seeds: [...specFiles(3), ...imageTexts("config", 3)],
      words: WORDS,
      share: { of: 0.5, because: "each checks the hashes of some specs" },
      run: (bytes) => {
        const name = "the document";
        const none = new Map<string, NodeRecord>();
        const found = scanDocument(Buffer.from(bytes), none, { source: { name } });
        if (found === undefined) return;
        parseJsonBytes(found.rest, { name });
        // What was scanned is what the full reader finds.
        const document = readSpecFile(bytes, name);
        checkIdentity(document, specTag(document.root), name);
        const { root, records } = newNodesOf(document, none);
        assert.equal(found.nodes.root.hash, root.hash);
        const byHash = (a: NodeRecord, b: NodeRecord): number => (a.hash < b.hash ? -1 : 1);
        const shown = (all: readonly NodeRecord[]) =>
          all.toSorted(byHash).map((record) => ({ ...record, text: Buffer.from(record.text).toString("latin1") }));
        assert.deepEqual(shown(found.nodes.records), shown(records));
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

// Proves that an index is read the same way by the fast path for Spack's own format and by the full parser.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CacheIndex, readIndexText } from "../../lib/cache/index-read.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { readDatabase } from "../../lib/spack/store/database.ts";
import { makeDatabase } from "../../scripts/make-database.ts";
import { useSeed } from "../support/seed.ts";

useSeed();
const TEXT = makeDatabase({ installs: 120, seed: 11, root: "/opt/store" });
const bytesOf = (text: string): { name: string; bytes: Buffer } => ({ name: "the index", bytes: Buffer.from(text) });
const read = (text: string): CacheIndex => readIndexText({ ...bytesOf(text), digest: digestOf(text) });
const told = (index: CacheIndex): unknown[] => Array.from(index.records.values(), ({ text: _, ...record }) => record);
const expected = told(read(TEXT));

test("records that are passed over say what parsing them says", () => {
  const { records } = readDatabase(bytesOf(TEXT));
  assert.equal(expected.length, records.size);
  assert.deepEqual(
    expected,
    Array.from(records.values(), ({ node, refCount, inBuildcache }) => ({
      ...{ hash: node.hash, name: node.name, version: node.version },
      dependencies: node.edges.map(({ child }) => child.hash),
      ...{ builtAs: undefined, format: 5, isVerified: true, inBuildcache, refCount },
    })),
  );
});

const spellings: { name: string; spell: (text: string) => string }[] = [
  { name: "with white space", spell: (text) => JSON.stringify(JSON.parse(text), null, 1) },
  { name: "with escapes in keys", spell: (text) => text.replaceAll('"hash":', '"h\\u0061sh":') },
  { name: "with escapes in values", spell: (text) => text.replaceAll('"name":"p', '"name":"\\u0070') },
];
for (const { name, spell } of spellings)
  test(`${name}: the same records`, () => {
    const index = read(spell(TEXT));
    assert.notEqual(spell(TEXT), TEXT);
    assert.deepEqual([index.problems, told(index)], [[], expected]);
  });

test("one changed byte is never believed: the index is refused, the record is left out, or it says the same", () => {
  const from = TEXT.indexOf('"installs":{') + '"installs":{'.length;
  fc.assert(
    fc.property(fc.integer({ min: from, max: TEXT.length - 4 }), fc.integer({ min: 32, max: 126 }), (at, code) => {
      const text = TEXT.slice(0, at) + String.fromCharCode(code) + TEXT.slice(at + 1);
      let index: CacheIndex;
      try {
        index = read(text);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "CONTENT_INVALID");
        return;
      }
      const all = new Map(read(TEXT).records);
      for (const record of index.records.values()) {
        const same = all.get(record.hash);
        assert.deepEqual(
          [record.name, record.version, record.dependencies],
          [same?.name, same?.version, same?.dependencies],
        );
      }
    }),
    { numRuns: 60 },
  );
});

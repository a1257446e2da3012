// Proves what the documents of a catalogue contain, that they are small, and that odd names are safe paths.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Catalogue, type CatalogueFile } from "../../lib/catalogue/catalogue.ts";
import { IN_CACHE, INCOMPLETE, type PackageDocument, type SpecDetails } from "../../lib/catalogue/catalogue-data.ts";
import { madeSpec } from "../support/caches.ts";
import { hostileSpec, MARKUP, ODD_NAMES, readIndex } from "../support/catalogue.ts";
import { fakeHash, fakeNode } from "../support/graph.ts";

const address = { kind: "images", text: "oci://host/cache" } as const;

async function all(catalogue: Catalogue): Promise<CatalogueFile[]> {
  return await Array.fromAsync(catalogue.files());
}

const zlib = madeSpec("zlib", "1.3");
const many = Array.from({ length: 450 }, (_, at) => madeSpec("many", `1.${at}`, [zlib]));

test("a package has its specs newest first, and their details in pieces of 50", async () => {
  const catalogue = new Catalogue(readIndex([...many, zlib]), { address });
  const { packages, specs, others, damaged, data } = catalogue.start("data/x");
  assert.deepEqual(packages, [
    ["many", 450, "1.449"],
    ["zlib", 1, "1.3"],
  ]);
  assert.deepEqual({ specs, others, damaged, data }, { specs: 451, others: 0, damaged: 0, data: "data/x" });
  const document: PackageDocument = JSON.parse((await catalogue.file("packages/many.json")) ?? "");
  assert.deepEqual(
    document.lines.slice(0, 3).map(([, version]) => version),
    ["1.449", "1.448", "1.447"],
  );
  for (let piece = 0; piece < 9; piece++) {
    const details: SpecDetails[] = JSON.parse((await catalogue.file(`details/many-${piece}.json`)) ?? "");
    assert.deepEqual(
      details.map(({ hash }) => hash),
      document.lines.slice(piece * 50, (piece + 1) * 50).map(([hash]) => hash),
    );
  }
  assert.equal(await catalogue.file("details/many-9.json"), undefined);
});

test("dependents are listed up to 40, and counted", async () => {
  const catalogue = new Catalogue(readIndex([...many, zlib]), { address });
  const [details]: SpecDetails[] = JSON.parse((await catalogue.file("details/zlib-0.json")) ?? "");
  assert.equal(details?.dependentCount, 450);
  assert.equal(details?.dependents.length, 40);
  const [one]: SpecDetails[] = JSON.parse((await catalogue.file("details/many-0.json")) ?? "");
  assert.deepEqual(one?.dependencies, [["zlib", zlib.root.hash, "1.3", 5, []]]);
});

test("each hash is found in the file of its first letter, of its first two if there are many", async () => {
  const few = new Catalogue(readIndex([zlib]), { address });
  assert.equal(few.start("data").shard, 1);
  assert.equal(await few.file(`hashes/${zlib.root.hash.slice(0, 1)}.json`), `[["${zlib.root.hash}",0]]`);
  assert.equal(await few.file(`hashes/${zlib.root.hash.slice(0, 2)}.json`), undefined);
  const records = Array.from({ length: 20_001 }, (_, at) => {
    const record = { hash: fakeHash(at), name: "p", version: "1", dependencies: [], builtAs: undefined, format: 5 };
    return { ...record, isVerified: true, inBuildcache: true, refCount: 0, text: Buffer.alloc(0) };
  });
  const index = { ...readIndex([]), records: new Map(records.map((record) => [record.hash, record])) };
  const large = new Catalogue(index, { address });
  assert.equal(large.specs, 20_001);
  assert.equal(large.start("data").shard, 2);
  const rows: [string, number][] = JSON.parse((await large.file(`hashes/${fakeHash(7).slice(0, 2)}.json`)) ?? "");
  assert.ok(rows.some(([hash, at]) => hash === fakeHash(7) && at === 0));
});

test("any package name has files that every file system keeps apart, and none leaves the folder", async () => {
  const index = readIndex(ODD_NAMES.map((name) => madeSpec(name, "1")));
  const catalogue = new Catalogue(index, { address });
  const files = await all(catalogue);
  for (const { path } of files) assert.match(path, /^(?:packages|details|hashes)\/[a-z0-9_][a-z0-9_-]{0,90}\.json$/);
  assert.equal(new Set(files.map(({ path }) => path.toLowerCase())).size, files.length);
  assert.deepEqual(catalogue.packages.map(([name]) => name).sort(), [...ODD_NAMES].sort());
  assert.ok(!files.some(({ path }) => /^packages\/(?:con|nul)\.json$/.test(path)));
  for (const [name, , , file] of catalogue.packages) {
    const { name: written }: PackageDocument = JSON.parse(
      (await catalogue.file(`packages/${file ?? name}.json`)) ?? "",
    );
    assert.equal(written, name);
  }
  for (const path of ["packages/../x.json", "packages/.json", "../packages/con.json", "packages/con.json/", "x"])
    assert.equal(await catalogue.file(path), undefined);
});

test("names that are no package names are counted as damaged, and are in no document", async () => {
  const bad = ["../x", "-rf", "a b", "", "<b>"].map((name, at) => [fakeHash(at), { spec: fakeNode(name, at, []) }]);
  const catalogue = new Catalogue(readIndex([zlib], Object.fromEntries(bad)), { address });
  assert.equal(catalogue.start("data").damaged, 5);
  assert.deepEqual(catalogue.packages, [["zlib", 1, "1.3"]]);
});

test("texts of an index are kept as texts, without invisible characters, and bounded", async () => {
  const long = madeSpec("long", "1", [], { parameters: { a: "x".repeat(100_000), b: "left\u202eright\u0007" } });
  const catalogue = new Catalogue(readIndex([hostileSpec("evil"), long]), { address });
  const [details]: SpecDetails[] = JSON.parse((await catalogue.file("details/long-0.json")) ?? "");
  assert.equal(details?.variants[0]?.[1].length, 2001);
  assert.equal(details?.variants[1]?.[1], "left\\u202eright\\u0007");
  const [evil]: SpecDetails[] = JSON.parse((await catalogue.file("details/evil-0.json")) ?? "");
  assert.equal(evil?.version, `1.0${MARKUP}`);
});

test("a dependency that the index lacks is named without a version, and makes its dependents incomplete", async () => {
  const lost = madeSpec("lost", "1");
  const { root } = madeSpec("app", "1", [lost]);
  const more = { [root.hash]: { spec: root.raw, in_buildcache: true } };
  const catalogue = new Catalogue(readIndex([], more), { address });
  const [details]: SpecDetails[] = JSON.parse((await catalogue.file("details/app-0.json")) ?? "");
  assert.deepEqual(details?.dependencies, [["lost", lost.root.hash, "", 5, []]]);
  assert.equal(details?.marks, IN_CACHE | INCOMPLETE);
});

test("the same index gives the same documents", async () => {
  const specs = [...many.slice(0, 20), zlib];
  const documents = async (list: typeof specs) => await all(new Catalogue(readIndex(list), { address }));
  assert.deepEqual(await documents(specs), await documents(specs));
});

test("requests for hashes and packages do not go through the index again", async () => {
  let reads = 0;
  const records = Array.from({ length: 20_001 }, (_, at) => ({
    ...{ name: `p${at % 100}`, version: "1", dependencies: [], builtAs: undefined, format: 5, isVerified: true },
    ...{ inBuildcache: true, refCount: 0, text: Buffer.alloc(0) },
    get hash(): string {
      reads++;
      return fakeHash(at);
    },
  }));
  const index = { ...readIndex([]), records: new Map(records.map((record, at) => [fakeHash(at), record])) };
  const catalogue = new Catalogue(index, { address });
  await catalogue.file("hashes/zz.json");
  reads = 0;
  for (const path of ["hashes/zz.json", "hashes/00.json", "packages/none.json", "details/none-0.json"]) {
    assert.equal(await catalogue.file(path), undefined);
    assert.equal(catalogue.has(path), false);
  }
  const path = `hashes/${fakeHash(7).slice(0, 2)}.json`;
  assert.ok(catalogue.has(path));
  assert.equal(await catalogue.file(path), await catalogue.file(path));
  assert.equal(catalogue.start("data").packages, catalogue.packages);
  assert.equal(catalogue.packages, catalogue.packages);
  assert.equal(reads, 0);
});

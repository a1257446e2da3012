// Large indexes: read from a file by a window, remembered between runs, and never in memory as a whole.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { openSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeDirectory } from "../../lib/cache/directory-writer.ts";
import { readDirectory } from "../../lib/cache/index-directory.ts";
import { IndexFile } from "../../lib/cache/index-file.ts";
import { type CacheIndex, readIndexText } from "../../lib/cache/index-read.ts";
import { listIndexed } from "../../lib/cache/index-select.ts";
import { type IndexText, indexText } from "../../lib/cache/index-write.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import type { IndexRecord } from "../../lib/cache/record.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { createTransport } from "../../lib/http/transport.ts";
import { WebObjects } from "../../lib/objects/web-objects.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { parseQueries } from "../../lib/spack/query/spec-parser.ts";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { readAll } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeDatabase } from "../../scripts/make-database.ts";
import { writeMirrorIndex } from "../../scripts/make-mirror.ts";
import { connect } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { mirrorAt, startWeb } from "../support/mirrors.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const source = { name: "the index", digest: digestOf("") };
// Larger than the window, with records that are larger than what is left of it.
const TEXT = makeDatabase({ installs: 60, seed: 5, root: "/opt/store", stack: 60, patches: 3000 });
const texts = (index: CacheIndex): unknown =>
  Array.from(index.records.values(), ({ hash, name, version, dependencies, text, inBuildcache, refCount }) => [
    ...[hash, name, version, dependencies, inBuildcache, refCount, digestOf(text)],
  ]);
const fromFile = (text: string): CacheIndex => {
  const path = join(temporaryFolder(), "index.json");
  writeFileSync(path, text);
  const file = new IndexFile({ descriptor: openSync(path, "r"), size: statSync(path).size, ...source });
  file.isDoubtful = false;
  return readIndexText({ ...source, bytes: file });
};

const reversed = (): string => {
  const { database } = JSON.parse(TEXT);
  return JSON.stringify({ database: { installs: database.installs, version: database.version } });
};
const spellings: { name: string; text: () => string }[] = [
  { name: "as Spack writes it", text: () => TEXT },
  { name: "with white space", text: () => JSON.stringify(JSON.parse(TEXT), null, 2) },
  { name: "with the version last", text: reversed },
  { name: "with a long value in front", text: () => TEXT.replace("{", `{"x":["${'\\\\\\"'.repeat(3e6)}",1],`) },
  { name: "with a long key", text: () => TEXT.replace('"version":', `"${"k".repeat(6e6)}":1,"version":`) },
  { name: "with much white space", text: () => TEXT.replaceAll('"database":', `"database":${" ".repeat(9e6)}`) },
  {
    name: "with a record that is no record",
    text: () => TEXT.replace('"installs":{', `"installs":{"x":[${"1,".repeat(3e6)}1],`),
  },
];
for (const { name, text } of spellings)
  test(`a large index ${name} is read from a file as from memory`, () => {
    const bytes = Buffer.from(text());
    const [inMemory, inFile] = [readIndexText({ ...source, bytes }), fromFile(text())];
    assert.ok(bytes.length > 8 * 1024 * 1024);
    assert.deepEqual(texts(inFile), texts(inMemory));
    assert.deepEqual(inFile.problems, inMemory.problems);
    assert.equal(inFile.records.size, 60);
  });

type Installs = Record<string, { spec: { dependencies?: { hash: string }[] }; ref_count?: number }>;
// The text with other records: their order and white space stay.
const changed = (change: (installs: Installs, hashes: string[]) => void): string => {
  const value = JSON.parse(TEXT);
  change(value.database.installs, Object.keys(value.database.installs));
  return JSON.stringify(value);
};
const leaf = (installs: Installs, hashes: string[]): string =>
  hashes.find((hash) => hashes.some((other) => installs[other]?.spec.dependencies?.some((one) => one.hash === hash))) ??
  "";
const directories: { name: string; text: () => string; isUsual: boolean }[] = [
  { name: "as Spack writes it", text: () => TEXT, isUsual: true },
  {
    name: "without a dependency of others",
    text: () => changed((installs, hashes) => delete installs[leaf(installs, hashes)]),
    isUsual: true,
  },
  {
    name: "without counts of uses",
    text: () =>
      changed((installs, hashes) => {
        for (const hash of hashes.slice(0, 30)) delete installs[hash]?.ref_count;
      }),
    isUsual: true,
  },
  { name: "with the version last", text: reversed, isUsual: false },
  { name: "with white space", text: () => JSON.stringify(JSON.parse(TEXT), null, 2), isUsual: false },
  {
    name: "with a record under another hash",
    text: () => changed((installs, hashes) => Object.assign(installs, { ["a".repeat(32)]: installs[hashes[0] ?? ""] })),
    isUsual: false,
  },
  {
    name: "with an odd count of uses",
    text: () => changed((installs, hashes) => Object.assign(installs[hashes[0] ?? ""] ?? {}, { ref_count: 0.5 })),
    isUsual: false,
  },
  { name: "that is cut", text: () => TEXT.slice(0, -5), isUsual: false },
  { name: "that is none", text: () => "[]", isUsual: false },
];
for (const { name, text, isUsual } of directories)
  test(`the directory of an index ${name} ${isUsual ? "says what the index says" : "does not exist"}`, () => {
    const path = join(temporaryFolder(), "index.json");
    writeFileSync(path, text());
    const file = new IndexFile({ descriptor: openSync(path, "r"), size: statSync(path).size, ...source });
    const written = writeDirectory(file, source);
    assert.equal(written !== undefined, isUsual);
    if (written === undefined) return;
    const listed = readDirectory(written, file, source.digest);
    assert.ok(listed);
    const read = readIndexText({ ...source, bytes: Buffer.from(text()) });
    assert.deepEqual(texts(listed), texts(read));
    assert.deepEqual([listed.version, listed.incomplete, listed.problems], [read.version, read.incomplete, []]);
    assert.ok(name.startsWith("without a dependency") === listed.incomplete.size > 0);
    for (const [hash, record] of listed.records) assert.equal(record.format, read.records.get(hash)?.format);
    for (const at of [0, 80, written.length - 1]) {
      const damaged: Buffer = Buffer.from(written);
      damaged.writeUInt8((written[at] ?? 0) ^ 1, at);
      assert.equal(readDirectory(damaged, file, source.digest), undefined);
    }
  });

test("a list by the names of packages reads no record of others", () => {
  const records = new Map<string, IndexRecord>();
  let read = 0;
  for (const [hash, record] of readIndexText({ ...source, bytes: Buffer.from(TEXT) }).records) {
    const { text, ...fields } = record;
    const look = (): Uint8Array => {
      read++;
      return text;
    };
    records.set(hash, Object.defineProperty({ ...fields, text, inBuildcache: true }, "text", { get: look }));
  }
  const index = { ...readIndexText({ ...source, bytes: Buffer.from(TEXT) }), records };
  const rows = (query: string): string[] =>
    listIndexed(index, parseQueries(query), "the index", ({ hash }) => hash).sort();
  const wanted = [...records.values()].find((one) => one.dependencies.length > 3);
  assert.ok(wanted);
  const same = [...records.values()].filter(({ name }) => name === wanted.name).map(({ hash }) => hash);
  assert.deepEqual(rows(wanted.name), same.sort());
  assert.equal(read, same.length);
  // What is asked of dependencies is in their records.
  const child = records.get(wanted.dependencies[0] ?? "")?.name;
  assert.ok(rows(`${wanted.name} ^${child}`).includes(wanted.hash));
  assert.ok(read > 2 * same.length);
});

for (const length of [100, 5e6, TEXT.length - 1])
  test(`a large index that ends after ${length} bytes is truncated, in a file as in memory`, async () => {
    await failsWith("CONTENT_INVALID", () => fromFile(TEXT.slice(0, length)), /truncated/);
  });

const memoryIn = (place: string): DiskCache => new DiskCache({ folder: place, clock: systemClock });

test("a large index that was read once is not read again, except for the records of a query", async () => {
  const [cache, folder] = [temporaryFolder(), temporaryFolder()];
  writeMirrorIndex(folder, { specs: 170, patches: 3000 });
  const read = async (): Promise<CacheIndex> => {
    const index = await mirrorAt(folder, { memory: memoryIn(cache) }).readIndex();
    assert.ok(index);
    return index;
  };
  const first = await read();
  assert.deepEqual(readdirSync(cache), ["indexes"], "what is a file already is not copied");
  const blob = join(folder, "blobs/sha256", readdirSync(join(folder, "blobs/sha256"))[0] ?? "");
  const path = join(blob, readdirSync(blob)[0] ?? "");
  const bytes = readFileSync(path);
  // A record that no query needs is not looked at; one that is needed is verified.
  const [gone] = [...first.records.values()].filter(({ name }) => name === "zlib-ng");
  assert.ok(gone);
  bytes.write("X", bytes.indexOf(`"hash":"${gone.hash}"}`) - 40, "latin1");
  writeFileSync(path, bytes);
  const second = await read();
  const whole = [...second.records.values()].filter(({ hash }) => hash !== gone.hash);
  assert.equal(whole.length, first.records.size - 1);
  for (const record of whole) assert.ok(record.text.byteLength > 0);
  await failsWith("CONTENT_INVALID", () => second.records.get(gone.hash)?.text, /is damaged/);
  await failsWith("DIGEST_MISMATCH", read);
});

test("a large index gives the same index when it is written again", async () => {
  const folder = temporaryFolder();
  writeMirrorIndex(folder, { specs: 170, patches: 3000 });
  const index = await mirrorAt(folder, { memory: memoryIn(temporaryFolder()) }).readIndex();
  assert.ok(index);
  const held = [...index.records.values()].filter(({ inBuildcache }) => inBuildcache).map(({ hash }) => hash);
  const written = indexText((hash) => index.records.get(hash), held);
  const bytes = await readAll(await written.open(), written.size, "the index");
  const again = readIndexText({ ...source, bytes });
  assert.deepEqual(
    Array.from(again.records.values(), ({ hash, text }) => [hash, digestOf(text)]).sort(),
    Array.from(index.records.values(), ({ hash, text }) => [hash, digestOf(text)]).sort(),
  );
});

const inFile = (text: string, onDamage?: () => void): { path: string; file: IndexFile; index: CacheIndex } => {
  const path = join(temporaryFolder(), "index.json");
  writeFileSync(path, text);
  const { size } = statSync(path);
  const file = new IndexFile({
    descriptor: openSync(path, "r"),
    size,
    name: "the index",
    digest: digestOf(text),
    onDamage,
  });
  const index = readDirectory(writeDirectory(file, source) ?? Buffer.alloc(0), file, digestOf(text));
  assert.ok(index);
  return { path, file, index };
};
const writtenFrom = (index: CacheIndex): IndexText =>
  indexText((hash) => index.records.get(hash), index.records.keys());
const backwards = (): string =>
  changed((installs, hashes) => {
    const all = hashes.map((hash) => [hash, installs[hash]] as const);
    for (const hash of hashes) delete installs[hash];
    Object.assign(installs, Object.fromEntries(all.sort(([a], [b]) => (a < b ? 1 : -1))));
  });
const origins: { name: string; index: () => Promise<CacheIndex> }[] = [
  { name: "a file that is not verified", index: async () => inFile(TEXT).index },
  {
    name: "a file that is verified",
    index: async () => {
      const { file, index } = inFile(TEXT);
      file.isDoubtful = false;
      return index;
    },
  },
  { name: "a file in its own order", index: async () => inFile(await textOf(writtenFrom(inFile(TEXT).index))).index },
  { name: "a file in reverse order", index: async () => inFile(backwards()).index },
];
const textOf = async (text: IndexText, offset = 0): Promise<string> =>
  (await readAll(await text.open(offset), text.size, "the index")).toString("latin1");
for (const { name, index } of origins)
  test(`a large index from ${name} is written as one from memory`, async () => {
    const expected = writtenFrom(readIndexText({ ...source, bytes: Buffer.from(TEXT) }));
    const written = writtenFrom(await index());
    assert.deepEqual([written.digest, written.size], [expected.digest, expected.size]);
    const whole = await textOf(written);
    assert.equal(digestOf(whole), expected.digest);
    // A second upload may begin anywhere.
    for (const offset of [1, 300_000, written.size - 2])
      assert.equal(await textOf(written, offset), whole.slice(offset));
    // Read before its digest is asked for, and after it was read in part.
    const other = writtenFrom(await index());
    assert.equal(await textOf(other, 10), whole.slice(10));
    for await (const _chunk of await other.open()) break;
    assert.equal(await textOf(other), whole);
    assert.equal(other.digest, expected.digest);
  });

test("a large index is produced once when it is sent to a registry, and its digest comes last", async () => {
  const { file, index } = inFile(TEXT);
  let copied = 0;
  const copy = file.copyText.bind(file);
  file.copyText = (...text) => {
    copied++;
    copy(...text);
  };
  const registry = await startRegistry();
  const client = connect(registry.host, "cache");
  const cache = new OciCache(client.target);
  const written = writtenFrom(index);
  await cache.writeIndex(written, { replaced: index });
  assert.deepEqual(
    registry.requests.filter(({ url }) => url.includes("/uploads/")).map(({ method }) => method),
    ["POST", "PATCH", "PUT", "POST", "PUT"],
  );
  assert.equal(copied, index.records.size);
  const found = await cache.readIndex();
  assert.deepEqual([found?.digest, found?.size, found?.records.size], [written.digest, written.size, 60]);
  await client.close();
  await registry.close();
});

test("a large index is not written from a damaged file", async () => {
  let damaged = 0;
  const { path, file, index } = inFile(TEXT, () => damaged++);
  const bytes = readFileSync(path);
  bytes.write("X", TEXT.lastIndexOf('"hash":') - 40, "latin1");
  writeFileSync(path, bytes);
  await failsWith("CONTENT_INVALID", () => writtenFrom(index).digest, /is damaged/);
  await failsWith("CONTENT_INVALID", () => textOf(writtenFrom(index)), /is damaged/);
  assert.deepEqual([damaged, file.isDoubtful], [2, true]);
  // Cut after it was verified.
  file.isDoubtful = false;
  writeFileSync(path, TEXT.slice(0, -1e6));
  await failsWith("CONTENT_INVALID", () => writtenFrom(index).digest, /is damaged/);
});

test("a large index that arrives damaged or cut is refused, and not remembered", async () => {
  const folder = temporaryFolder();
  writeMirrorIndex(folder, { specs: 170, patches: 3000 });
  const web = await startWeb(folder);
  const transport = createTransport({ clock: systemClock, retry: { attempts: 1, milliseconds: 100 } });
  const memory = memoryIn(temporaryFolder());
  const read = (): Promise<CacheIndex | undefined> =>
    mirrorAt("/nowhere", {
      objects: new WebObjects({ url: new URL(web.url), transport, login: undefined }),
      memory,
    }).readIndex();
  const bytesOf = (path: string): Buffer => readFileSync(join(folder, path));
  const damages: { change: (bytes: Buffer) => Buffer; code: ErrorCode }[] = [
    { change: (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from("x")]), code: "DIGEST_MISMATCH" },
    { change: (bytes) => bytes.subarray(0, 1e6), code: "SIZE_MISMATCH" },
    { change: (bytes) => Buffer.concat([bytes, bytes]), code: "SIZE_MISMATCH" },
  ];
  try {
    for (const { change, code } of damages) {
      web.intervene = (request, response) => {
        const path = request.url ?? "";
        if (!path.startsWith("/blobs/")) return false;
        response.end(change(bytesOf(path)));
        return true;
      };
      await failsWith(code, read());
    }
    web.intervene = undefined;
    web.requests.length = 0;
    assert.equal((await read())?.records.size, 170);
    assert.equal(web.requests.filter((request) => request.includes("/blobs/")).length, 1);
    assert.equal((await read())?.records.size, 170);
    assert.equal(web.requests.filter((request) => request.includes("/blobs/")).length, 1, "remembered");
  } finally {
    await transport.close();
    await web.close();
  }
});

test("the memory of a list does not grow with the index", () => {
  const large = temporaryFolder();
  const small = temporaryFolder();
  const size = writeMirrorIndex(large, { specs: 9000, patches: 120 });
  writeMirrorIndex(small, { specs: 2500 });
  const program = `
    const { mirrorAt } = await import("./test/support/mirrors.ts");
    const { DiskCache } = await import("./lib/util/disk-cache.ts");
    const { systemClock } = await import("./lib/util/time.ts");
    const { parseQueries } = await import("./lib/spack/query/spec-parser.ts");
    const { list } = await import("./lib/ops/cache/list.ts");
    const [from, folder] = process.argv.slice(1);
    const mirror = mirrorAt(from, { memory: new DiskCache({ folder, clock: systemClock }) });
    const { specs } = await list(mirror, { queries: parseQueries("hdf5") });
    console.log(specs.length, process.resourceUsage().maxRSS);
  `;
  const cache = temporaryFolder();
  const measured = (from: string): number => {
    const args = ["--import", "tsx", "--input-type=module", "-e", program, from, cache];
    const [specs = 0, kilobytes = 0] = execFileSync(process.execPath, args, { encoding: "utf8" })
      .split(" ")
      .map(Number);
    assert.ok(specs > 0);
    return kilobytes * 1024;
  };
  const least = measured(small);
  for (const run of ["the first time", "again"]) {
    const more = measured(large) - least;
    assert.ok(more < 0.75 * size, `${run}: ${more} bytes more for an index of ${size} bytes`);
  }
});

// Proves that an eStargz layer is the archive with a table, that the table leads to the content of every file, and that
// the same archive gives the same layer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { endOfArchive, padding, type TarEntry, tarHeader } from "../../../lib/image/archive/tar-writer.ts";
import { type EstargzSummary, EstargzWriter } from "../../../lib/image/pack/estargz.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { TarReader } from "../../../lib/relocate/unpack/tar-reader.ts";
import { failsWith } from "../../support/errors.ts";

type Entry = Partial<TarEntry> & Pick<TarEntry, "type" | "name"> & { readonly content?: Buffer };

function archiveOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ content = Buffer.alloc(0), ...entry }) => [
    tarHeader({ linkName: "", executable: false, ...entry, size: content.length }),
    content,
    Buffer.alloc(padding(content.length, 512)),
  ]);
  const all = Buffer.concat(parts);
  return Buffer.concat([all, endOfArchive(all.length)]);
}

function write(archive: Buffer, step: number): { layer: Buffer; summary: EstargzSummary } {
  const writer = new EstargzWriter({ method: "gzip", level: 1 }, "the layer");
  const out: Buffer[] = [];
  // The bytes are valid during the call only.
  for (let at = 0; at < archive.length; at += step) {
    const lent = Buffer.from(archive.subarray(at, at + step));
    out.push(...writer.push(lent));
    lent.fill(0xaa);
  }
  const { bytes, summary } = writer.end();
  return { layer: Buffer.concat([...out, ...bytes]), summary };
}

interface Row {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly offset?: number;
  readonly digest?: string;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
  readonly linkName?: string;
  readonly mode: number;
  readonly uid?: number;
}

/** The files of a layer, found by its footer and table alone. */
function readByTable(layer: Buffer, { tocDigest }: EstargzSummary): { rows: Row[]; files: Map<string, Buffer> } {
  const footer = layer.subarray(-51);
  assert.equal(footer.toString("latin1", 12, 14), "SG");
  assert.match(footer.toString("latin1", 16, 38), /^[0-9a-f]{16}STARGZ$/);
  const at = Number.parseInt(footer.toString("latin1", 16, 32), 16);
  const member = gunzipSync(layer.subarray(at, -51));
  assert.equal(member.toString("latin1", 0, 17), "stargz.index.json");
  const size = Number.parseInt(member.toString("latin1", 124, 135), 8);
  const text = member.subarray(512, 512 + size);
  assert.equal(digestOf(text), tocDigest);
  const { version, entries } = JSON.parse(text.toString()) as { version: number; entries: Row[] };
  assert.equal(version, 1);
  const files = new Map<string, Buffer>();
  let file: Row | undefined;
  for (const row of entries) {
    if (row.type === "reg") file = row;
    if (row.offset === undefined || file === undefined) continue;
    const length = row.chunkSize ?? (file.size ?? 0) - (row.chunkOffset ?? 0);
    const chunk = gunzipSync(layer.subarray(row.offset, at)).subarray(0, length);
    assert.equal(digestOf(chunk), row.chunkDigest, row.name);
    files.set(row.name, Buffer.concat([files.get(row.name) ?? Buffer.alloc(0), chunk]));
  }
  const offsets = entries.flatMap(({ offset }) => offset ?? []);
  assert.equal(new Set(offsets).size, offsets.length, "each begins a member of its own");
  for (const row of entries)
    if (row.type === "reg" && row.size !== undefined)
      assert.equal(digestOf(files.get(row.name) ?? Buffer.alloc(0)), row.digest);
  return { rows: entries, files };
}

const LONG = `${"folder/".repeat(20)}file`;
const pattern = (size: number): Buffer => Buffer.alloc(size, "some text that repeats, and some more of it\n");
const ENTRIES: Entry[] = [
  { type: "directory", name: "opt" },
  { type: "file", name: "opt/empty" },
  { type: "file", name: "opt/program", content: Buffer.from("#!/bin/sh\n"), executable: true },
  { type: "hardlink", name: "opt/twin", linkName: "opt/program", executable: true },
  { type: "symlink", name: "opt/link", linkName: "program" },
  { type: "file", name: "opt/large", content: pattern(9 * 1024 * 1024 + 5) },
  { type: "file", name: "opt/whole", content: pattern(4 * 1024 * 1024) },
  { type: "file", name: "opt/\xc3\xa9", content: Buffer.from("accent") },
  { type: "file", name: LONG, content: Buffer.from("long"), owner: { user: 1000, group: 1000 } },
];

test("the table leads to every file, in chunks of 4 MiB", () => {
  const { layer, summary } = write(archiveOf(ENTRIES), 100_000);
  const { rows, files } = readByTable(layer, summary);
  for (const { type, name, content } of ENTRIES) {
    if (type !== "file" || content === undefined) continue;
    assert.ok(files.get(Buffer.from(name, "latin1").toString())?.equals(content), name);
  }
  const row = (name: string): Partial<Row> => rows.find((each) => each.name === name) ?? {};
  assert.deepEqual(row("opt/"), { name: "opt/", type: "dir", mode: 0o755 });
  assert.deepEqual(row("opt/empty"), { name: "opt/empty", type: "reg", mode: 0o644 });
  assert.equal(row("opt/program").mode, 0o755);
  assert.equal(row("opt/twin").linkName, "opt/program");
  assert.deepEqual([row("opt/link").type, row("opt/link").linkName], ["symlink", "program"]);
  assert.equal(row(LONG).uid, 1000);
  assert.equal(rows.filter(({ name }) => name === "opt/large").length, 3);
  assert.equal(rows.filter(({ name }) => name === "opt/whole").length, 1);
  assert.equal(rows[0]?.name, ".no.prefetch.landmark");
});

test("as an ordinary layer it is the archive, a landmark before it, and the table behind it", () => {
  const archive = archiveOf(ENTRIES);
  const { layer, summary } = write(archive, 1 << 20);
  const raw = gunzipSync(layer);
  assert.equal(digestOf(raw), summary.diffId);
  assert.equal(raw.length, summary.archiveSize);
  assert.equal(raw.length % 10_240, 0);
  const end = archive.length - endOfArchive(0).length;
  assert.ok(raw.subarray(1024, 1024 + end - 10_240).equals(archive.subarray(0, end - 10_240)));
  const names: string[] = [];
  const reader = new TarReader({ member: ({ name }) => void names.push(name), content() {}, contentEnd() {} });
  reader.push(raw);
  reader.end();
  assert.deepEqual(names, [".no.prefetch.landmark", ...ENTRIES.map(({ name }) => name), "stargz.index.json"]);
});

test("the same archive gives the same layer, however it arrives", () => {
  const entries = ENTRIES.map((entry) => ({
    ...entry,
    ...(entry.content && { content: entry.content.subarray(0, 70_000) }),
  }));
  const archive = archiveOf(entries);
  const { layer } = write(archive, archive.length);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), (step) => write(archive, step).layer.equals(layer)),
    { numRuns: 25 },
  );
  assert.ok(write(archive, 1).layer.equals(layer));
});

test("what the table cannot hold, and what is no archive, is refused", async () => {
  const archive = archiveOf(ENTRIES);
  const cases = [
    ["UNSUPPORTED", archiveOf([{ type: "file", name: "caf\xe9" }]), /the name .*, which is not UTF-8: eStargz/],
    ["CONTENT_INVALID", archive.subarray(0, 5000), /has no end$/],
    ["CONTENT_INVALID", Buffer.alloc(512, 1), /has a header without a size$/],
  ] as const;
  for (const [code, bytes, why] of cases) await failsWith(code, (async () => write(bytes, 512))(), why);
});

// Proves that an eStargz layer is the archive with a table, that the table leads to the content of every file, and that
// the same archive gives the same layer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { isStaveError } from "../../../lib/errors.ts";
import { endOfArchive, padding, type TarEntry, tarHeader } from "../../../lib/image/archive/tar-writer.ts";
import { type EstargzSummary, EstargzWriter } from "../../../lib/image/pack/estargz.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { type TarMember, TarReader } from "../../../lib/relocate/unpack/tar-reader.ts";
import { failsWith } from "../../support/errors.ts";
import { END, pax, rawMember, record } from "../../support/hostile-tar.ts";

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

/** The table of a layer, found by its footer, and where it is. */
function tableOf(layer: Buffer, { tocDigest }: EstargzSummary): { rows: Row[]; at: number } {
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
  return { rows: entries, at };
}

/** The files of a layer, found by its footer and table alone. */
function readByTable(layer: Buffer, summary: EstargzSummary): { rows: Row[]; files: Map<string, Buffer> } {
  const { rows: entries, at } = tableOf(layer, summary);
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
    ["CONTENT_INVALID", Buffer.alloc(512, 1), /has a header with a wrong checksum$/],
    ["CONTENT_INVALID", rawMember({ name: "opt/good", size: "zz" }), /has a header without a size$/],
  ] as const;
  for (const [code, bytes, why] of cases) await failsWith(code, (async () => write(bytes, 512))(), why);
});

const EVIL = "\n27 path=usr/bin/evil\n";

test("entries have the names that an installation gives them", () => {
  const cases: [string, Buffer, string][] = [
    [
      "the first part of a POSIX name",
      rawMember({ name: "etc/shadow", prefix: "opt/spack/v" }),
      "opt/spack/v/etc/shadow",
    ],
    [
      "a record inside the text of another one",
      Buffer.concat([pax({ comment: `a${EVIL}b` }), rawMember({ name: "opt/good" })]),
      "opt/good",
    ],
    [
      "times of GNU, in the place of that first part",
      rawMember({ name: "opt/good", prefix: "14000000000", magic: "ustar  \0" }),
      "opt/good",
    ],
  ];
  for (const [what, bytes, name] of cases) {
    const { layer, summary } = write(Buffer.concat([bytes, END]), 512);
    const names = readByTable(layer, summary).rows.map((row) => row.name);
    assert.deepEqual(names, [".no.prefetch.landmark", name], what);
  }
});

test("headers that readers could take for different things are refused", async () => {
  const meta = (text: string, type = "x"): Buffer => rawMember({ name: "././@PaxHeader", type }, text);
  const good = rawMember({ name: "opt/good" });
  const cases: ["CONTENT_INVALID" | "ARCHIVE_UNSAFE", Buffer[]][] = [
    ["CONTENT_INVALID", [meta(`9 path=usr/bin/evil\n`), good]],
    ["CONTENT_INVALID", [meta(`99 path=usr/bin/evil\n`), good]],
    ["CONTENT_INVALID", [meta("path=usr/bin/evil\n"), good]],
    ["CONTENT_INVALID", [meta(record("size", "1e3")), good]],
    ["CONTENT_INVALID", [rawMember({ name: "opt/good", magic: "\0\0\0\0\0\0\0\0", prefix: "usr" })]],
    ["ARCHIVE_UNSAFE", [meta(record("path", "a") + record("path", "b")), good]],
    ["ARCHIVE_UNSAFE", [meta(record("path", "a"), "g"), good]],
    ["CONTENT_INVALID", [rawMember({ name: "opt/good", checksum: "0000000" })]],
    ["CONTENT_INVALID", [rawMember({ name: "meta", type: "x", checksum: "0000000" }, record("path", "a")), good]],
    ["ARCHIVE_UNSAFE", [rawMember({ name: "/etc/shadow" })]],
    ["ARCHIVE_UNSAFE", [rawMember({ name: "etc/shadow", prefix: "opt/.." })]],
    ["ARCHIVE_UNSAFE", [rawMember({ name: "opt/link", type: "1", linkName: "../etc/shadow" })]],
  ];
  for (const [code, parts] of cases)
    await failsWith(code, (async () => write(Buffer.concat([...parts, END]), 512))(), /the archive of the layer/);
});

test("any headers: the table is what an installation reads, or there is none", () => {
  const words = fc.constantFrom("a", "b", "etc/shadow", "opt/x", "..", "/", "b\n", EVIL, "9 size=1\n", "\0", "é");
  const mixed = fc.array(words, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(""));
  const text = fc.oneof({ weight: 4, arbitrary: fc.constantFrom("a", "opt/x", "b/é", "27 path=a") }, mixed);
  const key = fc.constantFrom("path", "linkpath", "size", "comment", "mtime");
  const header = fc.oneof(
    fc.tuple(key, text).map(([name, value]) => pax({ [name]: value })),
    fc.tuple(fc.constantFrom("x", "L", "K"), text).map(([type, body]) => rawMember({ name: "meta", type }, body)),
  );
  const member = fc
    .record({
      ...{ name: text, prefix: fc.oneof(fc.constant(""), text), linkName: fc.oneof(fc.constant(""), text) },
      type: fc.constantFrom("0", "0", "1", "2", "5"),
      magic: fc.constantFrom("ustar\x0000", "ustar\x0000", "ustar  \0", "ustar\x0011"),
    })
    .map(({ linkName, ...fields }) =>
      rawMember({ ...fields, ...("12".includes(fields.type) && { linkName }) }, fields.type === "0" ? "content" : ""),
    );
  const entry = fc.oneof(
    member,
    fc.tuple(header, member).map((both) => Buffer.concat(both)),
  );
  const archive = fc.array(entry, { minLength: 1, maxLength: 3 });
  let compared = 0;
  fc.assert(
    fc.property(archive, (parts) => {
      const bytes = Buffer.concat([...parts, END]);
      const table = resultOf(() => {
        const { layer, summary } = write(bytes, bytes.length);
        return tableOf(layer, summary).rows.slice(1);
      });
      const members = resultOf(() => membersOf(bytes));
      if (table === undefined || members === undefined) return;
      compared++;
      assert.deepEqual(
        table.map(({ name, size = 0, linkName = "" }) => [withoutSlash(name), size, linkName]),
        members.map(({ name, size, linkName }) => [withoutSlash(utf8(name)), size, utf8(linkName)]),
      );
    }),
    { numRuns: 600 },
  );
  assert.ok(compared > 20, `only ${compared} archives were read by both`);
});

// Readers differ in whether they keep a slash at the end of a name, which changes nothing.
const withoutSlash = (name: string): string => name.replace(/\/+$/, "");
const utf8 = (name: string): string => Buffer.from(name, "latin1").toString();

function membersOf(bytes: Buffer): TarMember[] {
  const members: TarMember[] = [];
  const reader = new TarReader({ member: (member) => void members.push(member), content() {}, contentEnd() {} });
  reader.push(bytes);
  reader.end();
  return members;
}

function resultOf<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isStaveError(error)) return undefined;
    throw error;
  }
}

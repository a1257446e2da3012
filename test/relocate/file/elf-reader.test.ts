// Proves that ELF headers of every size and byte order are relocated, including those that Spack skips or that are
// inconsistent.
import assert from "node:assert/strict";
import { chmodSync, closeSync, linkSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readElfPaths } from "../../../lib/relocate/file/elf-reader.ts";
import { OpenFile } from "../../../lib/relocate/file/open-file.ts";
import { PrefixMap } from "../../../lib/relocate/prefix/prefix-map.ts";
import { type RelocateOptions, type RelocationReport, relocateTree } from "../../../lib/relocate/tree/relocate-tree.ts";
import { type ElfContent, makeElf } from "../../support/elf.ts";
import { failsWith } from "../../support/errors.ts";
import { useSeed } from "../../support/seed.ts";
import { temporaryFolder } from "../../support/tree.ts";

useSeed();

const folder = temporaryFolder();
const path = join(folder, "f");

function paths(bytes: Buffer): { rpath: string | undefined; interpreter: string | undefined } | undefined {
  writeFileSync(path, bytes);
  const descriptor = openSync(path, "r");
  try {
    const found = readElfPaths(new OpenFile(descriptor, "f", false));
    return found && { rpath: found.rpath?.value.toString(), interpreter: found.interpreter?.value.toString() };
  } finally {
    closeSync(descriptor);
  }
}

const MAP: [string, string][] = [
  ["/old/store/pkg-1", "/n/pkg"],
  ["/old/store", "/new"],
];

async function relocate(bytes: Buffer, more: Partial<RelocateOptions> = {}): Promise<RelocationReport> {
  writeFileSync(path, bytes);
  const files = { binaries: ["f"], texts: [], links: [] };
  return await relocateTree(folder, { map: new PrefixMap(MAP), files, ...more });
}

const kinds: Pick<ElfContent, "bits" | "endian">[] = [
  { bits: 64, endian: "little" },
  { bits: 64, endian: "big" },
  { bits: 32, endian: "little" },
  { bits: 32, endian: "big" },
];

for (const kind of kinds)
  describe(`${kind.bits} bits, ${kind.endian} endian`, () => {
    const interpreter = "/old/store/lib/ld.so";
    const rpath = "/old/store/pkg-1/lib:$ORIGIN/../lib::/usr/lib:/old/storehouse/lib:::";

    test("search path and interpreter are found", () => {
      for (const tag of [15, 29] as const)
        for (const type of [2, 3])
          assert.deepEqual(paths(makeElf({ ...kind, type, tag, rpath, interpreter }).bytes), { rpath, interpreter });
      assert.deepEqual(paths(makeElf({ ...kind, interpreter }).bytes), { rpath: undefined, interpreter });
      assert.deepEqual(paths(makeElf({ ...kind, rpath }).bytes), { rpath, interpreter: undefined });
    });

    test("they are replaced in place, what is free is zeroed, everything else stays", async () => {
      const { bytes, at } = makeElf({ ...kind, rpath, interpreter });
      assert.deepEqual(await relocate(bytes), {
        texts: [],
        links: [],
        headers: ["f"],
        patched: [],
        strings: [],
        machO: [],
        others: [],
      });
      const expected = Buffer.from(bytes);
      const put = (old: string, now: string, offset: number): void => {
        expected.fill(0, offset, offset + old.length).write(now, offset, "latin1");
      };
      put(rpath, "/n/pkg/lib:$ORIGIN/../lib:/usr/lib:/newhouse/lib", at.strings + 1);
      put(interpreter, "/new/lib/ld.so", at.interpreter);
      assert.ok(readFileSync(path).equals(expected));
    });

    test("a search path that names nothing old keeps its empty items", async () => {
      const { bytes } = makeElf({ ...kind, rpath: "::/usr/lib:/x/old/storey" });
      await relocate(bytes, { map: new PrefixMap([["/elsewhere", "/n"]]) });
      assert.ok(readFileSync(path).equals(bytes));
    });

    test("the headers are done before the strings: the search path is no C string to shorten", async () => {
      const { bytes } = makeElf({ ...kind, rpath: "/old/store/a", data: "/old/store/share/hull/data" });
      const { headers, strings } = await relocate(bytes, { map: new PrefixMap([["/old/store", "/o/sto/re"]]) });
      assert.deepEqual({ headers, strings }, { headers: ["f"], strings: ["f"] });
      assert.ok(readFileSync(path).includes("\0/o/sto/re/a\0\0"));
      assert.ok(readFileSync(path).includes("\0//o/sto/re/share/hull/data\0"));
    });
  });

describe("files without paths to relocate are left alone", () => {
  const whole = makeElf({ rpath: "/old/store/lib", interpreter: "/old/store/ld.so" });
  const changed = (at: number, ...values: number[]): Buffer => {
    const bytes = Buffer.from(whole.bytes);
    bytes.set(values, at);
    return bytes;
  };
  const { dynamic, sections, strings } = whole.at;
  const huge = Array.from({ length: 8 }, () => 0xff);
  const segment = (n: number): number => 64 + 56 * n;
  for (const { name, given } of [
    { name: "object files", given: changed(16, 1) },
    { name: "core files", given: changed(16, 4) },
    { name: "an unknown class", given: changed(4, 3) },
    { name: "an unknown byte order", given: changed(5, 0) },
    { name: "the other byte order", given: changed(5, 2) },
    { name: "the magic number alone", given: whole.bytes.subarray(0, 4) },
    { name: "half a header", given: whole.bytes.subarray(0, 40) },
    { name: "an empty file", given: Buffer.alloc(0) },
    { name: "program headers beyond the file", given: changed(32, ...huge) },
    { name: "more program headers than there is room for", given: changed(56, 0xff, 0xff) },
    { name: "section headers beyond the file", given: changed(40, ...huge) },
    { name: "no section headers", given: changed(60, 0, 0) },
    {
      name: "more section headers than there is room for, and not the wanted one",
      given: changed(sections + 64 + 4, 1),
    },
    { name: "an interpreter beyond the file", given: changed(segment(1) + 8, ...huge) },
    { name: "an interpreter that is longer than the file", given: changed(segment(1) + 32, 0, 0, 0, 1) },
    { name: "an interpreter without an end", given: changed(segment(1) + 32, 4) },
    { name: "a dynamic section beyond the file", given: changed(segment(2) + 8, ...huge) },
    { name: "a dynamic section of no end", given: changed(segment(2) + 32, ...huge) },
    { name: "string table at no address of a segment", given: changed(dynamic + 8, 1, 0, 0) },
    { name: "string table beyond the file", given: changed(dynamic + 8, ...huge) },
    { name: "a path beyond the string table", given: changed(dynamic + 24, 0xff) },
    { name: "a path at a negative offset", given: changed(dynamic + 24, ...huge) },
    { name: "two string tables", given: makeElf({ rpath: "/old/store/lib", dynamic: [[5, 1]] }).bytes },
    { name: "both RPATH and RUNPATH", given: makeElf({ rpath: "/old/store/lib", dynamic: [[29, 1]] }).bytes },
    { name: "a string table without an end", given: changed(sections + 64 + 32, 5) },
    { name: "the strings of the file itself as string table", given: changed(strings, 1).subarray(0, strings + 3) },
  ])
    test(name, () => assert.equal(paths(given), undefined));

  test("a dynamic section of no bytes means that there is none: a file of debug symbols", () => {
    const none = Array.from({ length: 8 }, () => 0);
    assert.deepEqual(paths(changed(segment(2) + 32, ...none))?.rpath, undefined);
    assert.deepEqual(paths(changed(segment(0) + 32, ...none))?.interpreter, "/old/store/ld.so");
  });
});

test("whatever bytes are changed, nothing outside of the strings is written, and nothing fails but relocation", async () => {
  const base = makeElf({ rpath: "/old/store/pkg-1/lib:/old/store/x", interpreter: "/old/store/ld.so" }).bytes;
  const edit = fc.tuple(fc.nat(base.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)));
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { maxLength: 12 }), fc.nat(base.length), async (edits, cut) => {
      const bytes = Buffer.from(base.subarray(0, cut < 64 ? base.length : cut));
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      const before = Buffer.from(bytes);
      try {
        await relocate(bytes);
      } catch (error) {
        await failsWith("RELOCATION_FAILED", Promise.reject(error));
      }
      const after = readFileSync(path);
      assert.equal(after.length, before.length);
      // Only old prefixes changed, or the rest of the string that started with one.
      let last = 0;
      for (let at = 0; at < after.length; at++) {
        if (after[at] === before[at]) continue;
        const start = before.lastIndexOf("/old/store", at);
        assert.ok(start >= 0 && at - start < 64, `byte ${at} was changed`);
        last = at;
      }
      assert.ok(last < base.length);
    }),
    { numRuns: 500 },
  );
});

describe("a path that must grow", () => {
  const longer = { map: new PrefixMap([["/old/store", "/a/much/longer/store"]]) };
  const { bytes } = makeElf({ rpath: "/old/store/lib" });

  test("needs patchelf, which the error names; the file stays as it was", async () => {
    const error = await failsWith("RELOCATION_FAILED", relocate(bytes, longer), /^cannot relocate f: .* patchelf$/);
    assert.equal(error.hint, "install patchelf, or choose a shorter root");
    assert.ok(readFileSync(path).equals(bytes));
  });

  test("is not believed to be set because patchelf says nothing, or fails", async () => {
    const cases = [
      { program: "/bin/true", says: /did not set the paths/ },
      { program: "/bin/false", says: /\/bin\/false ended with status 1$/ },
      { program: "/nowhere/patchelf", says: /\/nowhere\/patchelf cannot be run: .*ENOENT/ },
    ];
    for (const { program, says } of cases) {
      await failsWith("RELOCATION_FAILED", relocate(bytes, { ...longer, findPatchelf: () => program }), says);
      assert.ok(readFileSync(path).equals(bytes));
    }
    assert.deepEqual(readdirSync(folder), ["f"]);
  });

  test("is planned by a dry run, without a false alarm about the string that goes", async () => {
    const report = await relocate(bytes, { ...longer, dryRun: true, findPatchelf: () => "/bin/false" });
    assert.deepEqual(report, { texts: [], links: [], headers: [], patched: ["f"], strings: [], machO: [], others: [] });
    assert.ok(readFileSync(path).equals(bytes));
  });
});

test("all failures are told, of every file", async () => {
  const other = temporaryFolder();
  const names = ["a", "b", "c"];
  for (const name of names) writeFileSync(join(other, name), `\0/old/store/${name}/data\0`);
  const map = new PrefixMap([["/old/store", "/new/store/that/is/longer"]]);
  const work = relocateTree(other, { map, files: { binaries: names, texts: [], links: [] } });
  const error = await failsWith("RELOCATION_FAILED", work, /^3 files cannot be relocated$/);
  assert.deepEqual(
    error.errors?.map((each) => each.subject),
    names,
  );
});

test("names and mode of a file stay, and it is changed once", async () => {
  const { bytes } = makeElf({ rpath: "/old/store/lib" });
  const other = temporaryFolder();
  writeFileSync(join(other, "a"), bytes);
  linkSync(join(other, "a"), join(other, "b"));
  chmodSync(join(other, "a"), 0o4555);
  const before = statSync(join(other, "a"));
  const map = new PrefixMap([["/old/store", "/new/place"]]);
  const report = await relocateTree(other, { map, files: { binaries: ["a", "b"], texts: [], links: [] } });
  assert.deepEqual(report.headers, ["a"]);
  const after = statSync(join(other, "b"));
  assert.equal(after.ino, before.ino);
  assert.equal(after.mode.toString(8), before.mode.toString(8));
});

test("a string whose end others may share says so", async () => {
  const work = (data: string, to: string): Promise<RelocationReport> =>
    relocate(makeElf({ data }).bytes, { map: new PrefixMap([["/old/store/prefix", to]]) });
  await failsWith(
    "RELOCATION_FAILED",
    work("/old/store/prefix/ab", "/new/shelf/pref"),
    /^cannot relocate f: the string "\/old\/store\/prefix\/ab" may share its last 7 bytes with others, so "\/new\/shelf\/pref" would have to end like "\/old\/store\/prefix" or have at most 9 bytes$/,
  );
});

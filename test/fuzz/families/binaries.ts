// Fuzzes programs, libraries and texts whose paths are relocated.
import assert from "node:assert/strict";
import { ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ElfCollector } from "../../../lib/loader/elf-collector.ts";
import { readElfFacts } from "../../../lib/loader/elf-facts.ts";
import { readLibraryCache } from "../../../lib/loader/library-cache.ts";
import { readScript } from "../../../lib/loader/script-line.ts";
import { relocateElfFile } from "../../../lib/relocate/file/elf-file.ts";
import { readElfPaths } from "../../../lib/relocate/file/elf-reader.ts";
import { OpenFile } from "../../../lib/relocate/file/open-file.ts";
import { relocateStringFile } from "../../../lib/relocate/file/string-file.ts";
import { relocateTextFile } from "../../../lib/relocate/file/text-file.ts";
import { shortenShebang } from "../../../lib/relocate/place/finish.ts";
import { PrefixMap } from "../../../lib/relocate/prefix/prefix-map.ts";
import { makeElf } from "../../support/elf.ts";
import { loadableElf } from "../../support/loadable-elf.ts";
import { temporaryFolder } from "../../support/tree.ts";
import { vector } from "../../support/vectors.ts";
import type { Family } from "../family.ts";

const file = openSync(join(temporaryFolder(), "file"), "w+");
const map = new PrefixMap([
  ["/old/store/prefix", "/new/prefix"],
  ["/old/store", "/new"],
]);
const longer = new PrefixMap([["/old/s", "/a/much/longer/root"]]);

// Passes the bytes as a file, and returns its content afterwards.
function asFile(input: Buffer, work: (file: OpenFile) => unknown): Buffer {
  ftruncateSync(file, 0);
  writeSync(file, input, 0, input.length, 0);
  const opened = new OpenFile(file, "f", false);
  work(opened);
  const after = Buffer.alloc(opened.size);
  readSync(file, after, 0, after.length, 0);
  return after;
}

const elves = [32, 64].flatMap((bits) =>
  (["little", "big"] as const).flatMap((endian) =>
    ([15, 29] as const).map(
      (tag) =>
        makeElf({
          bits: bits as 32 | 64,
          endian,
          tag,
          rpath: "/old/store/prefix/lib:/old/store/lib:$ORIGIN/../lib",
          interpreter: "/old/store/lib/ld.so",
          data: "\0/old/store/prefix/share\0",
        }).bytes,
    ),
  ),
);
const loadable = [
  loadableElf({ interpreter: "/lib64/ld.so", needed: ["liba.so"], rpath: "/a:/b", requires: { "liba.so": ["A_1"] } }),
  loadableElf({ soname: "liba.so", runpath: "$ORIGIN", defines: ["A_1", "A_2"], bits: 32, machine: 3 }),
];

// Of two libraries, in the form that ldconfig writes.
function libraryCache(): Buffer {
  const header = Buffer.alloc(48 + 2 * 24);
  header.write("glibc-ld.so.cache1.1");
  header.writeUInt32LE(2, 20);
  const texts = ["liba.so", "/lib/liba.so", "libb.so", "/lib/libb.so"];
  let at = header.length;
  for (const [index, text] of texts.entries()) {
    const entry = 48 + Math.floor(index / 2) * 24;
    header.writeUInt32LE(0x303, entry);
    header.writeUInt32LE(at, entry + (index % 2 === 0 ? 4 : 8));
    at += text.length + 1;
  }
  return Buffer.concat([header, Buffer.from(`${texts.join("\0")}\0`)]);
}
const rows = (section: string): string[] =>
  vector(section, z.looseObject({ rows: z.array(z.array(z.unknown())) })).rows.map(([input]) => String(input));
const WORDS = ["/old/store/prefix", "/old/store", "/old/s", "\0", "#!/old/store/bin/sh\n", "\x7fELF"];
const latin1 = (texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text, "latin1"));

export const family: Family = {
  name: "binaries",
  targets: [
    {
      name: "elf paths",
      seeds: elves,
      words: WORDS,
      run: (input) =>
        asFile(input, (opened) => {
          const paths = readElfPaths(opened);
          for (const found of [paths?.rpath, paths?.interpreter])
            if (found) assert.deepEqual(input.subarray(found.offset, found.offset + found.value.length), found.value);
        }),
    },
    {
      name: "elf files as the loader reads them",
      seeds: [...elves, ...loadable],
      words: WORDS,
      run: (input) => {
        const read = (offset: number, length: number): Buffer => input.subarray(offset, offset + length);
        const facts = readElfFacts({ size: input.length, read });
        // As a stream, in pieces of any size, the same.
        const collector = new ElfCollector(input.length);
        for (let at = 0; at < input.length; at += 1000) collector.push(input.subarray(at, at + 1000));
        if (input.length > 0) assert.deepEqual(collector.facts(), facts);
      },
    },
    {
      name: "the cache of the loader",
      seeds: [libraryCache()],
      words: ["glibc-ld.so.cache1.1", "ld.so-1.7.0"],
      run: readLibraryCache,
    },
    {
      name: "first lines of scripts",
      seeds: [
        "#!/bin/sh -e",
        "#!/usr/bin/env -S A=b python3 -u",
        "#!/bin/sh /store/bin/sbang\n#!/store/perl/bin/perl -w",
      ],
      run: (input) => readScript(input.toString("latin1")),
    },
    {
      name: "elf relocation",
      seeds: elves,
      words: WORDS,
      run: (input) => {
        let outcome = "";
        const after = asFile(input, (opened) => {
          outcome = relocateElfFile(opened, map).kind;
        });
        assert.equal(after.length, input.length);
        if (outcome !== "changed") assert.ok(after.equals(input));
      },
    },
    {
      name: "strings in binaries",
      seeds: [...elves, ...latin1(rows("binary_relocation"))],
      words: WORDS,
      run: (input) => {
        const after = asFile(input, (opened) => relocateStringFile(opened, map, { dryRun: false, rule: "pad" }));
        assert.equal(after.length, input.length);
      },
    },
    {
      name: "texts",
      seeds: latin1(rows("text_relocation")),
      words: WORDS,
      run: (input) => {
        const after = asFile(input, (opened) => relocateTextFile(opened, longer, false, 64));
        // The text is the same with windows of any size.
        const whole = asFile(input, (opened) => relocateTextFile(opened, longer, false));
        assert.ok(after.equals(whole));
      },
    },
    {
      name: "interpreter lines",
      seeds: latin1([
        "#!/bin/sh\necho\n",
        `#!/${"long/".repeat(40)}bin/perl -w\n`,
        "#!/usr/bin/lua\n--x\n",
        "#!/usr/bin/node\n",
      ]),
      words: ["#!", "\n", "/usr/bin/env ", "php", "lua", "node", "perl"],
      run: (input) => asFile(input, (opened) => shortenShebang(opened, "/bin/sbang", 127)),
    },
  ],
};

// Fuzzes programs, libraries and texts whose paths are relocated.
import assert from "node:assert/strict";
import { ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { relocateElfFile } from "../../../lib/relocate/file/elf-file.ts";
import { readElfPaths } from "../../../lib/relocate/file/elf-reader.ts";
import { OpenFile } from "../../../lib/relocate/file/open-file.ts";
import { relocateStringFile } from "../../../lib/relocate/file/string-file.ts";
import { relocateTextFile } from "../../../lib/relocate/file/text-file.ts";
import { shortenShebang } from "../../../lib/relocate/place/finish.ts";
import { PrefixMap } from "../../../lib/relocate/prefix/prefix-map.ts";
import { makeElf } from "../../support/elf.ts";
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

// Trees as nobody would make them in good faith, large files in windows, and files of every kind.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RelocatableFiles } from "../../lib/image/buildinfo.ts";
import { parseBuildInfo } from "../../lib/relocate/build-info.ts";
import { Tree } from "../../lib/relocate/open-file.ts";
import { PrefixMap } from "../../lib/relocate/prefix-map.ts";
import { prefixMapOfRoots } from "../../lib/relocate/prefixes.ts";
import { type RelocationReport, relocateTree } from "../../lib/relocate/relocate.ts";
import { relocateStringFile } from "../../lib/relocate/string-file.ts";
import { relocateTextFile } from "../../lib/relocate/text-file.ts";
import { failsWith } from "../support/errors.ts";
import { useSeed } from "../support/seed.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../support/tree.ts";

useSeed();

const MAP = new PrefixMap([["/old/store", "/new"]]);

function tree(items: TreeItem[]): string {
  const folder = join(temporaryFolder(), "tree");
  makeTree(folder, items);
  return folder;
}

function relocate(folder: string, files: Partial<RelocatableFiles>, map = MAP): Promise<RelocationReport> {
  return relocateTree(folder, { map, files: { binaries: [], texts: [], links: [], ...files } });
}

describe("what the lists must not lead to", () => {
  const outside = temporaryFolder();
  writeFileSync(join(outside, "victim"), "path=/old/store\n");
  const folder = tree([
    { type: "file", path: "real/text", content: "path=/old/store\n" },
    { type: "symlink", path: "out", target: outside },
    { type: "symlink", path: "real/link", target: join(outside, "victim") },
    { type: "symlink", path: "loop", target: "loop" },
    { type: "dir", path: "folder" },
  ]);
  execFileSync("mkfifo", [join(folder, "fifo")]);
  const cases: { name: string; path: string; code: "ARCHIVE_UNSAFE" | "RELOCATION_FAILED"; says: RegExp }[] = [
    { name: "an absolute path", path: join(outside, "victim"), code: "ARCHIVE_UNSAFE", says: /no plain path/ },
    { name: "a path with ..", path: `../../${outside}/victim`, code: "ARCHIVE_UNSAFE", says: /no plain path/ },
    { name: "a path with .. inside", path: "real/../../x", code: "ARCHIVE_UNSAFE", says: /no plain path/ },
    { name: "the tree itself", path: ".", code: "ARCHIVE_UNSAFE", says: /no plain path/ },
    { name: "no path", path: "", code: "ARCHIVE_UNSAFE", says: /no plain path/ },
    { name: "a path with NUL", path: "a\0b", code: "ARCHIVE_UNSAFE", says: /"a\\\\x00b" is unsafe/ },
    { name: "a path through a link", path: "out/victim", code: "ARCHIVE_UNSAFE", says: /leads through something/ },
    { name: "a path through a file", path: "real/text/x", code: "ARCHIVE_UNSAFE", says: /leads through something/ },
    { name: "a link", path: "real/link", code: "RELOCATION_FAILED", says: /real\/link: it is not a regular file/ },
    { name: "a link to itself", path: "loop", code: "RELOCATION_FAILED", says: /loop: it is not a regular file/ },
    { name: "a FIFO", path: "fifo", code: "RELOCATION_FAILED", says: /fifo: it is not a regular file/ },
    { name: "a folder", path: "folder", code: "RELOCATION_FAILED", says: /folder: it is not a regular file/ },
    { name: "a missing file", path: "real/gone", code: "RELOCATION_FAILED", says: /real\/gone: it is missing/ },
    { name: "a missing folder", path: "gone/file", code: "RELOCATION_FAILED", says: /gone\/file: it is missing/ },
  ];
  for (const { name, path, code, says } of cases)
    test(name, async () => {
      await failsWith(code, relocate(folder, { texts: [path] }), says);
      await failsWith(code, relocate(folder, { binaries: [path] }), says);
      assert.equal(readFileSync(join(outside, "victim"), "utf8"), "path=/old/store\n");
    });

  test("devices are not opened", async () => {
    await failsWith("RELOCATION_FAILED", relocate("/dev", { texts: ["null"] }), /null: it is not a regular file/);
  });

  test("links that are none", async () => {
    await failsWith(
      "RELOCATION_FAILED",
      relocate(folder, { links: ["real/text"] }),
      /real\/text: it is no symbolic link/,
    );
    await failsWith("ARCHIVE_UNSAFE", relocate(folder, { links: ["out/victim"] }));
    await failsWith("RELOCATION_FAILED", relocate(folder, { links: ["gone"] }), /gone: it is missing/);
  });

  test("one bad file does not keep the others from being looked at, and is told", async () => {
    const report = relocate(folder, { texts: ["fifo", "real/text"], links: [] });
    const error = await failsWith("RELOCATION_FAILED", report);
    assert.equal(error.subject, "fifo");
    assert.equal(readFileSync(join(folder, "real/text"), "utf8"), "path=/new\n");
  });
});

test("links: absolute targets below an old prefix, whatever is there; nothing else", async () => {
  const targets = {
    inside: "/old/store/pkg/lib",
    root: "/old/store",
    longer: "/old/storehouse/x",
    relative: "old/store/pkg",
    dots: "../old/store",
    elsewhere: "/usr/old/store",
    "caf\xc3\xa9": "/old/store/caf\xe9",
  };
  const folder = tree(Object.entries(targets).map(([path, target]) => ({ type: "symlink", path, target })));
  const report = await relocate(folder, { links: Object.keys(targets) });
  assert.deepEqual(report.links, ["inside", "root", "longer", "café"]);
  const now = Object.keys(targets).map((name) =>
    readlinkSync(Buffer.from(`${folder}/${name}`, "latin1"), "buffer").toString("latin1"),
  );
  assert.deepEqual(now, [
    "/new/pkg/lib",
    "/new",
    "/newhouse/x",
    "old/store/pkg",
    "../old/store",
    "/usr/old/store",
    "/new/caf\xe9",
  ]);
});

test("a file that its owner may not write is changed, and keeps its mode", async () => {
  const folder = tree([{ type: "file", path: "bin/script", mode: 0o555, content: "#!/old/store/bin/sh\n" }]);
  const { ino } = statSync(join(folder, "bin/script"));
  await relocate(folder, { texts: ["bin/script"] });
  const after = statSync(join(folder, "bin/script"));
  assert.deepEqual([after.mode & 0o7777, after.ino], [0o555, ino]);
  assert.equal(readFileSync(join(folder, "bin/script"), "utf8"), "#!/new/bin/sh\n");
});

// Files larger than the window, at every place of a prefix in it.
const part = fc.constantFrom(
  "/old/store",
  "/old/store/a",
  "/old",
  " ",
  "x",
  "/",
  "\0",
  "xxxxxxxxxxxx",
  "/pre/old/store",
  "\n",
);
const content = fc.array(part, { maxLength: 60 }).map((parts) => parts.join(""));
const maps = fc.constantFrom<[string, string][]>(
  [["/old/store", "/n"]],
  [["/old/store", "/much/longer/than/before"]],
  [
    ["/old/store/a", "/longer/than/before"],
    ["/old/store", "/n"],
  ],
);

test("a text of any size is changed in place as if it were read whole", async () => {
  const folder = temporaryFolder();
  await fc.assert(
    fc.asyncProperty(content, maps, fc.integer({ min: 1, max: 40 }), async (text, pairs, window) => {
      const map = new PrefixMap(pairs);
      const work = async (size: number): Promise<string> => {
        writeFileSync(join(folder, "text"), text);
        await new Tree(folder, false).open("text", (file) => relocateTextFile(file, map, false, size));
        return readFileSync(join(folder, "text"), "latin1");
      };
      assert.equal(await work(window), await work(1 << 20));
    }),
    { numRuns: 400 },
  );
});

test("the strings of a file of any size are changed in place as if it were read whole", async () => {
  const folder = temporaryFolder();
  await fc.assert(
    fc.asyncProperty(content, maps, fc.integer({ min: 1, max: 80 }), async (text, pairs, window) => {
      const map = new PrefixMap(pairs);
      const work = async (size: number): Promise<unknown> => {
        writeFileSync(join(folder, "data"), text);
        const report = await new Tree(folder, false).open("data", (file) =>
          relocateStringFile(file, map, { dryRun: false, window: size }),
        );
        return [report, readFileSync(join(folder, "data"), "latin1")];
      };
      assert.deepEqual(await work(window), await work(1 << 20));
    }),
    { numRuns: 400 },
  );
});

test("what belongs to one string is not looked at again in the next window", async () => {
  const folder = temporaryFolder();
  const map = new PrefixMap([["/ab", "/cb"]]);
  for (let before = 0; before < 40; before++) {
    writeFileSync(join(folder, "data"), `${"x".repeat(before)}/abxxx/ab\0${"x".repeat(40)}`);
    const report = await new Tree(folder, false).open("data", (file) =>
      relocateStringFile(file, map, { dryRun: false, window: 1 }),
    );
    // Spack's expression takes the end of a short string with its prefix: alone, the second one could not be changed.
    assert.deepEqual(report, { isChanged: true, stuck: undefined });
    const expected = `${"x".repeat(before)}/cbxxx/ab\0${"x".repeat(40)}`;
    assert.equal(readFileSync(join(folder, "data"), "latin1"), expected, String(before));
  }
});

test("a large text that grows takes little memory", async () => {
  const folder = temporaryFolder();
  const line = `${"x".repeat(1000)} /old/store/${"y".repeat(1000)}\n`;
  writeFileSync(join(folder, "big"), line.repeat(16_000));
  const before = process.memoryUsage().rss;
  const map = new PrefixMap([["/old/store", "/a/longer/place"]]);
  await relocate(folder, { texts: ["big"] }, map);
  const after = readFileSync(join(folder, "big"));
  assert.equal(after.length, 16_000 * (line.length + 5));
  assert.ok(after.subarray(-line.length - 5).equals(Buffer.from(line.replace("/old/store", "/a/longer/place"))));
  assert.ok(process.memoryUsage().rss - before < 150e6 + after.length);
});

test("an interruption stops the work", async () => {
  const folder = tree([{ type: "file", path: "text", content: "/old/store" }]);
  const signal = AbortSignal.abort(new Error("stop"));
  const work = relocateTree(folder, { map: MAP, files: { binaries: [], texts: ["text"], links: [] }, signal });
  await assert.rejects(work, /stop/);
  assert.equal(readFileSync(join(folder, "text"), "utf8"), "/old/store");
});

describe("build info", () => {
  const parse = (text: string) => parseBuildInfo(Buffer.from(text), "info");

  test("of every generation", () => {
    const modern = parse(
      "{sbang_install_path: /s/bin/sbang, buildpath: /s, spackprefix: /spack, relative_prefix: p, hardlinks_deduped: true, " +
        "hash_to_prefix: {abc: /s/p}, relocate_binaries: [], relocate_links: [a b], relocate_textfiles: [\"\\uDCE9\", 1e5, 'x:']}\n",
    );
    assert.deepEqual(modern, {
      root: "/s",
      sbang: "/s/bin/sbang",
      prefixes: new Map([["abc", "/s/p"]]),
      files: { binaries: [], links: ["a b"], texts: ["\xe9", "1e5", "x:"] },
      hasRelativeRpaths: false,
    });
    const old = parse(
      "buildpath: /s\nrelative_rpaths: true\nprefix_to_hash:\n  /s/one: abc\n  /s/two: abc\n  /s/three: def\n" +
        "relocate_textfiles:\n- bin/a\n- bin/b\nrelocate_binaries: null\n",
    );
    assert.deepEqual(old, {
      root: "/s",
      sbang: undefined,
      prefixes: new Map([
        ["abc", "/s/two"],
        ["def", "/s/three"],
      ]),
      files: { binaries: [], links: [], texts: ["bin/a", "bin/b"] },
      hasRelativeRpaths: true,
    });
  });

  test("that does not say which prefixes there were is too old", async () => {
    await failsWith(
      "RELOCATION_FAILED",
      () => parse("{buildpath: /s, relocate_textfiles: []}"),
      /does not say which specs/,
    );
  });

  const base = "buildpath: /s, hash_to_prefix: {}";
  for (const { name, given, says } of [
    { name: "no YAML", given: "{", says: /info/ },
    { name: "nothing", given: "", says: /expected a mapping/ },
    { name: "a list", given: "[a]", says: /expected a mapping/ },
    { name: "no root", given: "{hash_to_prefix: {}}", says: /buildpath .*expected an absolute path/ },
    { name: "a relative root", given: "{buildpath: s, hash_to_prefix: {}}", says: /buildpath/ },
    { name: "a root with ..", given: "{buildpath: /a/../etc, hash_to_prefix: {}}", says: /buildpath/ },
    { name: "a relative prefix", given: "{buildpath: /s, hash_to_prefix: {abc: p}}", says: /hash_to_prefix/ },
    { name: "prefixes that are no map", given: "{buildpath: /s, hash_to_prefix: [p]}", says: /a mapping/ },
    {
      name: "a file outside",
      given: `{${base}, relocate_textfiles: [../x]}`,
      says: /relocate_textfiles .*paths below the prefix/,
    },
    { name: "an absolute file", given: `{${base}, relocate_binaries: [/etc/passwd]}`, says: /relocate_binaries/ },
    { name: "a file that is a list", given: `{${base}, relocate_links: [[a]]}`, says: /relocate_links/ },
    { name: "files that are a text", given: `{${base}, relocate_links: a}`, says: /relocate_links .*expected a list/ },
  ])
    test(name, async () => {
      await failsWith("CONTENT_INVALID", () => parse(given), says);
    });

  test("names that every object has are names like others", () => {
    const info = parse(
      "{buildpath: /s, hash_to_prefix: {__proto__: /s/p, constructor: /s/q}, relocate_textfiles: [__proto__]}",
    );
    assert.deepEqual(
      [...info.prefixes],
      [
        ["__proto__", "/s/p"],
        ["constructor", "/s/q"],
      ],
    );
    assert.deepEqual(info.files.texts, ["__proto__"]);
  });
});

test("roots: sbang stands outside the padding", () => {
  const padding = "__spack_path_placeholder__/__spack_p";
  const pairs = (from: string, to: string) =>
    prefixMapOfRoots(from, to).pairs.map((pair) => [pair.old.toString(), pair.new.toString()]);
  assert.deepEqual(pairs(`/opt/a/${padding}`, "/b"), [
    ["/opt/a/bin/sbang", "/b/bin/sbang"],
    [`/opt/a/${padding}`, "/b"],
  ]);
  assert.deepEqual(pairs("/a", "/b"), [["/a", "/b"]]);
});

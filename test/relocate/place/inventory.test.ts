// Proves that the manifest for `spack verify` is right, and that files which still contain the old place are found.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, lutimesSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { findLeftovers, writeInventory } from "../../../lib/relocate/place/inventory.ts";
import { PathSearch } from "../../../lib/relocate/prefix/path-search.ts";
import { PrefixMap } from "../../../lib/relocate/prefix/prefix-map.ts";
import { relocateTree } from "../../../lib/relocate/tree/relocate-tree.ts";
import { scanTree } from "../../../lib/relocate/tree/scan.ts";
import { makeElf } from "../../support/elf.ts";
import { archives, relocate } from "../../support/golden-archives.ts";
import { useSeed } from "../../support/seed.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../../support/tree.ts";

useSeed();

function tree(items: TreeItem[]): string {
  const folder = join(temporaryFolder(), "tree");
  makeTree(folder, [{ type: "dir", path: "" }, ...items]);
  return folder;
}

const manifestSchema = z.record(
  z.string(),
  z.object({
    mode: z.number(),
    owner: z.number(),
    group: z.number(),
    hash: z.string().optional(),
    time: z.number().optional(),
    size: z.number().optional(),
    dest: z.string().optional(),
  }),
);

describe("the install manifest is the one that Spack writes", async () => {
  for await (const archive of archives("spack-1.2/plain.oci"))
    test(archive.node.name, async () => {
      const old = manifestSchema.parse(
        JSON.parse(readFileSync(join(archive.directory, ".spack/install_manifest.json"), "utf8")),
      );
      const prefix = `/opt/harbor/store/${archive.relative}`;
      assert.deepEqual(await writeInventory(archive.directory, { prefix }), { leftovers: [] });
      const text = readFileSync(join(archive.directory, ".spack/install_manifest.json"), "utf8");
      const now = manifestSchema.parse(JSON.parse(text));
      assert.ok(text.includes('"time":0.0,'));
      assert.equal(text, text.trim());
      // Ignores what the archive changes (modes of folders, times) and what was removed from the golden store.
      for (const [path, entry] of Object.entries(now)) {
        const before = old[path];
        // A placeholder in the golden store.
        if (path.endsWith("/libexec/spack/cc")) continue;
        if (before === undefined) assert.match(path, /\/\.spack\/binary_distribution$/);
        else if (before.hash !== undefined)
          assert.deepEqual([entry.hash, entry.size], [before.hash, before.size], path);
        else assert.equal(entry.dest, before.dest, path);
        const isFolder = (entry.mode & 0o170000) === 0o040000;
        if (before !== undefined && !isFolder && path !== `${prefix}/share/hull/hull.conf`)
          assert.equal(entry.mode & 0o170700, before.mode & 0o170700, path);
      }
      assert.ok(now[prefix] !== undefined);
      assert.equal(now[`${prefix}/.spack/install_manifest.json`], undefined);
      assert.equal(now[`${prefix}/.spack/install_times.json`], undefined);
    });
});

test("the manifest: links, names that are no text, exact times, and the same bytes each time", async () => {
  const folder = tree([
    { type: "file", path: "bin/caf\xc3\xa9", content: "abc", mode: 0o755 },
    { type: "file", path: "bin/\xe9", content: "" },
    { type: "symlink", path: "link", target: "/old/store/caf\xe9" },
    { type: "symlink", path: "folder-link", target: "bin" },
    { type: "dir", path: ".spack" },
    { type: "file", path: ".spack/install_times.json", content: "{}" },
  ]);
  utimesSync(join(folder, "bin/café"), 0, 1795222904.25);
  utimesSync(Buffer.from(`${folder}/bin/\xe9`, "latin1"), 0, 0);
  lutimesSync(join(folder, "link"), 0, 0);
  execFileSync("mkfifo", ["-m", "600", join(folder, "fifo")]);
  const map = new PrefixMap([["/old/store", "/new"]]);
  assert.deepEqual(await writeInventory(folder, { prefix: "/new/é", map }), { leftovers: ["link"] });
  const text = readFileSync(join(folder, ".spack/install_manifest.json"), "utf8");
  await writeInventory(folder, { prefix: "/new/é" });
  assert.equal(readFileSync(join(folder, ".spack/install_manifest.json"), "utf8"), text);
  const { uid, gid } = statSync(folder);
  const own = `"owner":${uid},"group":${gid}`;
  for (const part of [
    `"/new/\\u00e9/bin/caf\\u00e9":{"mode":33261,${own},"hash":"VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5","time":1795222904.25,"size":3}`,
    `"/new/\\u00e9/bin/\\udce9":{"mode":33188,${own},"hash":"3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ","time":0.0,"size":0}`,
    `"/new/\\u00e9/link":{"mode":41471,${own},"dest":"/old/store/caf\\udce9"}`,
    `"/new/\\u00e9/folder-link":{"mode":41471,${own},"dest":"bin"}`,
    `"/new/\\u00e9/fifo":{"mode":4480,${own}}`,
    `"/new/\\u00e9":{"mode":16877,${own}}`,
  ])
    assert.ok(text.includes(part), `${part}\n${text}`);
  assert.ok(!text.includes("install_times") && !text.includes("install_manifest"));
});

test("leftovers of real archives: what Spack leaves and says nothing of", async () => {
  const left: Record<string, string[]> = {};
  for await (const archive of archives("spack-1.2/plain.oci")) {
    await relocate(archive, "/opt/q/st");
    left[archive.node.name] = await findLeftovers(
      archive.directory,
      new PrefixMap([["/opt/harbor/store", "/opt/q/st"]]),
    );
  }
  assert.deepEqual(left, {
    "compiler-wrapper": [],
    fleet: [],
    "gcc-runtime": [],
    hull: ["lib/libhull.a", "share/hull/nul.bin"],
    paddle: [],
    rigging: [],
    voyage: [],
    "zlib-ish": [],
  });
});

describe("an old prefix inside of a new one is none", () => {
  const search = (pairs: [string, string][], text: string, size: number): boolean => {
    const found = new PathSearch(new PrefixMap(pairs));
    for (let at = 0; at === 0 || at < text.length; at += size)
      found.add(Buffer.from(text.slice(at, at + size)), at + size >= text.length);
    return found.found;
  };
  const maps = {
    below: [["/old", "/old/er"]],
    above: [["/old", "/mnt/old"]],
    twice: [
      ["/old/a", "/old"],
      ["/old", "/x/old/old/y"],
    ],
  } satisfies Record<string, [string, string][]>;
  for (const { map, text, found } of [
    { map: "below", text: "a /old/er/lib b", found: false },
    { map: "below", text: "a /old/er/lib /old/lib", found: true },
    { map: "below", text: "/old/e", found: true },
    { map: "above", text: "/mnt/old/lib:/mnt/old", found: false },
    { map: "above", text: "/mnt/old/lib:/nt/old", found: true },
    { map: "above", text: "/old", found: true },
    { map: "twice", text: "/x/old/old/y", found: false },
    { map: "twice", text: "/x/old/old", found: false },
    { map: "twice", text: "/x/old/old/y/old", found: false },
    { map: "twice", text: "nothing", found: false },
  ] as const)
    test(`${map}: ${text}`, () => assert.equal(search(maps[map], text, 100), found));

  test("wherever pieces are cut", () => {
    const part = fc.constantFrom("/old", "/old/er", "/mnt", "/mnt/old", "/x/old/old/y", "/", "x", "/old/a", " ");
    const texts = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        texts,
        fc.constantFrom(...Object.values(maps)),
        fc.integer({ min: 1, max: 30 }),
        (text, map, size) => {
          assert.equal(search(map, text, size), search(map, text, Number.POSITIVE_INFINITY));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a tree without a list is looked at", () => {
  const map = new PrefixMap([["/old/store", "/new"]]);
  const elf = makeElf({ rpath: "/usr/lib" }).bytes;
  const folder = tree([
    { type: "file", path: "text", content: "a=/old/store/x\n" },
    { type: "file", path: "text-elsewhere", content: "a=/usr/old/store/x\n" },
    { type: "file", path: "program", content: elf },
    { type: "file", path: "compiled", content: Buffer.from("\0\x80/old/store/x\0", "latin1") },
    { type: "file", path: "plain", content: Buffer.from("\0\x80nothing", "latin1") },
    { type: "file", path: "empty" },
    { type: "symlink", path: "link", target: "/old/store/x" },
    { type: "symlink", path: "link-elsewhere", target: "/usr" },
    { type: "file", path: "pkg/.spack/spec.json", content: "/old/store" },
    { type: "file", path: ".spack-db/index.json", content: "/old/store" },
    { type: "file", path: "big", content: `${"x".repeat(5 << 20)} /old/store/x ${"x".repeat(5 << 20)}` },
  ]);
  linkSync(join(folder, "text"), join(folder, "text-too"));
  execFileSync("mkfifo", [join(folder, "fifo")]);

  test("by kind, each file once, Spack's own files left out", async () => {
    const seen: string[] = [];
    const { bytes, ...lists } = await scanTree(folder, { map, onFile: (path) => seen.push(path) });
    assert.deepEqual(lists, {
      texts: ["big", "text"],
      binaries: ["program"],
      // Text to a reader, but not to the regular expression.
      others: ["compiled", "text-elsewhere"],
      links: ["link"],
      skipped: ["fifo"],
    });
    assert.equal(
      bytes,
      lists.texts
        .concat(lists.binaries, lists.others)
        .reduce((sum, path) => sum + statSync(join(folder, path)).size, 0),
    );
    assert.ok(!seen.includes("text-too") && seen.includes("plain"));
  });

  test("files of other formats are changed where their length can stay", async () => {
    const files = { texts: [], binaries: [], links: [] };
    const others = ["compiled", "text-elsewhere"];
    const longer = new PrefixMap([["/old/store", "/new/and/longer"]]);
    assert.deepEqual((await relocateTree(folder, { map: longer, files, others })).others, []);
    assert.deepEqual((await relocateTree(folder, { map, files, others, dryRun: true })).others, others);
    assert.equal(readFileSync(join(folder, "compiled"), "latin1"), "\0\x80/old/store/x\0");
    assert.deepEqual((await relocateTree(folder, { map, files, others })).others, others);
    assert.equal(readFileSync(join(folder, "compiled"), "latin1"), "\0\x80///////new/x\0");
  });
});

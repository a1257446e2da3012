// Proves that archives of Spack and others are unpacked byte for byte, and that invalid ones are refused.
import assert from "node:assert/strict";
import { createReadStream, existsSync, linkSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { create } from "tar";
import { parseDigest } from "../../../lib/oci/digest.ts";
import { type TarMember, TarReader } from "../../../lib/relocate/unpack/tar-reader.ts";
import { type UnpackOptions, unpackArchive } from "../../../lib/relocate/unpack/unpack.ts";
import { jobFor, pack } from "../../support/archive.ts";
import { golden } from "../../support/golden.ts";
import { goldenLayers } from "../../support/golden-archives.ts";
import { END, newFolder, pax, type RawHeader, rawMember, unpackBytes } from "../../support/hostile-tar.ts";
import { useSeed } from "../../support/seed.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../../support/tree.ts";

useSeed();

/** An entry of a folder; names and contents have one character per byte. */
interface Item {
  path: string;
  type: "file" | "folder" | "link";
  mode: string;
  names: number;
  time: number;
  content: string;
}

function items(folder: string, path = ""): Item[] {
  return readdirSync(Buffer.from(`${folder}/${path}`, "latin1"), { encoding: "latin1" })
    .sort()
    .flatMap((name): Item[] => {
      const relative = path === "" ? name : `${path}/${name}`;
      const place = Buffer.from(`${folder}/${relative}`, "latin1");
      const stats = lstatSync(place);
      const item = { path: relative, mode: (stats.mode & 0o7777).toString(8), time: stats.mtimeMs };
      if (stats.isSymbolicLink())
        return [{ ...item, type: "link", names: stats.nlink, content: readlinkSync(place, "latin1") }];
      if (stats.isDirectory()) return [{ ...item, type: "folder", names: 1, content: "" }, ...items(folder, relative)];
      return [{ ...item, type: "file", names: stats.nlink, content: readFileSync(place).toString("latin1") }];
    });
}

/** What an archive preserves: everything except modes and times, and the build info that packing adds. */
const kept = (folder: string): Omit<Item, "mode" | "time">[] =>
  items(folder)
    .filter(({ path }) => path !== ".spack/binary_distribution")
    .map(({ mode: _mode, time: _time, ...rest }) => rest);

describe("what Spack pushed comes out as its layer says", () => {
  for (const layout of ["spack-1.2/plain.oci", "spack-1.2/padded.oci", "spack-0.23/plain.oci"])
    for (const { tag, digest, diffId } of goldenLayers(layout))
      test(`${layout} ${tag}`, async () => {
        const blob = golden(`${layout}/blobs/${digest.replace(":", "/")}`);
        let taken = 0;
        const { prefix, directory, members } = await unpackArchive(createReadStream(blob), newFolder(), {
          compression: "gzip",
          diffId: parseDigest(diffId),
          onTaken: (chunk) => {
            taken += chunk.length;
          },
        });
        assert.equal(taken, lstatSync(blob).size);
        assert.match(prefix, /^\/opt\/harbor\/(?:store|padded|store23)\//);
        assert.ok(directory.endsWith(prefix) && existsSync(join(directory, ".spack/binary_distribution")));
        assert.ok(members > 5);
        for (const { type, mode, time } of items(directory)) {
          assert.equal(time, 0);
          if (type !== "link") assert.match(mode, type === "folder" ? /^2755$/ : /^(?:644|755)$/);
        }
        const options = { compression: "gzip", diffId: parseDigest(diffId) } as const;
        const inMemory = await unpackArchive(readFileSync(blob), newFolder(), options);
        assert.deepEqual([inMemory.prefix, inMemory.members], [prefix, members]);
        assert.deepEqual(items(inMemory.directory), items(directory));
      });
});

test("names that are no text, long ones, links and modes survive packing and unpacking", async () => {
  const made: TreeItem[] = [
    { type: "file", path: ".spack/spec.json", content: "{}" },
    { type: "file", path: "caf\xc3\xa9", content: "utf-8" },
    { type: "file", path: "\xe9", content: "latin-1" },
    { type: "file", path: "\xff", content: "another" },
    { type: "file", path: "new\nline", content: "x" },
    { type: "file", path: `${"long/".repeat(40)}${"n".repeat(200)}`, content: "y".repeat(3000) },
    { type: "file", path: "bin/run", content: "#!/bin/sh\n", mode: 0o751 },
    { type: "file", path: "private", content: "", mode: 0o600 },
    { type: "symlink", path: "link", target: "/s/p/\xe9" },
    { type: "symlink", path: "up", target: "../../../../etc/passwd" },
    { type: "dir", path: "empty" },
  ];
  const job = jobFor(made);
  linkSync(join(job.directory, "bin/run"), join(job.directory, "bin/again"));
  const { archive, diffId } = pack(job);
  for (const [compression, bytes] of [
    ["none", archive],
    ["gzip", gzipSync(archive)],
    ["gzip", Buffer.concat([gzipSync(archive.subarray(0, 700)), gzipSync(archive.subarray(700))])],
    ["zstd", zstdCompressSync(archive)],
    ["zstd", Buffer.concat([zstdCompressSync(archive.subarray(0, 700)), zstdCompressSync(archive.subarray(700))])],
  ] as const) {
    const { prefix, directory, bytes: size } = await unpackBytes(bytes, { compression, diffId: parseDigest(diffId) });
    assert.equal(prefix, "/s/p");
    assert.deepEqual(kept(directory), kept(job.directory));
    const modes = new Map(items(directory).map(({ path, mode, time }) => [path, `${mode} ${time}`]));
    assert.deepEqual([modes.get("bin/run"), modes.get("private"), modes.get("empty")], ["755 0", "644 0", "2755 0"]);
    assert.ok(size > 3000);
  }
});

test("files keep together what is one file", async () => {
  const member = (name: string, more: RawHeader = {}, content = ""): Buffer => rawMember({ name, ...more }, content);
  const archive = Buffer.concat([
    member("s/p/a", {}, "abc"),
    member("s/p/x/b", { type: "1", linkName: "s/p/a" }),
    member("s/p/x/c", { type: "1", linkName: "s/p/x/b" }),
    member("s/p/.spack/binary_distribution"),
    END,
  ]);
  const { directory } = await unpackBytes(archive);
  assert.deepEqual(
    ["a", "x/b", "x/c"].map((name) => lstatSync(join(directory, name)).nlink),
    [3, 3, 3],
  );
});

test("archives of other writers: GNU long names, prefixes of names, numbers in binary", async () => {
  const long = `s/p/${"l".repeat(150)}`;
  const archive = Buffer.concat([
    rawMember({ name: "././@LongLink", type: "L", magic: "ustar  \0" }, `${long}\0`),
    rawMember({ name: long.slice(0, 100), magic: "ustar  \0", prefix: "times" }, "gnu"),
    rawMember({ name: "././@LongLink", type: "K", magic: "ustar  \0" }, `/${long}\0`),
    rawMember({ name: "s/p/link", type: "2", linkName: `/${long}`.slice(0, 100), magic: "ustar  \0" }),
    rawMember({ name: "name", prefix: "s/p/front" }, "ustar"),
    rawMember({ name: "s/p/binary", size: Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]) }, "12345"),
    pax({ size: "3", path: "s/p/pax", mtime: "1.5", uid: "7" }),
    rawMember({ name: "x", size: 0 }).subarray(0, 512),
    rawMember({}, "abc").subarray(512),
    pax({ comment: "made by somebody" }, "g"),
    rawMember({ name: "s/p/.spack/binary_distribution", type: "\0" }),
    END,
  ]);
  const { directory } = await unpackBytes(archive);
  assert.deepEqual(
    items(directory).map(({ path, mode, content }) => [path, mode, content]),
    [
      [".spack", "2755", ""],
      [".spack/binary_distribution", "644", ""],
      ["binary", "644", "12345"],
      ["front", "2755", ""],
      ["front/name", "644", "ustar"],
      ["link", "777", `/${long}`],
      ["l".repeat(150), "644", "gnu"],
      ["pax", "644", "abc"],
    ],
  );
});

test("what node-tar writes is read as node-tar would", async () => {
  const folder = temporaryFolder();
  makeTree(folder, [
    { type: "file", path: "s/p/.spack/binary_distribution", content: "{}" },
    { type: "file", path: `s/p/${"d/".repeat(60)}${"n".repeat(120)}`, content: "deep" },
    { type: "file", path: "s/p/caf\xc3\xa9/x", content: "x".repeat(10_000) },
    { type: "symlink", path: "s/p/link", target: "caf\xc3\xa9" },
  ]);
  const parts: Buffer[] = [];
  for await (const chunk of create({ cwd: folder, portable: true }, ["s"])) parts.push(Buffer.from(chunk));
  const { directory } = await unpackBytes(Buffer.concat(parts));
  assert.deepEqual(kept(directory), kept(join(folder, "s/p")));
});

test("any bytes are refused or read, and never more than the archive says", () => {
  const base = gunzipSync(gzipSync(Buffer.concat([pax({ path: "s/p/é" }), rawMember({ name: "s/p/f" }, "abc"), END])));
  const edit = fc.tuple(fc.nat(base.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 4 }), fc.integer({ min: 1, max: 700 }), (edits, size) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of edits) bytes[at] = value;
      const read = (step: number): unknown => {
        const members: TarMember[] = [];
        let content = 0;
        const reader = new TarReader({
          member: (member) => members.push(member),
          content: (piece) => {
            content += piece.length;
          },
          contentEnd: () => {},
        });
        try {
          for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
          reader.end();
          return [members, content];
        } catch (error) {
          return error instanceof Error ? error.message : error;
        }
      };
      assert.deepEqual(read(size), read(bytes.length));
    }),
    { numRuns: 500 },
  );
});

describe("an archive in memory", () => {
  const content = Buffer.alloc(3_000_000, "abc");
  const info = rawMember({ name: "opt/p/.spack/binary_distribution" }, "{}");
  const archive = Buffer.concat([info, rawMember({ name: "opt/p/f" }, content), END]);

  for (const [name, bytes, compression] of [
    ["that becomes large", gzipSync(archive), "gzip"],
    [
      "of several members",
      Buffer.concat([gzipSync(archive.subarray(0, 999)), gzipSync(archive.subarray(999))]),
      "gzip",
    ],
    ["with zeros behind it", Buffer.concat([gzipSync(archive), Buffer.alloc(9)]), "gzip"],
    ["of zstd", zstdCompressSync(archive), "zstd"],
    ["that is not compressed", archive, "none"],
  ] as const)
    test(name, async () => {
      let taken = 0;
      const onTaken = (chunk: Buffer): void => {
        taken += chunk.length;
      };
      const { directory } = await unpackArchive(bytes, newFolder(), { compression, onTaken });
      assert.ok(readFileSync(join(directory, "f")).equals(content));
      assert.equal(taken, bytes.length);
    });

  const small = gzipSync(Buffer.concat([info, END]));
  for (const [name, bytes] of [
    ["that is cut off", small.subarray(0, -9)],
    ["with other bytes behind it", Buffer.concat([small, Buffer.from("xy")])],
    ["that is not compressed, though it should be", Buffer.from("no gzip")],
  ] as const)
    test(`${name} is refused`, async () => {
      await assert.rejects(unpackArchive(bytes, newFolder(), { compression: "gzip" }), { code: "CONTENT_INVALID" });
    });

  test("with another digest is refused, and none is unpacked after a stop", async () => {
    const diffId = parseDigest(`sha256:${"0".repeat(64)}`);
    const options = { compression: "gzip", diffId } as const;
    await assert.rejects(unpackArchive(small, newFolder(), options), { code: "DIGEST_MISMATCH" });
    const stop = AbortSignal.abort(new Error("stopped"));
    const folder = newFolder();
    await assert.rejects(unpackArchive(small, folder, { compression: "gzip", signal: stop }), /stopped/);
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe("a prefix that is named by its hash", () => {
  const hash = "a".repeat(32);
  const prefix = `opt/store/x86/zlib-1.3-${hash}`;
  const folder = (name: string): Buffer => rawMember({ name, type: "5", mode: "0000755" });
  const file = (name: string): Buffer => rawMember({ name }, "content");
  const info = file(`${prefix}/.spack/binary_distribution`);
  const parents = ["opt", "opt/store", "opt/store/x86", prefix].map(folder);
  const unpack = (members: readonly Buffer[], more: Partial<UnpackOptions> = {}, into = newFolder()) =>
    unpackBytes(Buffer.concat([...members, END]), { hash, ...more }, into);

  for (const [name, members] of [
    ["after its parent folders", [...parents, info]],
    ["without its parent folders", [info]],
    ["with them behind it", [info, ...parents]],
    ["after some of them", [folder("opt"), folder(prefix), info]],
  ] as const)
    test(`is the folder itself: ${name}`, async () => {
      const into = newFolder();
      const link = rawMember({ name: `${prefix}/same`, type: "1", linkName: `${prefix}/lib/f` });
      const more = [folder(`${prefix}/lib`), file(`${prefix}/lib/f`), link];
      const unpacked = await unpack([...members, ...more], {}, into);
      assert.deepEqual(
        { ...unpacked },
        { prefix: `/${prefix}`, directory: into, members: members.length + 3, bytes: 14 },
      );
      const found = items(into);
      assert.deepEqual(
        found.map(({ path, type, names }) => [path, type, names]),
        [
          [".spack", "folder", 1],
          [".spack/binary_distribution", "file", 1],
          ["lib", "folder", 1],
          ["lib/f", "file", 2],
          ["same", "file", 2],
        ],
      );
      for (const { time } of found) assert.equal(time, 0);
      assert.equal(lstatSync(into).mtimeMs, 0);
    });

  for (const [name, members, where] of [
    ["another hash", [...parents, info], prefix],
    ["a folder beside its parents", [folder("opt"), folder("etc"), ...parents.slice(1), info], undefined],
    ["a file before it", [file("opt/f"), info], undefined],
  ] as const)
    test(`${name}: all folders are made`, async () => {
      const into = newFolder();
      const work = unpack(members, name === "another hash" ? { hash: "b".repeat(32) } : {}, into);
      if (where === undefined) await assert.rejects(work, { code: "ARCHIVE_UNSAFE", message: /no prefix with/ });
      else assert.equal((await work).directory, `${into}/${where}`);
      assert.ok(existsSync(join(into, prefix)));
    });

  test("may be below the folder with the hash", async () => {
    const into = newFolder();
    const { directory, prefix: found } = await unpack([file(`opt/${hash}/zlib/.spack/binary_distribution`)], {}, into);
    assert.deepEqual([directory, found], [`${into}/zlib`, `/opt/${hash}/zlib`]);
  });

  for (const [name, member] of [
    ["a file", file("opt/store/other")],
    ["a folder", folder("opt/other")],
    ["a link", rawMember({ name: "opt/link", type: "2", linkName: "x" })],
    ["a file in place of a parent folder", file("opt/store")],
    ["a file in place of the prefix", file(prefix)],
    ["a hard link to outside", rawMember({ name: `${prefix}/l`, type: "1", linkName: "opt/store/f" })],
  ] as const)
    test(`${name} outside of it is refused`, async () => {
      const into = newFolder();
      await assert.rejects(unpack([...parents, info, member], {}, into), { code: "ARCHIVE_UNSAFE" });
      assert.deepEqual(readdirSync(into), [".spack"]);
    });

  test("has no build info: refused", async () => {
    await assert.rejects(unpack([...parents, file(`${prefix}/f`)]), { code: "ARCHIVE_UNSAFE" });
  });
});

for (const [name, directory, umask] of [
  ["that only the owner may read", 0o700, 0o022],
  ["that a group may write to", 0o2775, 0o022],
  ["under a strict umask", 0o2755, 0o077],
  ["without setgid", 0o755, 0o022],
] as const)
  test(`folders get exactly the mode they should have: ${name}`, async () => {
    const before = process.umask(umask);
    try {
      const members = [rawMember({ name: "opt/p/.spack/binary_distribution" }), rawMember({ name: "opt/p/a/b/c" })];
      const permissions = { directory, file: directory & 0o777 };
      const unpacked = await unpackBytes(Buffer.concat([...members, END]), { permissions });
      for (const { path, type, mode } of items(unpacked.directory))
        assert.equal(mode, (type === "folder" ? directory : directory & 0o666).toString(8), path);
    } finally {
      process.umask(before);
    }
  });

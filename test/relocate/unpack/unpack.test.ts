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
import { unpackArchive } from "../../../lib/relocate/unpack/unpack.ts";
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

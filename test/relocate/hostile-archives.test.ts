// Proves that hostile archives are refused, with nothing written outside the folder.
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { ErrorCode } from "../../lib/errors.ts";
import { parseDigest } from "../../lib/oci/digest.ts";
import { DEFAULT_LIMITS } from "../../lib/relocate/unpack/tree-writer.ts";
import { unpackArchive } from "../../lib/relocate/unpack/unpack.ts";
import { failsWith } from "../support/errors.ts";
import { END, newFolder, pax, rawMember, unpackBytes } from "../support/hostile-tar.ts";
import { temporaryFolder } from "../support/tree.ts";

describe("archives that must not come out", () => {
  const info = rawMember({ name: "s/p/.spack/binary_distribution" }, "{}");
  const file = rawMember({ name: "s/p/file" }, "abc");
  const zero = Buffer.alloc(512);
  const outside = temporaryFolder();
  const victim = join(outside, "victim");
  writeFileSync(victim, "untouched");
  const link = (name: string, target: string, type = "2"): Buffer => rawMember({ name, type, linkName: target });

  const cases: { name: string; given: Buffer[]; code?: ErrorCode; says: RegExp; whole?: boolean }[] = [
    { name: "a name with ..", given: [rawMember({ name: "s/p/../../../x" }, "x")], says: /not a plain path/ },
    { name: "only ..", given: [rawMember({ name: ".." }, "x")], says: /not a plain path/ },
    { name: "an absolute name", given: [rawMember({ name: `${outside}/new` }, "x")], says: /not a plain path/ },
    { name: "an absolute folder", given: [rawMember({ name: "/tmp/x/", type: "5" })], says: /not a plain path/ },
    {
      name: "an absolute name in a pax header",
      given: [pax({ path: `${outside}/new` }), file],
      says: /not a plain path/,
    },
    {
      name: "a .. in a prefix of a name",
      given: [rawMember({ name: "x", prefix: "s/../.." }, "x")],
      says: /not a plain path/,
    },
    { name: "an empty part", given: [rawMember({ name: "s//x" }, "x")], says: /not a plain path/ },
    { name: "a dot", given: [rawMember({ name: "./s/p/x" }, "x")], says: /not a plain path/ },
    { name: "no name", given: [rawMember({ name: "" }, "x")], says: /name of 0 bytes/ },
    { name: "a folder without a name", given: [rawMember({ name: "///", type: "5" })], says: /name of 0 bytes/ },
    {
      name: "a NUL in a name",
      given: [pax({ path: "s/p/a\0b" }), file],
      says: /a name with a NUL byte: s\/p\/a\\u0000b/,
    },
    {
      name: "a folder whose long name is a million slashes",
      given: [
        rawMember({ name: "././@LongLink", type: "L" }, `${"/".repeat(1_000_000)}x`),
        rawMember({ name: "d", type: "5" }),
      ],
      says: /name of 1000001 bytes/,
    },
    { name: "a very long name", given: [pax({ path: `s/${"x/".repeat(2100)}y` }), file], says: /name of 4203 bytes/ },
    {
      name: "a part that is too long",
      given: [pax({ path: `s/p/${"x".repeat(300)}` }), file],
      code: "FILE_SYSTEM",
      says: /ENAMETOOLONG/,
    },
    {
      name: "a write through a link",
      given: [link("s/p/l", outside), rawMember({ name: "s/p/l/victim" }, "bad")],
      says: /something else already|not a folder/,
    },
    {
      name: "a folder through a link",
      given: [link("s/p/l", outside), rawMember({ name: "s/p/l/d/", type: "5" })],
      says: /something else already|not a folder/,
    },
    {
      name: "a folder in place of a link",
      given: [link("s/p/l", outside), rawMember({ name: "s/p/l/", type: "5" })],
      says: /something else already/,
    },
    {
      name: "a link in place of a folder",
      given: [rawMember({ name: "s/p/d/", type: "5" }), link("s/p/d", outside)],
      says: /something else already/,
    },
    {
      name: "a link in place of a folder that was implied",
      given: [file, link("s/p", outside)],
      says: /something else already/,
    },
    {
      name: "a file in place of a link",
      given: [link("s/p/l", victim), rawMember({ name: "s/p/l" }, "bad")],
      says: /something else already/,
    },
    {
      name: "the same file twice",
      given: [file, rawMember({ name: "s/p/file" }, "other")],
      says: /"s\/p\/file" is a file where/,
    },
    {
      name: "a file below a file",
      given: [file, rawMember({ name: "s/p/file/x" }, "x")],
      says: /something else already|not a folder/,
    },
    { name: "a link twice", given: [link("s/p/l", "a"), link("s/p/l", "b")], says: /something else already/ },
    {
      name: "a hard link to the outside",
      given: [link("s/p/h", victim, "1")],
      says: /is a hard link to .*victim, which is not an earlier file/,
    },
    { name: "a hard link with ..", given: [file, link("s/p/h", "s/p/../p/file", "1")], says: /not an earlier file/ },
    {
      name: "a hard link through a link",
      given: [link("s/p/l", outside), link("s/p/h", "s/p/l/victim", "1")],
      says: /not an earlier file/,
    },
    {
      name: "a hard link to a link",
      given: [link("s/p/l", victim), link("s/p/h", "s/p/l", "1")],
      says: /not an earlier file/,
    },
    {
      name: "a hard link to what comes later",
      given: [link("s/p/h", "s/p/file", "1"), file],
      says: /not an earlier file/,
    },
    { name: "a hard link to a folder", given: [file, link("s/p/h", "s/p", "1")], says: /not an earlier file/ },
    {
      name: "a hard link in place of a file",
      given: [file, rawMember({ name: "s/p/g" }, "x"), link("s/p/g", "s/p/file", "1")],
      says: /something else already/,
    },
    {
      name: "a hard link with contents",
      given: [file, rawMember({ name: "s/p/h", type: "1", linkName: "s/p/file" }, "x")],
      says: /contents for a hardlink/,
    },
    {
      name: "a link with contents",
      given: [rawMember({ name: "s/p/h", type: "2", linkName: "x" }, "x")],
      says: /contents for a symlink/,
    },
    {
      name: "a folder with contents",
      given: [rawMember({ name: "s/p/d/", type: "5" }, "x")],
      says: /contents for a directory/,
    },
    { name: "a link to nothing", given: [link("s/p/l", "")], says: /target of 0 bytes/ },
    {
      name: "a link to something very long",
      given: [pax({ linkpath: "x".repeat(5000) }), link("s/p/l", "x")],
      says: /target of 5000 bytes/,
    },
    {
      name: "a file with a target",
      given: [rawMember({ name: "s/p/f", linkName: "/etc/passwd" })],
      says: /target but is not a link/,
    },
    {
      name: "a character device",
      given: [rawMember({ name: "s/p/d", type: "3" })],
      says: /a character device: s\/p\/d/,
    },
    { name: "a block device", given: [rawMember({ name: "s/p/d", type: "4" })], says: /a block device/ },
    { name: "a FIFO", given: [rawMember({ name: "s/p/d", type: "6" })], says: /a FIFO/ },
    { name: "a type that nobody knows", given: [rawMember({ name: "s/p/d", type: "Z" })], says: /type "Z"/ },
    {
      name: "a file whose name ends with a slash",
      given: [rawMember({ name: "s/p/d/" }, "x")],
      says: /ends with a slash/,
    },
    { name: "a sparse file", given: [pax({ "GNU.sparse.major": "1" }), file], says: /sparse/ },
    { name: "a path for all members", given: [pax({ path: "x" }, "g"), file], says: /sets path for all members/ },
    { name: "a size for all members", given: [pax({ size: "1" }, "g"), file], says: /sets size for all members/ },
    {
      name: "two names for one member",
      given: [pax({ path: "s/p/a" }), rawMember({ name: "L", type: "L" }, "s/p/b\0"), file],
      says: /two names/,
    },
    {
      name: "a huge header",
      given: [rawMember({ name: "x", type: "x", size: 2 << 20 }).subarray(0, 512)],
      says: /header of 2097152 bytes/,
    },
    {
      name: "a header of no end",
      given: [rawMember({ name: "x", type: "L", size: "77777777777" })],
      says: /header of 8589934591 bytes/,
    },
    {
      name: "a pax record that is too long",
      given: [rawMember({ name: "x", type: "x" }, "99 path=abc\n"), file],
      code: "CONTENT_INVALID",
      says: /pax header/,
    },
    {
      name: "a pax record of no length",
      given: [rawMember({ name: "x", type: "x" }, "0 path=abc\n"), file],
      code: "CONTENT_INVALID",
      says: /pax header/,
    },
    {
      name: "a pax record that cuts another",
      given: [rawMember({ name: "x", type: "x" }, "9 path=abc\n"), file],
      code: "CONTENT_INVALID",
      says: /pax header/,
    },
    {
      name: "a pax size that is no number",
      given: [pax({ size: "-1" }), file],
      code: "CONTENT_INVALID",
      says: /"-1" as a size/,
    },
    {
      name: "a size that is no number",
      given: [rawMember({ name: "s/p/f", size: "xyz" })],
      code: "CONTENT_INVALID",
      says: /no size for member 1/,
    },
    {
      name: "a negative size",
      given: [rawMember({ name: "s/p/f", size: Buffer.alloc(12, 0xff) })],
      code: "CONTENT_INVALID",
      says: /no size/,
    },
    {
      name: "a size beyond all numbers",
      given: [rawMember({ name: "s/p/f", size: Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0x7f)]) })],
      code: "CONTENT_INVALID",
      says: /no size/,
    },
    {
      name: "a mode that is no number",
      given: [rawMember({ name: "s/p/f", mode: "rwxr-xr" })],
      code: "CONTENT_INVALID",
      says: /no mode/,
    },
    {
      name: "a wrong checksum",
      given: [rawMember({ name: "s/p/f", checksum: "0000000" })],
      code: "CONTENT_INVALID",
      says: /checksum/,
    },
    {
      name: "an unknown format",
      given: [rawMember({ name: "s/p/f", magic: "other" })],
      code: "CONTENT_INVALID",
      says: /unknown format/,
    },
    {
      name: "contents that are not there",
      given: [info, rawMember({ name: "s/p/f", size: 10_000 }, "abc")],
      whole: true,
      code: "CONTENT_INVALID",
      says: /ends in the middle/,
    },
    { name: "no end", given: [info], whole: true, code: "CONTENT_INVALID", says: /ends in the middle/ },
    {
      name: "half a block",
      given: [info, END, Buffer.alloc(100)],
      whole: true,
      code: "CONTENT_INVALID",
      says: /ends in the middle/,
    },
    { name: "nothing at all", given: [], whole: true, code: "CONTENT_INVALID", says: /ends in the middle/ },
    {
      name: "an end after an announcement",
      given: [info, pax({ path: "s/p/x" }), END],
      whole: true,
      code: "CONTENT_INVALID",
      says: /where a member was announced/,
    },
    { name: "a member behind the end", given: [info, END, file, END], whole: true, says: /data after its end/ },
    {
      name: "a member behind half an end",
      given: [info, zero, file, END],
      whole: true,
      says: /data after its end/,
    },
    { name: "an empty archive", given: [END], whole: true, says: /not a Spack package/ },
    { name: "no build info", given: [file, END], whole: true, says: /not a Spack package/ },
    {
      name: "build info that is a link",
      given: [file, link("s/p/.spack/binary_distribution", "../file"), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "build info that is a folder",
      given: [rawMember({ name: "s/p/.spack/binary_distribution/", type: "5" }), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "build info at the root",
      given: [rawMember({ name: ".spack/binary_distribution" }), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "a file beside the prefix",
      given: [info, rawMember({ name: "s/q" }, "x"), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "a link beside the prefix",
      given: [info, link("s/q", "p"), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "a prefix that is a link",
      given: [link("s/p", "q"), rawMember({ name: "s/q/.spack/binary_distribution" }), END],
      whole: true,
      says: /not a Spack package/,
    },
    {
      name: "a prefix that is no text",
      given: [rawMember({ name: "s/\xff/.spack/binary_distribution" }), END],
      whole: true,
      says: /is the prefix, but no text/,
    },
  ];
  for (const { name, given, code = "ARCHIVE_UNSAFE", says, whole = false } of cases)
    test(name, async () => {
      const folder = newFolder();
      const archive = Buffer.concat(whole ? given : [...given, info, END]);
      await failsWith(code, unpackBytes(archive, {}, folder), says);
      assert.equal(readFileSync(victim, "utf8"), "untouched");
      assert.deepEqual(readdirSync(outside), ["victim"]);
      assert.deepEqual(readdirSync(join(folder, "..")), ["unpacked"]);
    });

  test("setuid, setgid and sticky bits do not come out", async () => {
    const { directory } = await unpackBytes(Buffer.concat([rawMember({ name: "s/p/f", mode: "0007777" }), info, END]));
    assert.equal(lstatSync(join(directory, "f")).mode & 0o7777, 0o755);
  });

  test("more members, bytes or compression than there may be", async () => {
    const many = Buffer.concat([
      ...Array.from({ length: 20 }, (_, at) => rawMember({ name: `s/p/f${at}` })),
      info,
      END,
    ]);
    await failsWith(
      "TOO_LARGE",
      unpackBytes(many, { limits: { ...DEFAULT_LIMITS, members: 20 } }),
      /more than 20 members/,
    );
    await failsWith(
      "TOO_LARGE",
      unpackBytes(many, { limits: { ...DEFAULT_LIMITS, bytes: 5000 } }),
      /more than 5000 bytes/,
    );
    const bomb = gzipSync(Buffer.alloc(300 << 20), { level: 9 });
    const header = gzipSync(rawMember({ name: "s/p/zeros", size: 300 << 20 }).subarray(0, 512));
    const work = unpackBytes(Buffer.concat([header, bomb]), { compression: "gzip" });
    await failsWith("TOO_LARGE", work, /more than 268435456 bytes when \d+ of it/);
  });

  test("another archive than was asked for", async () => {
    const diffId = parseDigest(`sha256:${"0".repeat(64)}`);
    await failsWith("DIGEST_MISMATCH", unpackBytes(Buffer.concat([info, END]), { diffId }), /expected sha256:0000/);
  });

  test("a stream that is cut, or damaged", async () => {
    const archive = Buffer.concat([info, END]);
    await failsWith(
      "CONTENT_INVALID",
      unpackBytes(gzipSync(archive).subarray(0, 60), { compression: "gzip" }),
      /not a complete gzip stream/,
    );
    await failsWith(
      "CONTENT_INVALID",
      unpackBytes(zstdCompressSync(archive).subarray(0, 30), { compression: "zstd" }),
      /zstd|middle/,
    );
    await failsWith(
      "CONTENT_INVALID",
      unpackBytes(archive, { compression: "gzip" }),
      /not a complete gzip stream: incorrect header/,
    );
    await failsWith("CONTENT_INVALID", unpackBytes(archive, { compression: "zstd" }), /not a complete zstd stream/);
  });

  test("bytes behind a compressed archive, in its last chunk or after it", async () => {
    const archive = gzipSync(Buffer.concat([info, END]));
    for (const more of [1, 100_000]) {
      const { members } = await unpackBytes(Buffer.concat([archive, Buffer.alloc(more)]), { compression: "gzip" });
      assert.equal(members, 1);
      const ends = Buffer.concat([archive, Buffer.alloc(more), Buffer.from("x")]);
      await failsWith("CONTENT_INVALID", unpackBytes(ends, { compression: "gzip" }), /unexpected data follows it/);
    }
  });

  test("a source that fails, fails as it does; an interruption is one", async () => {
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const source = new Readable({
        read() {
          this.destroy(new Error("the line went dead"));
        },
      });
      await assert.rejects(unpackArchive(source, newFolder(), { compression }), /the line went dead/);
      const abort = new AbortController();
      const silent = new Readable({ read() {} });
      const work = unpackArchive(silent, newFolder(), { compression, signal: abort.signal });
      setTimeout(() => abort.abort(new Error("enough")), 5);
      await assert.rejects(work, /enough/);
      assert.ok(silent.destroyed);
    }
  });
});

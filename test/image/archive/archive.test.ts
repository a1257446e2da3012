// Proves what an archive contains, in which order, and how unreadable or changing prefixes fail.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Parser, type ReadEntry } from "tar";
import { archivePieces } from "../../../lib/image/archive/archive.ts";
import { AT, buildInfo, jobFor, pack } from "../../support/archive.ts";
import { failsWith } from "../../support/errors.ts";

interface Listed {
  type: string;
  path: string;
  link: string;
  content: string;
}

function list(archive: Buffer): Listed[] {
  const out: Listed[] = [];
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry: ReadEntry) => {
      const chunks: Buffer[] = [];
      const found: Listed = { type: entry.type, path: entry.path, link: entry.linkpath ?? "", content: "" };
      out.push(found);
      entry.on("data", (chunk: Buffer) => chunks.push(chunk));
      entry.on("end", () => {
        found.content = Buffer.concat(chunks).toString("latin1");
      });
    },
  });
  parser.end(archive);
  return out;
}

const LISTS = /relocate_binaries: (\[.*?\]), relocate_links: (\[.*?\]), relocate_textfiles: (\[.*?\])\}/s;

test("names are sorted as Python sorts them, bytes that are no text included", () => {
  const names = [
    "\xee\x80\x80",
    "\xff",
    "\xf0\x9f\x98\x80",
    "\xc3\xa9",
    "z",
    "\xef\xbf\xbd",
    "Z",
    "a-b",
    "a.b",
    "\xc3",
  ];
  const job = jobFor(
    names.map((path) => ({ type: "file", path: `d/${path}`, content: Buffer.from(`say /s/p ${path}`, "latin1") })),
  );
  const { archive } = pack(job);
  const expected = [
    "Z",
    "a-b",
    "a.b",
    "z",
    "\xc3\xa9",
    "\xc3",
    "\xff",
    "\xee\x80\x80",
    "\xef\xbf\xbd",
    "\xf0\x9f\x98\x80",
  ];
  const contents = list(archive).flatMap(({ content }) => (content.startsWith("say ") ? [content.slice(9)] : []));
  assert.deepEqual(contents, expected);
  assert.ok(archive.includes("21 hdrcharset=BINARY\n"));
  assert.ok(archive.includes(Buffer.from("13 path=s/p/d/\xff\n", "latin1").subarray(3)));
  assert.match(buildInfo(archive), /"d\/\\uDCC3", "d\/\\uDCFF"/);
});

test("hard links are written once, and listed under their first name", () => {
  const job = jobFor([
    { type: "file", path: "sub/a", content: "text that names /s/p" },
    { type: "hardlink", path: "z", target: "sub/a" },
    { type: "hardlink", path: "sub/b", target: "sub/a" },
  ]);
  const { archive } = pack(job);
  assert.deepEqual(
    list(archive).filter(({ type }) => type !== "Directory" && type !== "File"),
    [
      { type: "Link", path: "s/p/sub/a", link: "s/p/z", content: "" },
      { type: "Link", path: "s/p/sub/b", link: "s/p/z", content: "" },
    ],
  );
  assert.equal(LISTS.exec(buildInfo(archive))?.[3], "[z]");
  // The walk of Spack before 1.0 met `sub/a` first, and never entered `man`.
  assert.match(buildInfo(pack({ ...job, legacy: true }).archive), /relocate_textfiles: \[sub\/a\], relocate_binaries/);
});

test("what Spack does not relocate is not listed", () => {
  const job = jobFor([
    { type: "file", path: ".spack/log", content: "names /s/p" },
    { type: "symlink", path: ".spack/link", target: "/s/p/x" },
    { type: "file", path: "share/man/page", content: "names /s/p" },
    { type: "file", path: "share/page", content: "names /s/p" },
    { type: "symlink", path: "outside", target: "/usr/lib" },
    { type: "symlink", path: "relative", target: "share" },
  ]);
  assert.deepEqual(LISTS.exec(buildInfo(pack(job).archive))?.slice(1), [
    "[]",
    "[.spack/link]",
    "[share/page, share/man/page]",
  ]);
  assert.match(
    buildInfo(pack({ ...job, legacy: true }).archive),
    /relocate_textfiles: \[share\/page\], relocate_binaries: \[\], relocate_links: \[\], hardlinks/,
  );
});

test("the build info of an earlier push is left out, under whatever name", () => {
  const job = jobFor([
    { type: "file", path: ".spack/binary_distribution", content: "old" },
    { type: "hardlink", path: "copy", target: ".spack/binary_distribution" },
  ]);
  const names = list(pack(job).archive).map(({ path }) => path);
  assert.deepEqual(names, ["s/", "s/p/", "s/p/.spack/", "s/p/.spack/binary_distribution"]);
});

test("sockets and FIFOs are left out and told", async () => {
  const job = jobFor([{ type: "file", path: "a" }]);
  execFileSync("mkfifo", [join(job.directory, "fifo")]);
  const server = createServer().listen(join(job.directory, "socket"));
  await new Promise((done) => server.once("listening", done));
  const { summary } = pack(job);
  server.close();
  assert.deepEqual(summary.skipped, [
    { path: "fifo", kind: "FIFO" },
    { path: "socket", kind: "socket" },
  ]);
  assert.equal(summary.files, 1);
});

test("a file of more than 8 GiB has its size in a pax record", () => {
  const job = jobFor([{ type: "file", path: "large" }]);
  const size = 8 * 1024 ** 3;
  truncateSync(join(job.directory, "large"), size);
  const generator = archivePieces(job, () => Buffer.alloc(4096));
  // The folders above the prefix come first.
  const [{ value: folders }, { value }] = [generator.next(), generator.next()];
  generator.return(undefined as never);
  assert.ok(folders instanceof Buffer && folders.length === 512);
  assert.ok(value instanceof Buffer && value.includes(`size=${size}\n`));
});

describe("what cannot be packed is named", () => {
  test("a prefix that is missing", async () => {
    const error = await failsWith(
      "SPEC_NOT_INSTALLED",
      () => pack({ ...AT, directory: "/nowhere/p" }),
      /\/nowhere\/p is missing/,
    );
    assert.match(error.hint ?? "", /install/);
  });
  test("a prefix that is a file", async () => {
    const job = { ...AT, directory: import.meta.filename };
    await failsWith("SPEC_NOT_INSTALLED", () => pack(job), /is a file, expected a directory/);
  });
  test("a relative prefix", async () => {
    await failsWith("SPEC_NOT_INSTALLED", () => pack({ ...AT, prefix: "p" }), /absolute/);
  });
  for (const path of ["secret/file", "secret"])
    test(`a ${path} that cannot be read`, async () => {
      const job = jobFor([{ type: "file", path: "secret/file", content: "x" }]);
      chmodSync(join(job.directory, path), 0);
      const error = await failsWith("FILE_SYSTEM", () => asNobody(() => pack(job)), /cannot read .*secret/);
      assert.match(error.hint ?? "", /readable/);
      chmodSync(join(job.directory, path), 0o755);
    });
});

// Root can read everything.
function asNobody<T>(work: () => T): T {
  if (process.getuid?.() !== 0) return work();
  process.seteuid?.(65_534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

describe("a prefix that changes while it is packed is a conflict", () => {
  // With pieces of one block, the file changes after its header or its first block was written.
  const first = { type: "file", path: "f", content: "x".repeat(5000) } as const;
  const rows: [string, (path: string) => void, RegExp][] = [
    [
      "it grows",
      (path) => appendFileSync(path, "more"),
      /\/p\/f changed while it was packed: it has 5004 bytes, expected 5000/,
    ],
    ["it shrinks", (path) => truncateSync(path, 700), /it has \d+ bytes, expected 5000/],
    ["it is overwritten", (path) => overwrite(path), /it was written to/],
  ];
  for (const [name, change, message] of rows)
    test(name, async () => {
      const job = jobFor([first]);
      let pieces = 0;
      const onPiece = (): void => void (++pieces === 4 && change(join(job.directory, "f")));
      const error = await failsWith("CONFLICT", () => pack(job, 512, onPiece), message);
      assert.match(error.hint ?? "", /wait/);
    });
  test("it vanishes, or becomes a link, between being listed and being read", async () => {
    for (const change of [rmSync, (path: string) => renameSync(`${path}ink`, path)]) {
      const job = jobFor([
        { type: "file", path: "a", content: "x".repeat(600) },
        first,
        { type: "symlink", path: "fink", target: "a" },
      ]);
      let pieces = 0;
      const onPiece = (): void => void (++pieces === 4 && change(join(job.directory, "f")));
      await failsWith("CONFLICT", () => pack(job, 512, onPiece), /changed while it was packed/);
    }
  });
});

function overwrite(path: string): void {
  const fd = openSync(path, "r+");
  writeSync(fd, "y", 10);
  closeSync(fd);
}

test("other readers of tar find the same tree", () => {
  const content = fc.uint8Array({ maxLength: 1500 });
  const tree = fc.dictionary(fc.stringMatching(/^[a-e]{1,3}(?:\/[a-eé ]{1,120}){0,2}$/), content, {
    maxKeys: 12,
    noNullPrototype: true,
  });
  fc.assert(
    fc.property(tree, fc.integer({ min: 1, max: 3000 }), (files, pieceSize) => {
      const items = Object.entries(files).filter(
        ([path]) => !Object.keys(files).some((other) => other.startsWith(`${path}/`)),
      );
      const job = jobFor(
        items.map(([path, bytes]) => ({ type: "file", path: Buffer.from(path).toString("latin1"), content: bytes })),
      );
      const { archive } = pack(job, pieceSize);
      rmSync(job.directory, { recursive: true });
      const found = list(archive).flatMap(({ type, path, content }) =>
        type === "File" && !path.endsWith("/binary_distribution") ? [[path.slice(4), content]] : [],
      );
      const expected = items.map(([path, bytes]) => [path, Buffer.from(bytes).toString("latin1")]);
      assert.deepEqual(found.sort(), expected.sort());
    }),
    { numRuns: 60 },
  );
});

test("packing twice, or with fresh times and permissions, gives the same bytes", () => {
  const job = jobFor([{ type: "file", path: "bin/x", mode: 0o700, content: "#!/s/p/bin/y\n" }]);
  const { archive } = pack(job);
  writeFileSync(join(job.directory, "bin/x"), "#!/s/p/bin/y\n");
  chmodSync(join(job.directory, "bin/x"), 0o755);
  assert.ok(pack(job).archive.equals(archive));
});

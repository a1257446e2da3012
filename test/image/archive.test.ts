import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { Parser, type ReadEntry, UnpackSync } from "tar";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { type ArchiveJob, type ArchiveSummary, archivePieces } from "../../lib/image/archive.ts";
import type { Relocatable } from "../../lib/image/buildinfo.ts";
import { specTag } from "../../lib/spack/name.ts";
import { failsWith } from "../support/errors.ts";
import { golden } from "../support/golden.ts";
import { goldenImages, goldenSpecs, lastDiffId } from "../support/golden-store.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../support/tree.ts";
import { vector } from "../support/vectors.ts";

interface Packed {
  archive: Buffer;
  diffId: string;
  summary: ArchiveSummary;
}

function pack(job: ArchiveJob, pieceSize = 1 << 20, onPiece = () => {}): Packed {
  const generator = archivePieces(job, () => Buffer.alloc(pieceSize));
  const pieces: Buffer[] = [];
  for (;;) {
    const { done, value } = generator.next();
    if (done) {
      const archive = Buffer.concat([...pieces, value.end]);
      assert.equal(value.sha256, createHash("sha256").update(archive).digest("hex"));
      return { archive, diffId: `sha256:${value.sha256}`, summary: value };
    }
    pieces.push(value);
    onPiece();
  }
}

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  describe(`archives of the store of ${generation} are those of Spack`, async () => {
    const specs = await goldenSpecs(generation);
    const images = goldenImages(`${generation}/plain.oci`);
    for (const { root, job } of specs.values())
      test(root.name, () => {
        const expected = lastDiffId(images.get(specTag(root))?.config);
        for (const pieceSize of [511, 4096, 1 << 20]) assert.equal(pack(job, pieceSize).diffId, expected);
      });
  });

describe("what is unpacked from a cache is packed into the same layer again", () => {
  const manifestSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });
  const infoSchema = z.object({
    buildpath: z.string(),
    spackprefix: z.string(),
    relative_prefix: z.string(),
    sbang_install_path: z.string(),
    hash_to_prefix: z.record(z.string(), z.string()),
  });
  for (const [tag, { manifest, config }] of goldenImages("spack-1.2/padded.oci")) {
    if (!tag.endsWith(".spack") || tag === "index.spack") continue;
    test(tag, () => {
      const layer = manifestSchema.parse(JSON.parse(manifest)).layers.at(-1);
      const archive = gunzipSync(readFileSync(golden(`spack-1.2/padded.oci/blobs/${layer?.digest.replace(":", "/")}`)));
      const info = infoSchema.parse(parseYaml(buildInfo(archive).slice(0, buildInfo(archive).indexOf("\n"))));
      const { buildpath: root, spackprefix: spackPrefix, hash_to_prefix } = info;
      const folder = temporaryFolder();
      new UnpackSync({ cwd: folder, preservePaths: true }).end(archive);
      const prefix = `${root}/${info.relative_prefix}`;
      const hashToPrefix = Object.entries(hash_to_prefix);
      const mentioned = [...Object.values(hash_to_prefix), info.sbang_install_path, root];
      const { diffId } = pack({
        root,
        spackPrefix,
        prefix,
        hashToPrefix,
        mentioned,
        legacy: false,
        directory: folder + prefix,
      });
      assert.equal(diffId, lastDiffId(config));
    });
  }
});

/** A job for a tree that is said to be installed at /s/p. */
function jobFor(items: Iterable<TreeItem>, more: Partial<Relocatable> = {}): ArchiveJob & { directory: string } {
  const directory = join(temporaryFolder(), "p");
  makeTree(directory, [{ type: "dir", path: "" }, ...items]);
  return { ...AT, directory, ...more };
}

const AT: ArchiveJob = {
  root: "/s",
  prefix: "/s/p",
  spackPrefix: "/s",
  hashToPrefix: [["a".repeat(32), "/s/p"]],
  mentioned: ["/s/p", "/s/bin/sbang", "/s"],
  legacy: false,
};

test("a tree with everything in it becomes Spack's archive, byte for byte", () => {
  const item = z.discriminatedUnion("type", [
    z.object({ type: z.literal("dir"), path: z.string() }),
    z.object({ type: z.literal("file"), path: z.string(), mode: z.string(), content_latin1: z.string() }),
    z.object({ type: z.literal("hardlink"), path: z.string(), to: z.string() }),
    z.object({ type: z.literal("symlink"), path: z.string(), target: z.string() }),
  ]);
  const given = vector(
    "tarball",
    z.object({
      prefix: z.string(),
      prefixes_to_relocate: z.array(z.string()),
      buildinfo_in: z.object({
        buildpath: z.string(),
        spackprefix: z.string(),
        hash_to_prefix: z.record(z.string(), z.string()),
      }),
      tree: z.array(item),
      binary_distribution: z.string(),
      uncompressed_sha256: z.string(),
      tar_gz_base64: z.string(),
    }),
  );
  const job = jobFor(
    given.tree.map((entry): TreeItem => {
      const path = Buffer.from(entry.path).toString("latin1");
      if (entry.type === "hardlink") return { type: "hardlink", path, target: entry.to };
      if (entry.type === "dir" || entry.type === "symlink") return { ...entry, path };
      return { type: "file", path, mode: Number(entry.mode), content: Buffer.from(entry.content_latin1, "latin1") };
    }),
    {
      root: given.buildinfo_in.buildpath,
      prefix: given.prefix,
      spackPrefix: given.buildinfo_in.spackprefix,
      hashToPrefix: Object.entries(given.buildinfo_in.hash_to_prefix),
      mentioned: given.prefixes_to_relocate,
    },
  );
  const { archive, diffId } = pack(job);
  assert.ok(archive.includes(given.binary_distribution));
  assert.ok(archive.equals(gunzipSync(Buffer.from(given.tar_gz_base64, "base64"))));
  assert.equal(diffId, `sha256:${given.uncompressed_sha256}`);
});

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

function buildInfo(archive: Buffer): string {
  return archive.toString("utf8", archive.lastIndexOf("{sbang_install_path"));
}

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
  // The walk of Spack before 1.0 met `sub/a` first, and never looked into `man`.
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
  const { value } = generator.next();
  generator.return(undefined as never);
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

// Root may read everything.
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
  // Pieces of one block: the file is changed when its header has been written, or its first block.
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

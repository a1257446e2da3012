// Reads the mirrors that real Spack wrote, and mirrors in which something is wrong.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { updateIndex } from "../../../lib/cache/index-update.ts";
import { textOf } from "../../../lib/cache/mirror/clear-signed.ts";
import type { MirrorCache } from "../../../lib/cache/mirror/mirror-cache.ts";
import { blobIn, manifestText } from "../../../lib/cache/mirror/mirror-manifest.ts";
import type { ErrorCode } from "../../../lib/errors.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { check } from "../../../lib/ops/cache/check.ts";
import { specDocument } from "../../../lib/spack/spec/spec-writer.ts";
import { writeJson } from "../../../lib/spack/text/json.ts";
import { goldenCache } from "../../support/caches.ts";
import { failsWith } from "../../support/errors.ts";
import { copiedMirror, goldenMirror, mirrorAt } from "../../support/mirrors.ts";

const same = [
  { layout: 3, specs: 8, oci: "spack-1.2/plain.oci" },
  { layout: 2, specs: 7, oci: "spack-0.23/plain.oci" },
] as const;
for (const { layout, specs, oci } of same)
  test(`a mirror of layout ${layout} has the archives, specs and index of the OCI cache of the same store`, async () => {
    const mirror = mirrorAt(await goldenMirror(layout));
    const images = await goldenCache(oci);
    const listing = await mirror.list();
    assert.deepEqual([...listing.specs.keys()].sort(), [...(await images.list()).specs.keys()].sort());
    assert.deepEqual([listing.specs.size, listing.foreign, listing.hasIndex], [specs, [], true]);
    for (const [tag, { name, version }] of listing.specs) {
      const [found, image] = await Promise.all([mirror.fetchSpec(tag), images.fetchSpec(tag)]);
      assert.deepEqual([found.archive.digest, found.archive.size], [image.archive.digest, image.archive.size]);
      assert.equal(writeJson(found.document.value), writeJson(image.document.value));
      assert.deepEqual([found.document.root.name, found.document.root.version], [name, version]);
      assert.equal(found.isSigned, true);
      for await (const _ of await mirror.blobsOf(found).fetchBlob(found.archive));
    }
    const [index, other] = await Promise.all([mirror.readIndex(), images.readIndex()]);
    assert.deepEqual(
      [index?.problems, [...(index?.records.keys() ?? [])].sort()],
      [[], [...(other?.records.keys() ?? [])].sort()],
    );
    const report = await check(mirror, { depth: "bytes" });
    assert.deepEqual([report.checked, report.broken, report.blobs], [specs, [], specs]);
  });

test("every file of the golden mirror of layout 3 is accounted for, and every blob is named by its content", async () => {
  const folder = await goldenMirror(3);
  const files = (readdirSync(folder, { recursive: true }) as string[]).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
  assert.equal(files.length, 31);
  const named = new Set<string>();
  for (const file of files) {
    const bytes = readFileSync(join(folder, file));
    if (file.startsWith("blobs/"))
      assert.equal(createHash("sha256").update(bytes).digest("hex"), file.split("/").at(-1));
    else if (file !== "v3/layout.json") {
      const text = textOf(bytes, file);
      const kinds = (["archive", "spec", "index", "key", "key index"] as const).flatMap((kind) => {
        const blob = blobIn(text, kind, file);
        if (blob) named.add(blob.digest.slice(7));
        return blob ? [{ ...blob, kind }] : [];
      });
      assert.equal(manifestText(kinds), text, "written as Spack writes it");
    }
  }
  assert.deepEqual(
    [...named].sort(),
    files
      .filter((name) => name.startsWith("blobs/"))
      .map((name) => name.split("/").at(-1))
      .sort(),
  );
});

const manifestOf = (folder: string, name: string): string => {
  const below = join(folder, "v3/manifests/spec", name);
  return join(below, readdirSync(below)[0] ?? "");
};
const plain = (path: string): string => textOf(readFileSync(path), path);
const specFile = (folder: string, name: string): string => {
  const files = readdirSync(join(folder, "build_cache")).filter((file) => file.includes(`-${name}-`));
  return join(folder, "build_cache", files.find((file) => file.endsWith(".sig")) ?? "");
};
const changed = (path: string, edit: (text: string) => string): void => writeFileSync(path, edit(plain(path)));

const ZLIB = "zlib-ish-1.0-bq6hs5tg726utiqtvgzy5vcxpiqjnded.spack";
const OLD_ZLIB = "zlib-ish-1.0-m3yifmekdznry6ybxmieg3l5poc5aseg.spack";
interface Bad {
  name: string;
  layout: 2 | 3;
  damage: (folder: string) => void;
  code: ErrorCode;
  message: RegExp;
}
const bad: Bad[] = [
  {
    name: "the manifest of another package in its place",
    layout: 3,
    damage: (folder) => cpSync(manifestOf(folder, "rigging"), manifestOf(folder, "zlib-ish")),
    code: "SPEC_INVALID",
    message: /contains another spec, rigging@2024\.11/,
  },
  {
    name: "a truncated manifest",
    layout: 3,
    damage: (folder) => changed(manifestOf(folder, "zlib-ish"), (text) => text.slice(0, 200)),
    code: "CONTENT_INVALID",
    message: /not valid JSON|JSON/,
  },
  {
    name: "text after a signature",
    layout: 3,
    damage: (folder) => appendFileSync(manifestOf(folder, "zlib-ish"), "more"),
    code: "CONTENT_INVALID",
    message: /is not one clear-signed message/,
  },
  {
    name: "a lying size",
    layout: 3,
    damage: (folder) =>
      changed(manifestOf(folder, "zlib-ish"), (text) => text.replaceAll(/"contentLength":\d+/g, '"contentLength":99')),
    code: "SIZE_MISMATCH",
    message: /expected 99/,
  },
  {
    name: "a checksum that cannot be checked",
    layout: 3,
    damage: (folder) => changed(manifestOf(folder, "zlib-ish"), (text) => text.replaceAll('"sha256"', '"md5"')),
    code: "CONTENT_INVALID",
    message: /expected a sha256 or sha512 checksum/,
  },
  {
    name: "no spec",
    layout: 3,
    damage: (folder) => changed(manifestOf(folder, "zlib-ish"), (text) => text.replace(/,\n\{[^}]*\}\n\]/, "\n]")),
    code: "CONTENT_INVALID",
    message: /names no spec/,
  },
  {
    name: "another version of the manifest",
    layout: 3,
    damage: (folder) => changed(manifestOf(folder, "zlib-ish"), (text) => text.replace('"version":3', '"version":4')),
    code: "CONTENT_INVALID",
    message: /version/,
  },
  {
    name: "a spec file of another package",
    layout: 2,
    damage: (folder) => cpSync(specFile(folder, "rigging"), specFile(folder, "zlib-ish")),
    code: "SPEC_INVALID",
    message: /contains another spec, rigging@2024\.11/,
  },
  {
    name: "a spec file of layout 0",
    layout: 2,
    damage: (folder) =>
      changed(specFile(folder, "zlib-ish"), (text) => text.replace(/"buildcache_layout_version":2,\n?/, "")),
    code: "UNSUPPORTED",
    message: /written by Spack 0\.17 or older/,
  },
  {
    name: "no archive",
    layout: 2,
    damage: (folder) => {
      for (const name of readdirSync(join(folder, "build_cache"), { recursive: true }) as string[])
        if (name.includes("zlib-ish-1.0-m3y") && name.endsWith(".spack")) rmSync(join(folder, "build_cache", name));
    },
    code: "NOT_FOUND",
    message: /has no zlib-ish-1\.0/,
  },
];
for (const { name, layout, damage, code, message } of bad)
  test(`a spec of a mirror of layout ${layout} with ${name} is ${code}`, async () => {
    const folder = await copiedMirror(layout);
    damage(folder);
    await failsWith(code, mirrorAt(folder).fetchSpec(layout === 3 ? ZLIB : OLD_ZLIB), message);
  });

test("a changed archive is a finding of check, and its stream fails", async () => {
  const folder = await copiedMirror(3);
  const { archive } = await mirrorAt(folder).fetchSpec(ZLIB);
  const path = join(folder, "blobs/sha256", archive.digest.slice(7, 9), archive.digest.slice(7));
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const { broken } = await check(mirrorAt(folder), { depth: "bytes" });
  assert.deepEqual(
    broken.map(({ tag }) => tag),
    [ZLIB],
  );
  assert.match(broken[0]?.reason ?? "", /has digest sha256:/);
});

test("a node whose content does not give its hash is refused", async () => {
  const folder = await copiedMirror(3);
  const mirror = mirrorAt(folder);
  const { document } = await mirror.fetchSpec(ZLIB);
  const value = writeJson({ spec: specDocument(document.root, document.graph), buildcache_layout_version: 2 });
  const bytes = Buffer.from(value.replaceAll('"debian12"', '"debian13"'));
  assert.ok(!bytes.equals(Buffer.from(value)));
  const digest = digestOf(bytes);
  mkdirSync(join(folder, "blobs/sha256", digest.slice(7, 9)), { recursive: true });
  writeFileSync(join(folder, "blobs/sha256", digest.slice(7, 9), digest.slice(7)), bytes);
  const path = manifestOf(folder, "zlib-ish");
  const archive = blobIn(plain(path), "archive", "x");
  assert.ok(archive);
  writeFileSync(
    path,
    manifestText([
      { ...archive, kind: "archive" },
      { kind: "spec", digest, size: bytes.length },
    ]),
  );
  await failsWith("SPEC_INVALID", mirrorAt(folder).fetchSpec(ZLIB), /but its content gives/);
});

test("layout 1 is read like layout 2", async () => {
  const folder = await copiedMirror(2);
  const path = specFile(folder, "hull");
  changed(path, (text) => text.replace('"buildcache_layout_version":2', '"buildcache_layout_version":1'));
  renameSync(path, path.replace(/\.sig$/, ""));
  const mirror: MirrorCache = mirrorAt(folder);
  const tag = [...(await mirror.list()).specs.keys()].find((each) => each.startsWith("hull-")) ?? "";
  const spec = await mirror.fetchSpec(tag);
  assert.deepEqual([spec.layoutVersion, spec.isSigned], [1, false]);
});

test("a mirror of Spack 0.16 and older is recognised and refused", async () => {
  const folder = await copiedMirror(2);
  for (const name of readdirSync(join(folder, "build_cache")).filter((file) => /\.spec\.json|\.spack/.test(file)))
    rmSync(join(folder, "build_cache", name), { recursive: true });
  writeFileSync(join(folder, "build_cache/linux-debian7-x86_64-gcc-4.9-zlib-1.2-abc.spec.yaml"), "spec: []\n");
  const error = await failsWith("UNSUPPORTED", mirrorAt(folder).list(), /written by Spack 0\.17 or older/);
  assert.match(error.hint ?? "", /stave push/);
});

test("a mirror with both layouts has the specs of both, and the newer layout comes first", async () => {
  const folder = await copiedMirror(3);
  cpSync(await goldenMirror(2), folder, { recursive: true });
  const mirror = mirrorAt(folder);
  assert.equal((await mirror.list()).specs.size, 15);
  const [old, recent] = await Promise.all([mirror.fetchSpec(OLD_ZLIB), mirror.fetchSpec(ZLIB)]);
  assert.deepEqual([old.document.format, recent.document.format], [4, 5]);
});

test("an index whose manifest is gone is none, and one whose text is gone is an error", async () => {
  const folder = await copiedMirror(3);
  const manifest = join(folder, "v3/manifests/index/index.manifest.json");
  const text = readFileSync(manifest, "utf8");
  const blob = blobIn(text, "index", "the manifest");
  assert.ok(blob);
  const hex = blob.digest.slice(7);
  rmSync(join(folder, "blobs/sha256", hex.slice(0, 2), hex));
  await failsWith("CONTENT_INVALID", mirrorAt(folder).readIndex(), /the index of .* is gone/);
  rmSync(manifest);
  assert.equal(await mirrorAt(folder).readIndex(), undefined);
  const listing = await mirrorAt(folder).list();
  assert.deepEqual([listing.specs.size, listing.hasIndex], [8, false]);
});

function textFile(manifest: string, folder: string): string {
  const [, hex = ""] = /"checksum":"([0-9a-f]+)"/.exec(readFileSync(manifest, "utf8")) ?? [];
  return join(folder, "blobs/sha256", hex.slice(0, 2), hex);
}

for (const [name, damage] of [
  ["whose manifest is no manifest", (file: string) => writeFileSync(file, "not an index")],
  ["whose manifest is cut", (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 60))],
  ["whose text is gone", (file: string, folder: string) => rmSync(textFile(file, folder))],
  [
    "whose text is damaged",
    (file: string, folder: string) => {
      const path = textFile(file, folder);
      writeFileSync(path, readFileSync(path, "utf8").replace("hull", "hulk"));
    },
  ],
] as const)
  test(`an index ${name} is made anew`, async () => {
    const folder = await copiedMirror(3);
    damage(join(folder, "v3/manifests/index/index.manifest.json"), folder);
    const report = await updateIndex(mirrorAt(folder, { isWritten: true }));
    assert.deepEqual([report.isWritten, report.specs, report.rounds], [true, 8, 1]);
    assert.equal((await mirrorAt(folder).readIndex())?.records.size, 10);
  });

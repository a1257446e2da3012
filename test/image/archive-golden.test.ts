// Proves that archives have exactly the bytes that real Spack writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { UnpackSync } from "tar";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { specTag } from "../../lib/spack/spec/spec-name.ts";
import { buildInfo, jobFor, pack } from "../support/archive.ts";
import { golden } from "../support/golden.ts";
import { goldenImages, goldenSpecs, lastDiffId } from "../support/golden-store.ts";
import { type TreeItem, temporaryFolder } from "../support/tree.ts";
import { vector } from "../support/vectors.ts";

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

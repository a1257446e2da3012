// Reads whole images and compares what they say about themselves with what they have.
import assert from "node:assert/strict";
import { type Digest, digestOf } from "../../lib/oci/digest.ts";
import { type Config, configSchema } from "../../lib/oci/manifest.ts";
import { TarReader } from "../../lib/relocate/unpack/tar-reader.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { fetchConfig } from "../../lib/target/image-config.ts";
import type { ReadTarget } from "../../lib/target/target.ts";
import { readAll } from "../../lib/util/stream.ts";
import { decompressed } from "./decompress.ts";

/** An image as its readers see it. */
export interface ReadImage {
  readonly config: Config;
  readonly digests: readonly Digest[];
  readonly sizes: readonly number[];
  /** The names of the specs in each layer, or what made it. */
  readonly specs: readonly string[];
  /** Entries with the digests of contents. */
  readonly entries: ReadonlyMap<string, string>;
}

/** Reads all of an image; checks the digests of its archives, and that no name is twice in a layer. */
export async function readImage(target: ReadTarget, tag: string): Promise<ReadImage> {
  const document = parseFetched(await target.fetchManifest(tag), target.name);
  assert.ok(document.kind === "manifest");
  const { config: descriptor, layers } = document.value;
  const config = configSchema.parse(JSON.parse((await fetchConfig(target, descriptor)).toString()));
  assert.equal(config.rootfs.diff_ids.length, layers.length);
  const entries = new Map<string, string>();
  for (const [at, layer] of layers.entries()) {
    const bytes = await readAll(await target.fetchBlob(layer), 100e6, "layer");
    const raw = await decompressed(layer.mediaType.endsWith("zstd") ? "zstd" : "gzip", [bytes]);
    assert.equal(digestOf(raw), config.rootfs.diff_ids[at]);
    const seen = new Set<string>();
    let last = "";
    let content: Buffer[] = [];
    const reader = new TarReader({
      member({ name, type, linkName }) {
        assert.ok(!seen.has(name), `${name} is twice in one layer`);
        seen.add(name);
        entries.set(name, `${type} ${linkName}`);
        last = name;
      },
      content: (piece) => void content.push(Buffer.from(piece)),
      contentEnd() {
        entries.set(last, digestOf(Buffer.concat(content)));
        content = [];
      },
    });
    reader.push(raw);
    reader.end();
  }
  const specs = (config.history ?? []).map(({ created_by }) =>
    String(created_by).replace("spack install ", "").replace(/@\S+/g, ""),
  );
  return { config, digests: layers.map(({ digest }) => digest), sizes: layers.map(({ size }) => size), specs, entries };
}

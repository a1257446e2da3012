// Creates an image layout directory of random layers, which the demo, the benchmarks and tests copy. Seeded, so that
// the same arguments give the same digests.
// usage: tsx scripts/make-image.ts DIR [--layers N] [--size MB] [--tag TAG] [--seed N]
import { createCipheriv } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import type { Descriptor } from "../lib/oci/descriptor.ts";
import { type Digest, digestOf, hexOf } from "../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "../lib/oci/mediatype.ts";
import { isMain } from "./is-main.ts";

export interface MakeImageOptions {
  /** How many layers. */
  layers: number;
  /** The total size of all layers, in bytes. */
  size: number;
  tag: string;
  seed: number;
}

/** Writes the layout and returns the image's descriptor. Adds the image to an existing layout. */
export function makeImage(directory: string, options: MakeImageOptions): Descriptor {
  const { layers, size, tag, seed } = options;
  const blobs = join(directory, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const write = (bytes: Uint8Array, mediaType: string): Descriptor => {
    const descriptor = describe(bytes, mediaType);
    writeFileSync(join(blobs, hexOf(descriptor.digest)), bytes);
    return descriptor;
  };
  const written: Descriptor[] = [];
  const diffIDs: Digest[] = [];
  for (let at = 0; at < layers; at++) {
    // From a tenth to nineteen tenths of the mean, so that blobs of different sizes are transferred at once.
    const share = (0.1 + (1.8 * at) / Math.max(1, layers - 1)) / (layers === 1 ? 0.1 : 1);
    const tar = randomTar(Math.round((size / layers) * share), seed * 1000 + at);
    diffIDs.push(digestOf(tar));
    // Stored, not deflated: the bytes are random, and clients should not try to compress them.
    written.push(write(gzipSync(tar, { level: 0 }), OCI_LAYER_GZIP));
  }
  const config = canonicalBytes({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: diffIDs },
    config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["/bin/true"] },
  });
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: write(config, OCI_CONFIG),
    layers: written,
  };
  const manifest = write(canonicalBytes(document), OCI_MANIFEST);
  const index = join(directory, "index.json");
  const known: { manifests: unknown[] } = existsSync(index)
    ? JSON.parse(readFileSync(index, "utf8"))
    : { manifests: [] };
  known.manifests.push({ ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } });
  writeFileSync(index, JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: known.manifests }));
  return manifest;
}

/** A tar of one incompressible file. */
function randomTar(size: number, seed: number): Buffer {
  const body = Math.max(1, size - 1536);
  const key = Buffer.from(digestOf(`stave ${seed}`).slice(7, 39));
  const random = createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(body));
  const header = Buffer.alloc(512);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, "0")}\0`;
  header.write(`data/${seed}.bin`, 0);
  header.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(body, 12) + octal(0, 12), 100);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, random, Buffer.alloc(((512 - (body % 512)) % 512) + 1024)]);
}

if (isMain(import.meta)) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      layers: { type: "string", default: "48" },
      size: { type: "string", default: "400" },
      tag: { type: "string", default: "latest" },
      seed: { type: "string", default: "1" },
    },
  });
  const [directory] = positionals;
  if (directory === undefined)
    throw new Error("usage: tsx scripts/make-image.ts DIR [--layers N] [--size MB] [--tag TAG] [--seed N]");
  const { layers, size, tag, seed } = values;
  const made = makeImage(directory, { layers: Number(layers), size: Number(size) * 1e6, tag, seed: Number(seed) });
  console.log(`${directory}:${tag} ${made.digest}`);
}

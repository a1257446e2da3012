// Base images made of a few small files, with a C library of any version as far as programs see it.
import { gunzipSync } from "node:zlib";
import { digestOf } from "../../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import type { Target } from "../../lib/target/target.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { archiveOf, elfAt } from "./loading.ts";
import { makeTree, type TreeItem, temporaryFolder } from "./tree.ts";

/** Pushes an image of one layer with these files. */
export async function pushTree(
  target: Target,
  tag: string,
  items: readonly TreeItem[],
  size = 0,
  settings: Record<string, unknown> = {},
): Promise<void> {
  const folder = temporaryFolder();
  makeTree(folder, [...items, { type: "file", path: "padding", content: Buffer.alloc(size, tag) }]);
  const layer = archiveOf(folder);
  const config = canonicalBytes({
    architecture: "amd64",
    os: "linux",
    config: settings,
    rootfs: { type: "layers", diff_ids: [digestOf(gunzipSync(layer))] },
  });
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: describe(config, OCI_CONFIG),
    layers: [describe(layer, OCI_LAYER_GZIP)],
  };
  await target.pushBlob(document.config, bytesSource(config));
  await target.pushBlob(describe(layer, OCI_LAYER_GZIP), bytesSource(layer));
  await target.pushManifest(canonicalBytes(document), OCI_MANIFEST, { tag });
}

/** glibc with versions up to this one, as far as programs see it. */
export function glibc(newest: number): TreeItem[] {
  const numbers = [2, 3, 4, 7, 14, 17, 28, 31, 33, 34, 35, 36].filter((minor) => minor <= newest);
  const defines = ["GLIBC_2.2.5", "GLIBC_PRIVATE", ...numbers.map((minor) => `GLIBC_2.${minor}`)];
  return [
    elfAt("lib64/ld-linux-x86-64.so.2", { soname: "ld-linux-x86-64.so.2", defines }),
    elfAt("usr/lib64/libc.so.6", { soname: "libc.so.6", defines }),
    { type: "file", path: "bin/sh", content: "", mode: 0o755 },
    { type: "file", path: "etc/os-release", content: `PRETTY_NAME="Made 2.${newest}"\n` },
  ];
}

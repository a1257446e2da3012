// Proves that layers are put on top of each other as the specification of images says, and that links are followed
// inside the image.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { ImageTree } from "../../lib/loader/image-tree.ts";
import { readLayer } from "../../lib/loader/layer-reader.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import { failsWith } from "../support/errors.ts";
import { archiveOf, layerOf } from "../support/loading.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../support/tree.ts";

const file = (path: string, content = path): TreeItem => ({ type: "file", path, content });
const link = (path: string, target: string): TreeItem => ({ type: "symlink", path, target });

const TREES: { name: string; layers: TreeItem[][]; find: Record<string, string | undefined> }[] = [
  {
    name: "links of files and folders, absolute, relative, in circles and out of the root",
    layers: [
      [
        file("usr/lib/a.so"),
        link("lib", "usr/lib"),
        link("usr/lib/b.so", "a.so"),
        link("abs", "/usr/lib/b.so"),
        link("up", "../../../usr/lib/a.so"),
        link("loop", "loop"),
        link("dangling", "none"),
      ],
    ],
    find: {
      "/lib/a.so": "/usr/lib/a.so",
      "/lib/b.so": "/usr/lib/a.so",
      "/abs": "/usr/lib/a.so",
      "/up": "/usr/lib/a.so",
      "/loop": undefined,
      "/dangling": undefined,
      "/lib/../lib/./a.so": "/usr/lib/a.so",
      "/lib/none/../a.so": undefined,
      "/lib": undefined,
    },
  },
  {
    name: "a removed file, a removed folder, an emptied folder",
    layers: [
      [file("a/one"), file("a/two"), file("b/deep/x"), file("c/old"), file("b2/x")],
      [file("a/.wh.one", ""), file(".wh.b", ""), file("c/.wh..wh..opq", ""), file("c/new")],
    ],
    find: {
      "/a/one": undefined,
      "/a/two": "/a/two",
      "/b/deep/x": undefined,
      "/b2/x": "/b2/x",
      "/c/old": undefined,
      "/c/new": "/c/new",
    },
  },
  {
    name: "what a layer removes may come back in a later one",
    layers: [[file("a/one")], [file("a/.wh.one", "")], [file("a/one")]],
    find: { "/a/one": "/a/one" },
  },
  {
    name: "a file in place of a folder, and a folder in place of a link",
    layers: [
      [file("a/one"), link("b", "a")],
      [file("a"), file("b/two")],
    ],
    find: { "/a/one": undefined, "/a": "/a", "/b/two": "/b/two", "/b/one": undefined },
  },
  {
    name: "hard links",
    layers: [[file("a/one"), { type: "hardlink", path: "a/two", target: "a/one" }]],
    find: { "/a/one": "/a/one", "/a/two": "/a/one" },
  },
];

for (const { name, layers, find } of TREES)
  test(name, async () => {
    const tree = new ImageTree(await Promise.all(layers.map(layerOf)));
    for (const [path, expected] of Object.entries(find)) assert.equal(tree.find(path)?.path, expected, path);
  });

test("a file below a link of a lower layer, in a layer that does not name the folder", async () => {
  const below = await layerOf([file("usr/lib/a.so"), link("lib", "usr/lib")]);
  const above = await layerOf([file("lib/b.so")]);
  const entries = new Map([...above.entries].filter(([, { kind }]) => kind === "file"));
  const tree = new ImageTree([below, { ...above, entries }]);
  assert.equal(tree.find("/lib/b.so")?.path, "/usr/lib/b.so");
  assert.equal(tree.find("/lib/a.so")?.path, "/usr/lib/a.so");
});

test("a truncated layer is an error", async () => {
  const folder = temporaryFolder();
  makeTree(folder, [file("a/one", "x".repeat(20_000))]);
  const bytes = archiveOf(folder);
  const cut = bytes.subarray(0, bytes.length - 20);
  const read = (from: Buffer) => readLayer(Readable.from([from]), { mediaType: OCI_LAYER_GZIP, subject: "the layer" });
  await failsWith("CONTENT_INVALID", read(cut), /the layer is not a complete gzip stream/);
  await failsWith("CONTENT_INVALID", read(gzipSync(Buffer.alloc(700, 1))), /checksum/);
});

// Proves what the word of a command line names whose signatures are made or checked: one image, or a cache.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { imageNamed, isImageWord } from "../../lib/api/signers/place-to-sign.ts";
import { formatLocation } from "../../lib/oci/reference.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "../support/tree.ts";

const cwd = temporaryFolder();
await (await LayoutTarget.open(join(cwd, "folder"), { clock: systemClock, create: true })).close();
const digest = `sha256:${"a".repeat(64)}`;

const words: readonly { word: string; image?: string; reference?: string }[] = [
  { word: "ghcr.io/org/app:1", image: "oci://ghcr.io/org/app:1", reference: "1" },
  { word: `ghcr.io/org/app@${digest}`, image: `oci://ghcr.io/org/app@${digest}`, reference: digest },
  { word: "localhost:5000/app:1", image: "oci://localhost:5000/app:1", reference: "1" },
  { word: "org/app:1", image: "oci://index.docker.io/org/app:1", reference: "1" },
  { word: "app:1", image: "oci://index.docker.io/library/app:1", reference: "1" },
  { word: `app@${digest}`, image: `oci://index.docker.io/library/app@${digest}`, reference: digest },
  { word: "oci-layout:folder:1", image: "oci-layout:folder:1", reference: "1" },
  { word: "oci-layout:folder" },
  { word: "oci://ghcr.io/org/cache" },
  { word: "ghcr.io/org/cache" },
  { word: "s3://bucket/cache" },
  { word: "./folder" },
  { word: "site-cache" },
];
for (const { word, image, reference } of words)
  test(`${word} is ${image === undefined ? "a cache" : "one image"}`, () => {
    const named = imageNamed(word, cwd);
    assert.equal(named && formatLocation(named.location), image);
    assert.equal(named?.reference, reference);
  });

const asSpecs: readonly { word: string; isImage: boolean }[] = [
  { word: "org/app:1", isImage: true },
  { word: `org/app@${digest}`, isImage: true },
  { word: "debian:12", isImage: false },
  { word: "hdf5@1.12:1.14", isImage: false },
  { word: "hdf5/abc1234", isImage: false },
  { word: "/abc1234", isImage: false },
  { word: "builtin.hdf5@1.12", isImage: false },
];
for (const { word, isImage } of asSpecs)
  test(`${word} ${isImage ? "can only be an image" : "may be a spec"}`, () => assert.equal(isImageWord(word), isImage));

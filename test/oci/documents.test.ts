// Proves that digests, manifests, indexes, configs and platforms are parsed strictly, with the location of each error.
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf, parseDigest } from "../../lib/oci/digest.ts";
import { configSchema, manifestSchema, parseBySchema, parseManifest, successors } from "../../lib/oci/manifest.ts";
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { formatPlatform, matchesPlatform, parsePlatform } from "../../lib/oci/platform.ts";
import { failsWith } from "../support/errors.ts";

const empty = digestOf("");
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: empty, size: 0 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: empty, size: 0 };
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

test("digests: sha256 and sha512 in lower case, nothing else", async () => {
  assert.equal(empty, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.equal(parseDigest(digestOf("x", "sha512")), digestOf("x", "sha512"));
  for (const text of [
    "",
    "sha256:",
    "sha256:AB",
    `sha256:${"A".repeat(64)}`,
    `md5:${"a".repeat(32)}`,
    `sha256:${"a".repeat(63)}`,
    `sha256:${"a".repeat(64)}\n`,
  ])
    await failsWith("REFERENCE_INVALID", () => parseDigest(text));
});

test("manifests and indexes, with or without their own media type", () => {
  const manifest = { schemaVersion: 2, config, layers: [layer] };
  const index = {
    schemaVersion: 2,
    manifests: [{ ...layer, mediaType: OCI_MANIFEST, platform: { os: "linux", architecture: "amd64" } }],
  };
  const cases = [
    { given: manifest, type: OCI_MANIFEST, kind: "manifest" },
    { given: { ...manifest, mediaType: DOCKER_MANIFEST }, type: `${DOCKER_MANIFEST}; charset=utf-8`, kind: "manifest" },
    { given: { ...manifest, mediaType: OCI_MANIFEST }, type: "application/json", kind: "manifest" },
    { given: manifest, type: undefined, kind: "manifest" },
    { given: index, type: DOCKER_INDEX, kind: "index" },
    { given: index, type: undefined, kind: "index" },
  ];
  for (const { given, type, kind } of cases) assert.equal(parseManifest(bytes(given), type, "m").kind, kind);
  const parsed = parseManifest(bytes(manifest), undefined, "m");
  assert.deepEqual(
    successors(parsed).map((child) => child.mediaType),
    [config.mediaType, layer.mediaType],
  );
});

test("documents that are not what they say are refused, with the place", async () => {
  const manifest = { schemaVersion: 2, config, layers: [layer] };
  const cases: {
    name: string;
    given: Buffer;
    type?: string;
    code: "CONTENT_INVALID" | "MEDIA_TYPE";
    message: RegExp;
  }[] = [
    { name: "not JSON", given: Buffer.from("<html>"), code: "CONTENT_INVALID", message: /not valid JSON/ },
    { name: "not UTF-8", given: Buffer.from([0x7b, 0xff, 0x7d]), code: "CONTENT_INVALID", message: /not valid JSON/ },
    { name: "a list", given: bytes([]), code: "CONTENT_INVALID", message: /top level/ },
    { name: "schema 1", given: bytes({ schemaVersion: 1 }), code: "MEDIA_TYPE", message: /media type/ },
    {
      name: "a digest that is none",
      given: bytes({ ...manifest, layers: [{ ...layer, digest: "sha256:x" }] }),
      code: "CONTENT_INVALID",
      message: /layers\.0\.digest/,
    },
    {
      name: "a negative size",
      given: bytes({ ...manifest, config: { ...config, size: -1 } }),
      code: "CONTENT_INVALID",
      message: /config\.size/,
    },
    {
      name: "an image with manifests",
      given: bytes({ ...manifest, mediaType: OCI_MANIFEST, manifests: [] }),
      code: "CONTENT_INVALID",
      message: /list of manifests/,
    },
    {
      name: "an index with layers",
      given: bytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], layers: [] }),
      code: "CONTENT_INVALID",
      message: /index with layers/,
    },
    {
      name: "sent as one thing, says another",
      given: bytes({ ...manifest, mediaType: OCI_INDEX }),
      type: OCI_MANIFEST,
      code: "MEDIA_TYPE",
      message: /claims to be/,
    },
    {
      name: "control characters",
      given: bytes({ schemaVersion: 2, mediaType: "a\u001b[2J" }),
      code: "MEDIA_TYPE",
      message: /^[\x20-\x7e]*$/,
    },
  ];
  for (const { given, type, code, message } of cases)
    await failsWith(code, () => parseManifest(given, type, "manifest m"), message);
});

test("prototype keys are data", () => {
  const text =
    '{"schemaVersion":2,"__proto__":{"polluted":true},"config":{"mediaType":"a","digest":"DIGEST","size":0},"layers":[]}';
  parseBySchema(text.replace("DIGEST", empty), manifestSchema, "m");
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("image configs keep what stave does not know", () => {
  const given = {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [] },
    config: null,
    spec: { nodes: [1] },
  };
  assert.deepEqual(parseBySchema(JSON.stringify(given), configSchema, "c"), given);
});

test("platforms", async () => {
  assert.deepEqual(parsePlatform("linux/arm64/v8"), { os: "linux", architecture: "arm64", variant: "v8" });
  assert.equal(formatPlatform({ os: "linux", architecture: "amd64" }), "linux/amd64");
  for (const text of ["linux", "", "a/b/c/d", "linux/", "linux/a b"])
    await failsWith("REFERENCE_INVALID", () => parsePlatform(text));
  const cases = [
    { offered: "linux/arm64", wanted: "linux/arm64/v8", expect: true },
    { offered: "linux/arm64/v8", wanted: "linux/arm64", expect: true },
    { offered: "linux/arm/v6", wanted: "linux/arm/v7", expect: false },
    { offered: "linux/amd64", wanted: "windows/amd64", expect: false },
  ];
  for (const { offered, wanted, expect } of cases)
    assert.equal(matchesPlatform(parsePlatform(offered), parsePlatform(wanted)), expect);
});

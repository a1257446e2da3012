// Proves the order and the variants of an index of platforms, and that tags and platforms determine each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../../lib/oci/digest.ts";
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { formatPlatform, parsePlatform } from "../../lib/oci/platform.ts";
import { type PlatformImage, platformIndex, platformInTag, platformTag } from "../../lib/oci/platform-index.ts";

const image = (platform: string, mediaType: string = OCI_MANIFEST): PlatformImage => ({
  platform: parsePlatform(platform),
  descriptor: { mediaType, digest: digestOf(platform), size: 10 },
});

const INDEXES: { name: string; images: string[]; expect: string[] }[] = [
  {
    name: "the lowest level comes first, without a variant; the others follow, highest first",
    images: ["linux/amd64/v2", "linux/amd64/v4", "linux/amd64", "linux/amd64/v3"],
    expect: ["linux/amd64", "linux/amd64/v4", "linux/amd64/v3", "linux/amd64/v2"],
  },
  {
    name: "the lowest level has no variant, whichever it is",
    images: ["linux/amd64/v4", "linux/amd64/v3"],
    expect: ["linux/amd64 (linux/amd64/v3)", "linux/amd64/v4"],
  },
  { name: "an image for one level only", images: ["linux/amd64/v3"], expect: ["linux/amd64 (linux/amd64/v3)"] },
  {
    name: "architectures by name, each on its own; implied variants are left out, those of 32-bit ARM stay",
    images: ["linux/s390x", "linux/arm/v7", "linux/arm64/v8", "linux/amd64/v1"],
    expect: ["linux/amd64 (linux/amd64/v1)", "linux/arm/v7", "linux/arm64 (linux/arm64/v8)", "linux/s390x"],
  },
];

for (const { name, images, expect } of INDEXES)
  test(name, () => {
    const one = platformIndex(images.map((text) => image(text)));
    const { manifests } = JSON.parse(Buffer.from(one.bytes).toString());
    const names = new Map(images.map((text) => [digestOf(text) as string, text]));
    const said = manifests.map(({ platform, digest }: { platform: never; digest: string }) => {
      const [shown, real] = [formatPlatform(platform), names.get(digest)];
      return shown === real ? shown : `${shown} (${real})`;
    });
    assert.deepEqual(said, expect);
    const again = platformIndex(images.toReversed().map((text) => image(text)));
    assert.deepEqual(Buffer.from(again.bytes), Buffer.from(one.bytes), "the order of the images does not matter");
  });

test("an index of Docker images is Docker's, one of both families is OCI's", () => {
  const docker = image("linux/amd64", DOCKER_MANIFEST);
  assert.equal(platformIndex([docker]).mediaType, DOCKER_INDEX);
  assert.equal(platformIndex([docker, image("linux/arm64")]).mediaType, OCI_INDEX);
});

test("a tag has its platform in it", () => {
  const cases: [platform: string, tag: string][] = [
    ["linux/amd64", "app.linux-amd64"],
    ["linux/amd64/v1", "app.linux-amd64"],
    ["linux/amd64/v3", "app.linux-amd64-v3"],
    ["linux/arm/v7", "app.linux-arm-v7"],
    ["linux/arm64/v8", "app.linux-arm64"],
  ];
  for (const [platform, tag] of cases) {
    assert.equal(platformTag("app", parsePlatform(platform)), tag);
    const found = platformInTag("app", tag);
    assert.equal(found && platformTag("app", found), tag);
  }
  for (const other of ["app", "app.2", "app.linux", "apple.linux-amd64", "other.linux-amd64", "app.1.linux-amd64"])
    assert.equal(platformInTag("app", other), undefined, other);
  assert.throws(() => platformTag("index.spack", parsePlatform("linux/amd64")), /reserved for specs/);
  assert.throws(() => platformTag("x".repeat(120), parsePlatform("linux/amd64")), /at most 128/);
});

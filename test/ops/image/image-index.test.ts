// Proves that images of several platforms get into one index, in any order, from any number of jobs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Index } from "../../../lib/oci/manifest.ts";
import { isIndexType } from "../../../lib/oci/mediatype.ts";
import { formatPlatform, parsePlatform } from "../../../lib/oci/platform.ts";
import { type AddedImage, addToIndex } from "../../../lib/ops/image/image-index.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import type { Target } from "../../../lib/target/target.ts";
import { connect } from "../../support/client.ts";
import { imageOf, indexOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { startRegistry } from "../../support/registry.ts";
import { useSeed } from "../../support/seed.ts";

const registry = await startRegistry();
const clients = [connect(registry.host, "org/app"), connect(registry.host, "org/other")] as const;
const [{ target: app }, { target: other }] = clients;
test.after(async () => {
  for (const client of clients) await client.close();
  await registry.close();
});

const seed = useSeed();
let state = seed;
/** The next number below a limit, by a linear congruential generator. */
const random = (below: number): number => {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return state % below;
};

const arm = imageOf("arm", [100], {}, "arm64");
const amd = imageOf("amd", [100]);
const fast = imageOf("fast", [100]);
for (const target of [app, other])
  for (const [tag, image] of Object.entries({ arm, amd, fast })) await pushImage(target, image, tag);

async function entries(target: Target, tag: string): Promise<string[]> {
  const document = parseFetched(await target.fetchManifest(tag), target.name);
  assert.equal(document.kind, "index");
  const names = new Map([arm, amd, fast].map((image, at) => [image.descriptor.digest, ["arm", "amd", "fast"][at]]));
  return (document.value as Index).manifests.map(
    ({ platform, digest }) => `${platform ? formatPlatform(platform) : ""} ${names.get(digest)}`,
  );
}
const from = (target: Target, reference: string, platform?: string): AddedImage => ({
  target,
  reference,
  platform: platform === undefined ? undefined : parsePlatform(platform),
});

test("in any order, once or again, from one repository or several", async () => {
  const added = [from(app, "arm"), from(other, "amd"), from(other, "fast", "linux/amd64/v3")];
  const expected = ["linux/amd64 amd", "linux/amd64/v3 fast", "linux/arm64 arm"];
  const one = await addToIndex(app, "one", added);
  assert.deepEqual(await entries(app, "one"), expected);
  assert.equal(one.isWritten, true);
  assert.deepEqual(
    one.images.map(({ platform, tag }) => `${platform} ${tag}`),
    ["linux/amd64 one.linux-amd64", "linux/amd64/v3 one.linux-amd64-v3", "linux/arm64 one.linux-arm64"],
  );
  for (const image of added.toReversed()) await addToIndex(app, "two", [image]);
  assert.deepEqual(await entries(app, "two"), expected);
  const again = await addToIndex(app, "two", added);
  assert.deepEqual([again.digest, again.isWritten], [one.digest, false]);
});

test("an image of a platform that is there is replaced", async () => {
  await addToIndex(app, "three", [from(app, "amd"), from(app, "arm")]);
  await addToIndex(app, "three", [from(app, "fast")]);
  assert.deepEqual(await entries(app, "three"), ["linux/amd64 fast", "linux/arm64 arm"]);
});

test("what the tag had before stays: a single image, or the index of another tool", async () => {
  await pushImage(app, amd, "single");
  await addToIndex(app, "single", [from(app, "arm"), from(app, "fast", "linux/amd64/v3")]);
  assert.deepEqual(await entries(app, "single"), ["linux/amd64 amd", "linux/amd64/v3 fast", "linux/arm64 arm"]);
  const foreign = indexOf([
    { image: amd, architecture: "amd64" },
    { image: arm, architecture: "arm64" },
  ]);
  await app.pushManifest(foreign.bytes, foreign.descriptor.mediaType, { tag: "foreign" });
  await addToIndex(app, "foreign", [from(app, "fast")]);
  assert.deepEqual(await entries(app, "foreign"), ["linux/amd64 fast", "linux/arm64 arm"]);
});

test("all images of another index are added", async () => {
  await addToIndex(app, "copied", [from(app, "one")]);
  assert.deepEqual(await entries(app, "copied"), await entries(app, "one"));
});

test("a job whose list is old when it writes sees that, and writes again", async () => {
  const late = Promise.withResolvers<void>();
  const listed = Promise.withResolvers<void>();
  const slow: Target = new Proxy<Target>(app, {
    get: (object, key) => {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== "function" || key === "tags")
        return typeof value === "function" ? value.bind(object) : value;
      return async (...args: unknown[]) => {
        const isIndex = key === "pushManifest" && isIndexType(String(args[1]));
        if (isIndex) listed.resolve();
        if (isIndex) await late.promise;
        return await value.apply(object, args);
      };
    },
  });
  const first = addToIndex(slow, "late", [from(app, "arm")]);
  await listed.promise;
  await addToIndex(app, "late", [from(app, "amd")]);
  late.resolve();
  await first;
  assert.deepEqual(await entries(app, "late"), ["linux/amd64 amd", "linux/arm64 arm"]);
});

test("jobs that run at the same time lose no image", async () => {
  for (let round = 0; round < 10; round++) {
    const tag = `round${round}`;
    const jobs = [from(app, "arm"), from(app, "amd"), from(app, "fast", "linux/amd64/v3")];
    await Promise.all(
      jobs.map(async (job) => {
        await setTimeout(random(20));
        await addToIndex(app, tag, [job]);
      }),
    );
    const found = await entries(app, tag);
    assert.deepEqual(found, ["linux/amd64 amd", "linux/amd64/v3 fast", "linux/arm64 arm"], `round ${round}`);
  }
});

test("wrong input is refused before anything is written", async () => {
  const cases: [code: Parameters<typeof failsWith>[0], tag: string, added: AddedImage[], message: RegExp][] = [
    ["USAGE", "x.spack", [from(app, "amd")], /reserved for specs/],
    ["CONFLICT", "bad", [from(app, "amd"), from(app, "fast")], /two of the images are for linux\/amd64/],
    ["PLATFORM_MISMATCH", "bad", [from(app, "amd", "linux/arm64")], /is for linux\/amd64, expected linux\/arm64/],
    ["PLATFORM_MISMATCH", "bad", [from(app, "one", "linux/s390x")], /no image for linux\/s390x/],
    ["NOT_FOUND", "bad", [from(app, "none")], /none/],
  ];
  for (const [code, tag, added, message] of cases) await failsWith(code, addToIndex(app, tag, added), message);
  assert.equal(await app.headManifest("bad"), undefined);
});

// Proves that slim images lack what running programs do not need and nothing else, that the images of single specs stay
// whole, and that slim and whole layers are never taken for each other.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SlimSettings } from "../../../lib/image/slim.ts";
import { imageSize } from "../../../lib/ops/image/size.ts";
import { type PushOptions, planOf, push } from "../../../lib/ops/push/push.ts";
import { ALL_IN_ONE, viewSpecs } from "../../../lib/spack/environment/view-specs.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import type { Target } from "../../../lib/target/target.ts";
import { layoutForTests } from "../../support/caches.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { type ReadImage, readImage } from "../../support/read-image.ts";

const { store } = await goldenStore();
const roots = [named(store, "fleet"), named(store, "hull")];
const whole = await layoutForTests();
await push(pushOptions(store, whole, { tags: ["app"] }));
const wholeImage = await readImage(whole, "app");

const slimOptions = (
  target: Target,
  slim: boolean | SlimSettings = true,
  more: Partial<PushOptions> = {},
): PushOptions => pushOptions(store, target, { tags: ["app"], image: { slim }, ...more });

/** What the first image has and the second has not, below the prefixes. */
function lacking(one: ReadImage, other: ReadImage): string[] {
  return [...one.entries.keys()]
    .filter((path) => !other.entries.has(path) && !path.endsWith("/.spack/binary_distribution"))
    .map((path) => path.replace(/^.*\/([a-z-]+)-[^/]+-[a-z2-7]{32}\//, "$1: "))
    .sort();
}

async function specImages(target: Target): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for await (const tag of target.tags())
    if (tag.endsWith(".spack")) found.set(tag, (await readImage(target, tag)).digests);
  return new Map([...found].sort());
}

test("an image without headers, static libraries and the like; everything else is as in the whole one", async () => {
  const target = await layoutForTests();
  const options = slimOptions(target);
  assert.equal((await planOf(options)).images[0]?.layers, wholeImage.digests.length);
  const report = await push(options);
  assert.deepEqual(report.failures, []);
  const image = await readImage(target, "app");
  assert.deepEqual(lacking(image, wholeImage), []);
  const gone = lacking(wholeImage, image);
  for (const path of [
    "hull: include/hull.h",
    "hull: include",
    "hull: lib/libhull.a",
    "rigging: lib/pkgconfig/rigging.pc",
  ])
    assert.ok(gone.includes(path), `${path} of ${gone.join(", ")}`);
  for (const path of gone)
    assert.match(
      path,
      /include|\.(?:a|la|pc|h)$|pkgconfig|man|spack-(?:build|configure)|archived-files|doc|^rigging: lib$/,
    );
  for (const [path, said] of image.entries) assert.equal(said, wholeImage.entries.get(path), path);
  assert.match(image.specs[0] ?? "", /^\S+ # slim [0-9a-f]{16}$/);
  assert.deepEqual(image.config.config?.Env, wholeImage.config.config?.Env);
  assert.deepEqual(await specImages(target), await specImages(whole), "the images of single specs are whole");
  const again = await push(options);
  assert.deepEqual([again.images[0]?.isNew, again.totals.sentBytes], [false, 0]);
  assert.equal((await planOf(options)).totals.sendBytes, 0);
});

test("size tells beforehand what a slim image is without", async () => {
  const platform = { os: "linux", architecture: "amd64" };
  const target = await layoutForTests();
  await push(slimOptions(target));
  const [before, after] = [await imageSize(whole, "app", { platform }), await imageSize(target, "app", { platform })];
  assert.ok(before.dispensable > 0);
  assert.equal(after.dispensable, 0);
  // The files that tell an installation what to relocate are in none but the images of specs.
  const other = before.kinds.find(({ kind }) => kind === "metadata")?.bytes ?? 0;
  const left = after.kinds.find(({ kind }) => kind === "metadata")?.bytes ?? 0;
  assert.equal(after.bytes, before.bytes - before.dispensable - (other - left));
});

test("in few layers, which stay if nothing changed", async () => {
  const target = await layoutForTests();
  const options = slimOptions(target, true, { budget: 3 });
  assert.deepEqual((await push(options)).failures, []);
  const first = await readImage(target, "app");
  assert.equal(first.digests.length, 3);
  const again = await push(options);
  assert.deepEqual([again.images[0]?.isNew, again.totals.sentBytes], [false, 0]);
  const otherRules = await push(slimOptions(target, { keep: ["headers"] }, { budget: 3 }));
  assert.equal(otherRules.images[0]?.isNew, true);
  const image = await readImage(target, "app");
  assert.deepEqual(
    lacking(image, first).filter((path) => !/include/.test(path)),
    [],
  );
  assert.ok(lacking(image, first).includes("hull: include/hull.h"));
});

test("a slim image takes no layers of a whole one under the same tag, nor the other way round", async () => {
  const target = await layoutForTests();
  const below = { roots: [named(store, "voyage")] };
  await push(slimOptions(target, true, below));
  // The images of fleet and hull have layers of what is there already.
  await push(slimOptions(target));
  assert.deepEqual(await specImages(target), await specImages(whole));
  await push(pushOptions(store, target, { tags: ["app"] }));
  assert.deepEqual((await readImage(target, "app")).entries, wholeImage.entries);
  await push(slimOptions(target));
  assert.ok(
    !(await readImage(target, "app")).entries.has(`${store.prefixOf(named(store, "hull")).slice(1)}/include/hull.h`),
  );
});

describe("what is kept", () => {
  const gone = async (slim: SlimSettings): Promise<string[]> => {
    const target = await layoutForTests();
    assert.deepEqual((await push(slimOptions(target, slim))).failures, []);
    return lacking(wholeImage, await readImage(target, "app"));
  };
  test("a kind of files", async () => {
    const found = await gone({ keep: ["headers"] });
    assert.ok(!found.includes("hull: include/hull.h"));
    assert.ok(found.includes("hull: lib/libhull.a"));
  });
  test("a kind of files of one package", async () => {
    const found = await gone({ packages: { hull: ["static libraries"] } });
    assert.ok(found.includes("hull: include/hull.h"));
    assert.ok(!found.includes("hull: lib/libhull.a"));
    assert.ok(found.includes("rigging: lib/pkgconfig/rigging.pc"));
  });
  test("a package, whose layer is then that of its own image", async () => {
    const target = await layoutForTests();
    await push(slimOptions(target, { packages: { hull: ["all"] } }));
    const image = await readImage(target, "app");
    const own = (await readImage(target, specTag(named(store, "hull")))).digests.at(-1);
    assert.ok(own !== undefined && image.digests.includes(own));
  });
});

test("the view of a slim image has no link to what is not there", async () => {
  const target = await layoutForTests();
  const views = [{ path: "/v", specs: viewSpecs(ALL_IN_ONE, roots, () => false) }];
  assert.deepEqual((await push(slimOptions(target, true, { views }))).failures, []);
  const { entries } = await readImage(target, "app");
  const links = [...entries].filter(([path, said]) => path.startsWith("v/") && said.startsWith("symlink "));
  assert.ok(links.length > 15);
  for (const [path, said] of links) assert.ok(entries.has(said.slice("symlink /".length)), `${path}: ${said}`);
  assert.ok(!entries.has("v/include/hull.h"));
});

for (const [title, slim, hint] of [
  ["a kind that does not exist", { keep: ["header"] }, /did you mean headers\?/],
  ["a kind that must not go", { packages: { hull: ["programs"] } }, /the kinds are headers, static libraries/],
] as const)
  test(`${title} is refused before anything is packed`, async () => {
    const target = await layoutForTests();
    const error = await failsWith("USAGE", push(slimOptions(target, slim)));
    assert.match(error.message, /^a slim image has no kind of files "\w+"$/);
    assert.match(error.hint ?? "", hint);
  });

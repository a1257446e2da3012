// Proves that a push with platform tags adds its image to those of other platforms, and never to a tag of a spec.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { parsePlatform } from "../../../lib/oci/platform.ts";
import { addToIndex } from "../../../lib/ops/image/image-index.ts";
import { platformOf } from "../../../lib/ops/push/platform-tags.ts";
import { planOf, push } from "../../../lib/ops/push/push.ts";
import { levelOf } from "../../../lib/spack/spec/microarchitecture.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();

test("the image of a push joins those of other platforms under the tag", async () => {
  const folder = join(temporaryFolder(), "layout");
  const target = await LayoutTarget.open(folder, { clock: systemClock, create: true, name: "layout" });
  try {
    await pushImage(target, imageOf("arm", [10], {}, "arm64"), "other");
    await addToIndex(target, "app", [{ target, reference: "other" }]);
    const options = pushOptions(store, target, { tags: ["app"], platformTag: true });
    assert.deepEqual(
      (await planOf(options)).images.map(({ tag }) => tag),
      ["app.linux-amd64"],
    );
    const report = await push(options);
    assert.deepEqual(report.failures, []);
    assert.deepEqual(
      report.images.map(({ tag, isNew }) => [tag, isNew]),
      [["app.linux-amd64", true]],
    );
    assert.deepEqual(
      report.indexes[0]?.images.map(({ platform, tag }) => [platform, tag]),
      [
        ["linux/amd64", "app.linux-amd64"],
        ["linux/arm64", "app.linux-arm64"],
      ],
    );
    assert.equal(report.indexes[0]?.images[0]?.digest, report.images[0]?.manifest);
    const again = await push(options);
    assert.deepEqual([again.images[0]?.isNew, again.indexes[0]?.isWritten], [false, false]);
    await failsWith("USAGE", push({ ...options, tags: ["app.spack"] }), /reserved for specs/);
  } finally {
    await target.close();
  }
});

test("the platform of specs has the highest level that any of them needs", () => {
  const levels = { x86_64: 1, x86_64_v2: 2, haswell: 3, zen3: 3, skylake_avx512: 4, zen4: 4, aarch64: 1, made_up: 1 };
  for (const [target, level] of Object.entries(levels)) assert.equal(levelOf(target), level, target);
  const node = named(store, "fleet");
  assert.deepEqual(platformOf([node]), parsePlatform("linux/amd64"));
  assert.deepEqual(platformOf([{ ...node, target: "icelake" }]), parsePlatform("linux/amd64/v4"));
  assert.equal(platformOf([]), undefined);
});

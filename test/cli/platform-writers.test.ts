// Proves that two processes that write one tag for two architectures at once lose neither image, in a registry without
// conditional updates. STAVE_TEST_ROUNDS=100 repeats it as often.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Index } from "../../lib/oci/manifest.ts";
import { formatPlatform } from "../../lib/oci/platform.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const ROUNDS = Number(process.env["STAVE_TEST_ROUNDS"] ?? 3);

test(`two processes, ${ROUNDS} times`, { timeout: 60_000 + ROUNDS * 10_000 }, async () => {
  const registry = await startRegistry();
  const { target, close } = connect(registry.host, "org/app");
  const env = { XDG_CACHE_HOME: join(temporaryFolder(), "xdg"), SPACK_ROOT: "" };
  const repository = `oci+http://${registry.host}/org/app`;
  try {
    await pushImage(target, imageOf("arm", [100], {}, "arm64"), "arm");
    await pushImage(target, imageOf("amd", [100]), "amd");
    for (let round = 0; round < ROUNDS; round++) {
      const tag = `${repository}:round${round}`;
      const ran = await Promise.all(
        ["arm", "amd"].map((name) => stave(["image-index", tag, `${repository}:${name}`], { env })),
      );
      for (const { status, stderr } of ran) assert.equal(status, 0, stderr);
      const document = parseFetched(await target.fetchManifest(`round${round}`), target.name);
      assert.equal(document.kind, "index");
      const platforms = (document.value as Index).manifests.map(({ platform }) => platform && formatPlatform(platform));
      assert.deepEqual(platforms, ["linux/amd64", "linux/arm64"], `round ${round}`);
    }
  } finally {
    await close();
    await registry.close();
  }
});

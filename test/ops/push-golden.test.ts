// Proves that pushes of the golden stores match those of real Spack.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { z } from "zod";
import { push } from "../../lib/ops/push/push.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { fetchConfig } from "../../lib/target/image-config.ts";
import type { Target } from "../../lib/target/target.ts";
import { connect } from "../support/client.ts";
import { goldenImages } from "../support/golden-store.ts";
import { type Generation, goldenStore, pushOptions } from "../support/push.ts";
import { startRegistry } from "../support/registry.ts";

const record = z.record(z.string(), z.unknown());
const descriptor = z.looseObject({ digest: z.string(), size: z.number() });
const manifestSchema = z.looseObject({ config: descriptor, layers: z.array(descriptor) });
const configSchema = z.looseObject({ rootfs: z.object({ diff_ids: z.array(z.string()) }), config: record });

// Variables set by recipes are not recorded in a store.
const BY_RECIPE = /^(?:RIGGING_HOME|RIGGING_PATH|RIGGING_\w+|VOYAGE_MODE)=/;

// Texts that are equal for equal images, without what may differ: compressed bytes, the time, variables of recipes,
// history.
function comparable(manifestText: string, configText: string): { manifest: string; config: string; env: string[] } {
  const manifest = manifestSchema.parse(JSON.parse(manifestText));
  const config = configSchema.parse(JSON.parse(configText));
  const env = z
    .array(z.string())
    .parse(config.config["Env"])
    .filter((entry) => !BY_RECIPE.test(entry));
  config.config["Env"] = [];
  for (const key of ["history", "archive_timestamp", "archive_size", "archive_compression", "binary_cache_checksum"])
    delete config[key];
  for (const blob of [manifest.config, ...manifest.layers]) Object.assign(blob, { digest: "", size: 0 });
  return { manifest: JSON.stringify(manifest), config: JSON.stringify(config), env };
}

async function fetched(target: Target, tag: string): Promise<{ manifest: string; config: string }> {
  const found = await target.fetchManifest(tag);
  const document = parseFetched(found, target.name);
  assert.equal(document.kind, "manifest");
  const config = document.kind === "manifest" ? await fetchConfig(target, document.value.config) : Buffer.alloc(0);
  return { manifest: found.bytes.toString(), config: config.toString() };
}

for (const generation of ["spack-1.2", "spack-0.23"] as const satisfies Generation[])
  describe(`a push of the store of ${generation}`, async () => {
    const registry = await startRegistry();
    const client = connect(registry.host, "fleet/cache");
    after(async () => {
      await client.close();
      await registry.close();
    });
    const { store } = await goldenStore(generation);
    const report = await push(
      pushOptions(store, client.target, { generation, tags: ["fleet-env"], updateIndex: true }),
    );
    const expected = goldenImages(`${generation}/plain.oci`);

    test("has every tag that Spack has, and no other", async () => {
      assert.deepEqual(report.failures, []);
      const tags = await Array.fromAsync(client.target.tags());
      assert.deepEqual(tags.sort(), [...expected.keys()].sort());
    });

    for (const [tag, image] of expected)
      if (tag !== "index.spack")
        test(`${tag} has Spack's layers, manifest, config and variables`, async () => {
          const ours = await fetched(client.target, tag);
          assert.deepEqual(comparable(ours.manifest, ours.config), comparable(image.manifest, image.config));
        });

    test("each image says what it really is made of", async () => {
      for (const { tag, layer } of report.specs) {
        const { manifest, config } = await fetched(client.target, tag);
        const last = manifestSchema.parse(JSON.parse(manifest)).layers.at(-1);
        assert.deepEqual([last?.digest, last?.size], [layer?.digest, layer?.size]);
        const { binary_cache_checksum: checksum } = z
          .looseObject({ binary_cache_checksum: z.object({ hash: z.string() }) })
          .parse(JSON.parse(config));
        assert.equal(`sha256:${checksum.hash}`, layer?.digest);
      }
    });

    test("a second push sends nothing, and asks for one listing, and the tagged image", async () => {
      const before = registry.requests.length;
      const again = await push(pushOptions(store, client.target, { generation, tags: ["fleet-env"] }));
      assert.deepEqual([...new Set(again.specs.map(({ outcome }) => outcome))], ["present"]);
      assert.deepEqual(
        again.images.map(({ isNew, manifest }) => [isNew, manifest]),
        [[false, report.images[0]?.manifest]],
      );
      const asked = registry.requests
        .slice(before)
        .map(({ method, path }) => `${method} ${path.replace(/sha256:\w+/, "D")}`);
      assert.deepEqual(asked, [
        "GET /v2/fleet/cache/tags/list",
        "GET /v2/fleet/cache/manifests/fleet-env",
        "GET /v2/fleet/cache/blobs/D",
      ]);
    });

    test("the same store at another place gives the same digests, with any number of threads", async () => {
      const { store: other } = await goldenStore(generation);
      const elsewhere = connect(registry.host, "other/cache");
      const again = await push(pushOptions(other, elsewhere.target, { generation, tags: ["fleet-env"], jobs: 1 }));
      const digests = (specs: typeof report.specs) => specs.map(({ tag, manifest }) => [tag, manifest]);
      assert.deepEqual(digests(again.specs), digests(report.specs));
      assert.equal(again.images[0]?.manifest, report.images[0]?.manifest);
      await elsewhere.close();
    });
  });

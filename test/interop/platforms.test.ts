// Proves that clients choose the right image of an index of platforms, and that two processes make one index.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { gzipSync } from "node:zlib";
import { digestOf } from "../../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { stave } from "../support/cli.ts";
import { containerTools, peerTest, run } from "../support/peers.ts";
import { startServe } from "../support/serve.ts";

const root = join(tmpdir(), `stave-platforms-${process.pid}`);
after(() => rmSync(root, { recursive: true, force: true }));

/** An image with one empty layer, whose label says for what it is. */
async function pushLabelled(directory: string, label: string, architecture: string): Promise<void> {
  const target = await LayoutTarget.open(directory, { clock: systemClock, create: true });
  const tar = Buffer.alloc(10240);
  const layer = gzipSync(tar);
  const config = canonicalBytes({
    architecture,
    os: "linux",
    config: { Labels: { label } },
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
  });
  const [described, at] = [describe(config, OCI_CONFIG), describe(layer, OCI_LAYER_GZIP)];
  await target.pushBlob(described, bytesSource(config));
  await target.pushBlob(at, bytesSource(layer));
  const document = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: described, layers: [at] };
  await target.pushManifest(canonicalBytes(document), OCI_MANIFEST, { tag: label });
  await target.close();
}

peerTest(["skopeo", "podman"], "skopeo and podman choose the right one of images that jobs added at once", async () => {
  const directory = join(root, "app");
  await pushLabelled(directory, "slow", "amd64");
  await pushLabelled(directory, "fast", "amd64");
  await pushLabelled(directory, "arm", "arm64");
  const refs = ["linux/amd64/v3=fast", "slow", "arm"].map((text) =>
    text.replace(/^(.*=)?(.*)$/, `$1oci-layout:${directory}:$2`),
  );
  const ran = await Promise.all(refs.map((ref) => stave(["image-index", `oci-layout:${directory}:all`, ref])));
  for (const { status, stderr } of ran) assert.equal(status, 0, stderr);
  const server = await startServe({ directory });
  try {
    const image = `docker://${server.host}/app:all`;
    const labelOf = async (...flags: string[]): Promise<string> => {
      const args = ["--insecure-policy", ...flags, "inspect", "--config", "--tls-verify=false", image];
      return JSON.parse(await run("skopeo", args)).config.Labels.label;
    };
    assert.equal(await labelOf("--override-arch", "amd64"), "slow");
    assert.equal(await labelOf("--override-arch", "arm64"), "arm");
    assert.equal(await labelOf("--override-arch", "amd64", "--override-variant", "v3"), "fast");
    const { flags, env } = containerTools();
    for (const [platform, label] of Object.entries({
      "linux/amd64": "slow",
      "linux/arm64": "arm",
      "linux/amd64/v3": "fast",
    })) {
      const name = `${server.host}/app:all`;
      const pulled = await run(
        "podman",
        [...flags, "pull", "-q", "--tls-verify=false", "--platform", platform, name],
        env,
      );
      const said = await run("podman", [...flags, "inspect", "--format", "{{.Labels.label}}", pulled.trim()], env);
      assert.equal(said.trim(), label, platform);
    }
  } finally {
    await server.close();
  }
});

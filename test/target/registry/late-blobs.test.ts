// Proves that a manifest is sent again while the registry does not see one of its blobs yet, and not for ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../../support/client.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { startRegistry } from "../../support/registry.ts";

const REFUSALS = [
  { status: 400, codes: ["DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"] },
  { status: 404, codes: ["MANIFEST_BLOB_UNKNOWN"] },
];

const body = (codes: readonly string[]): string => JSON.stringify({ errors: codes.map((code) => ({ code })) });

for (const { status, codes } of REFUSALS)
  test(`a manifest is sent again after ${status} ${codes.join(", ")}`, async (t) => {
    const registry = await startRegistry();
    t.after(() => registry.close());
    const { target, close, clock } = connect(registry.host, "late");
    t.after(close);
    registry.rules.push({ method: "PUT", path: /\/manifests\//, times: 3, fault: { status, body: body(codes) } });
    const image = imageOf(0);
    assert.equal((await pushImage(target, image, "app")).digest, image.descriptor.digest);
    assert.equal(registry.count("PUT", /\/manifests\//), 4);
    assert.equal(clock.slept.length, 3);
  });

test("a blob that stays unknown is an error after four attempts; other refusals are final", async (t) => {
  const registry = await startRegistry();
  t.after(() => registry.close());
  const { target, close } = connect(registry.host, "late");
  t.after(close);
  const { bytes, descriptor } = imageOf(0);
  const push = (): Promise<unknown> => target.pushManifest(bytes, descriptor.mediaType, { tag: "app" });
  await failsWith("NOT_FOUND", push);
  assert.equal(registry.count("PUT", /\/manifests\//), 4);
  registry.rules.push({ method: "PUT", fault: { status: 400, body: body(["MANIFEST_INVALID"]) } });
  await failsWith("REGISTRY_ERROR", push);
  assert.equal(registry.count("PUT", /\/manifests\//), 5);
});

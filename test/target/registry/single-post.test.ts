// Small blobs go to a registry in one request where it takes that, and in two elsewhere; which of the two is found out
// once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SINGLE_POST } from "../../../lib/target/registry/single-post.ts";
import { bytesSource } from "../../../lib/util/stream.ts";
import { connect } from "../../support/client.ts";
import { blobOf, someBytes } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { type Fault, startRegistry, type TestRegistry } from "../../support/registry.ts";

const isNew = { isNew: true };

async function withRegistry(
  takesWholePosts: boolean,
  body: (registry: TestRegistry, push: (seed: number, size?: number) => Promise<string>) => Promise<void>,
): Promise<void> {
  const registry = await startRegistry({ takesWholePosts });
  const client = connect(registry.host, "r", { retry: { attempts: 2 } });
  const push = (seed: number, size = 1000): Promise<string> => {
    const { descriptor, bytes } = blobOf(someBytes(size, seed));
    return client.target.pushBlob(descriptor, bytesSource(bytes), isNew);
  };
  try {
    await body(registry, push);
  } finally {
    await client.close();
    await registry.close();
  }
}

const asked = (registry: TestRegistry): string => registry.requests.map(({ method }) => method).join(" ");

test("a registry that takes blobs in one request gets one for each", () =>
  withRegistry(true, async (registry, push) => {
    for (const seed of [1, 2, 3]) assert.equal(await push(seed), "pushed");
    assert.equal(asked(registry), "POST POST POST");
  }));

test("a registry that opens an upload instead gets the bytes in the second request, and is not asked again", () =>
  withRegistry(false, async (registry, push) => {
    for (const seed of [1, 2, 3]) assert.equal(await push(seed), "pushed");
    assert.equal(asked(registry), "POST PUT POST PUT POST PUT");
    const tried = registry.requests.filter(({ method, url }) => method === "POST" && url.includes("digest="));
    assert.equal(tried.length, 1);
  }));

test("while the first blob is on its way, others do not try too", () =>
  withRegistry(false, async (registry, push) => {
    await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => push(seed)));
    assert.equal(registry.count("POST", /digest=/), 1);
    assert.equal(registry.count("PUT"), 6);
  }));

for (const status of [400, 404, 405, 411, 413, 415, 501])
  test(`a registry that refuses it with ${status} gets the blob in two requests`, () =>
    withRegistry(true, async (registry, push) => {
      registry.rules.push({ method: "POST", path: /digest=/, fault: { status } });
      for (const seed of [1, 2]) assert.equal(await push(seed), "pushed");
      assert.equal(asked(registry), "POST POST PUT POST PUT");
    }));

test("a large blob, and an empty one, are never sent this way", () =>
  withRegistry(true, async (registry, push) => {
    assert.equal(await push(1, SINGLE_POST + 1), "pushed");
    assert.equal(await push(2, 0), "pushed");
    assert.equal(registry.count("POST", /digest=/), 0);
  }));

test("success without a proof is asked for, and an answer that proves nothing is an error", () =>
  withRegistry(true, async (registry, push) => {
    const quiet: Fault[] = [{ withoutHeader: "docker-content-digest" }];
    for (const fault of quiet) registry.rules.push({ method: "POST", fault });
    assert.equal(await push(1), "pushed");
    registry.rules.splice(0, 1, { method: "POST", fault: { status: 201 } });
    await failsWith("REGISTRY_ERROR", push(2), /nothing has changed there/);
    assert.equal(registry.count("HEAD"), 1);
  }));

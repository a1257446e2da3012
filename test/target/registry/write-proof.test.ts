// Proves that nothing counts as written without proof, because a proxy may answer 200 to anything.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bytesSource, readAll } from "../../../lib/util/stream.ts";
import { connect, type TestClient } from "../../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { type Fault, startRegistry, type TestRegistry } from "../../support/registry.ts";

const BLOB = blobOf(someBytes(200_000, "proof"));
const BIG = someBytes(9_000_000, "big proof");
const IMAGE = imageOf("proof", [1000]);

let registry: TestRegistry;

before(async () => {
  registry = await startRegistry();
  const { target, close } = connect(registry.host, "full");
  await pushImage(target, IMAGE, "tag");
  await close();
});

after(() => registry.close());

/** The body of each is one operation; `repository` contains IMAGE, or nothing. */
const operations: { name: string; repository: "full" | "empty"; run: (client: TestClient) => Promise<unknown> }[] = [
  {
    name: "push blob",
    repository: "empty",
    run: ({ target }) => target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes)),
  },
  {
    name: "push new blob",
    repository: "empty",
    run: ({ target }) => target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes), { isNew: true }),
  },
  {
    name: "push stream",
    repository: "empty",
    run: ({ target }) => target.pushStream(bytesSource(BIG).open() as never, "x/y"),
  },
  {
    name: "mount blob",
    repository: "empty",
    run: ({ target }) =>
      target.pushBlob(IMAGE.blobs[1]?.descriptor ?? BLOB.descriptor, bytesSource(IMAGE.blobs[1]?.bytes ?? BIG), {
        isNew: true,
        mountFrom: ["full"],
      }),
  },
  {
    name: "push manifest",
    repository: "full",
    run: ({ target }) => target.pushManifest(IMAGE.bytes, IMAGE.descriptor.mediaType, { tag: "new" }),
  },
  {
    name: "push manifest by digest",
    repository: "empty",
    run: ({ target }) => target.pushManifest(IMAGE.bytes, IMAGE.descriptor.mediaType),
  },
  { name: "delete manifest", repository: "full", run: ({ target }) => target.deleteManifest(IMAGE.descriptor.digest) },
  { name: "has blob", repository: "empty", run: ({ target }) => target.hasBlob(BLOB.descriptor) },
  { name: "head manifest", repository: "empty", run: ({ target }) => target.headManifest("tag") },
  { name: "head digest", repository: "empty", run: ({ target }) => target.headManifest(IMAGE.descriptor.digest) },
  { name: "fetch manifest", repository: "empty", run: ({ target }) => target.fetchManifest("tag") },
  {
    name: "fetch blob",
    repository: "empty",
    run: async ({ target }) => readAll(await target.fetchBlob(BLOB.descriptor), 1e9, "blob"),
  },
  { name: "tags", repository: "empty", run: ({ target }) => Array.fromAsync(target.tags()) },
  { name: "referrers", repository: "full", run: ({ target }) => target.referrers(IMAGE.descriptor.digest) },
];

for (const { name, repository, run } of operations)
  test(`a captive portal is not taken for a registry: ${name}`, async () => {
    registry.rules.splice(0, registry.rules.length, { fault: "portal" });
    const client = connect(registry.host, repository, { retry: { attempts: 2 } });
    const error = await failsWith("REGISTRY_ERROR", run(client));
    assert.match(error.message, /web page.*captive portal/);
    registry.rules.length = 0;
    await client.close();
  });

test("a portal that appears in the middle of a push is noticed at each of its writes", async () => {
  const writes: { method: string; path: RegExp }[] = [
    { method: "POST", path: /uploads/ },
    { method: "PATCH", path: /uploads/ },
    { method: "PUT", path: /uploads/ },
    { method: "PUT", path: /manifests/ },
  ];
  for (const fault of ["portal", "yes man"] as const)
    for (const { method, path } of writes) {
      const repository = `half-${method.toLowerCase()}-${fault.replace(" ", "-")}-${path.source.replace(/\W/g, "")}`;
      registry.rules.splice(0, registry.rules.length, { method, path, fault });
      const client = connect(registry.host, repository, { retry: { attempts: 2 } });
      const work = async () => {
        if (method === "PATCH") await client.target.pushStream(bytesSource(BIG).open() as never, "x/y");
        else await pushImage(client.target, IMAGE, "tag");
      };
      const error = await failsWith("REGISTRY_ERROR", work());
      assert.match(error.message, /captive portal|\(200/, `${fault} ${method}`);
      registry.rules.length = 0;
      assert.equal(await client.target.headManifest("tag"), undefined);
      await client.close();
    }
});

test("a registry whose answers say little is asked, once, and then believed", async () => {
  const quiet: Fault[] = [{ withoutHeader: "docker-content-digest" }, { status: 201 }];
  for (const fault of quiet) {
    const client = connect(registry.host, `quiet-${quiet.indexOf(fault)}`);
    registry.requests.length = 0;
    // The response to a completed write: without the digest there is still Location, without both there is HEAD.
    registry.rules.splice(0, registry.rules.length, { method: "PUT", fault });
    const work = () => client.target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes), { isNew: true });
    if (typeof fault === "object" && "status" in fault) await failsWith("REGISTRY_ERROR", work());
    else assert.equal(await work(), "pushed");
    assert.equal(registry.count("HEAD"), typeof fault === "object" && "status" in fault ? 1 : 0);
    registry.rules.length = 0;
    await client.close();
  }
});

test("a normal push asks for no more than before", async () => {
  const client = connect(registry.host, "counted");
  registry.requests.length = 0;
  await pushImage(client.target, IMAGE, "tag");
  const counts = ["HEAD", "POST", "PUT", "GET"].map((method) => registry.count(method));
  assert.deepEqual(counts, [2, 2, 3, 0]);
  await client.close();
});

// Proves that one flipped bit in one response is repaired: the content is fetched again, once, and then from the next
// cache.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { SpecImage } from "../../lib/cache/cache.ts";
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import { copyGraph } from "../../lib/copy.ts";
import { isStaveError } from "../../lib/errors.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import { check } from "../../lib/ops/cache/check.ts";
import { download } from "../../lib/ops/cache/download.ts";
import { whyMiss } from "../../lib/ops/cache/why-miss.ts";
import { inspect } from "../../lib/ops/image/inspect.ts";
import { install } from "../../lib/ops/install/install.ts";
import { BaseImages } from "../../lib/ops/push/base-image.ts";
import { unpackArchive } from "../../lib/relocate/unpack/unpack.ts";
import { withRefetch } from "../../lib/target/refetch.ts";
import type { ReadTarget } from "../../lib/target/target.ts";
import { noProgress } from "../../lib/util/progress.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { emptyLayout, pushGolden } from "../support/caches.ts";
import { connect, type TestClient } from "../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../support/content.ts";
import { END, newFolder, rawMember } from "../support/hostile-tar.ts";
import { installOptions } from "../support/install.ts";
import { type Rule, startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const BASE = imageOf("base", [40_000]);
const signal = new AbortController().signal;

let registry: TestRegistry;
let other: TestRegistry;
let client: TestClient;
let cache: ReadOciCache;
let hull: SpecImage;

before(async () => {
  registry = await startRegistry();
  other = await startRegistry();
  client = connect(registry.host, "cache");
  await pushGolden("spack-1.2/plain.oci", client.target);
  await pushImage(client.target, BASE, "base");
  cache = new ReadOciCache(client.target);
  const tag = [...(await cache.list()).specs.values()].find(({ name }) => name === "hull")?.tag ?? "";
  hull = await cache.fetchSpec(tag);
});

after(async () => {
  await client.close();
  await registry.close();
  await other.close();
});

interface Consumer {
  name: string;
  /** The path of the damaged content. */
  of: () => string;
  run: () => Promise<unknown>;
}

const archive = (): string => `blobs/${hull.archive.digest}`;
const config = (): string => `blobs/${hull.config.digest}`;
const image = (): string => `manifests/${hull.tag}`;

/** Uses a new store each time; throws failures. */
async function installHull(targets: readonly ReadTarget[] = [client.target]): Promise<void> {
  const options = await installOptions(targets, "/opt/q/st", ["hull"], {
    sysroot: temporaryFolder(),
    only: "package",
    jobs: 1,
  });
  await using _locks = options.locks;
  registry.requests.length = 0;
  const { failures, totals } = await install(options);
  if (failures[0] !== undefined) throw failures[0];
  assert.equal(totals.installed, 1);
}

async function readBase(): Promise<void> {
  const source = { name: "base", target: client.target, reference: "base" };
  const images = new BaseImages({ source, progress: noProgress, signal });
  await images.place("amd64", await emptyLayout());
  assert.equal(images.placed[0]?.outcome, "pushed");
}

async function copyTo(destination: "directory" | "registry"): Promise<void> {
  const { target, close } =
    destination === "directory"
      ? { target: await emptyLayout(), close: async () => {} }
      : connect(other.host, `r${Math.random().toString(36).slice(2)}`);
  let told = 0;
  const progress: Parameters<typeof copyGraph>[3] = {
    progress: (event) => {
      if (event.type === "bytes" && event.id === hull.archive.digest) told += event.count;
    },
  };
  try {
    await copyGraph(client.target, target, hull.tag, progress);
    assert.equal(told, hull.archive.size, "progress ends at the size");
  } finally {
    await close();
  }
}

async function downloadHull(): Promise<void> {
  const report = await download(cache, { tag: hull.tag, node: undefined }, temporaryFolder());
  const sha256 = createHash("sha256").update(readFileSync(report.archive)).digest("hex");
  assert.equal(`sha256:${sha256}`, hull.archive.digest);
}

async function explain(): Promise<void> {
  const at = { root: "/opt/q/st", prefixOf: () => "/opt/q/st/p" };
  const install = { at, scratch: temporaryFolder(), patchelf: undefined };
  const { reason, explanation } = await whyMiss(cache, hull.document.root, { install });
  if (reason === "unreadable") throw new Error(explanation);
}

async function checkBytes(): Promise<void> {
  const { broken } = await check(cache, { specs: [hull.document.root], depth: "bytes" });
  if (broken[0] !== undefined) throw new Error(broken[0].reason);
}

const consumers: Consumer[] = [
  { name: "install, the archive", of: archive, run: installHull },
  { name: "install, the config", of: config, run: () => cache.fetchSpec(hull.tag) },
  { name: "install, the manifest", of: image, run: () => cache.fetchSpec(hull.tag) },
  { name: "download", of: archive, run: downloadHull },
  { name: "copy into a directory", of: archive, run: () => copyTo("directory") },
  { name: "copy to a registry", of: archive, run: () => copyTo("registry") },
  { name: "copy, a manifest", of: image, run: () => copyTo("directory") },
  { name: "inspect", of: config, run: () => inspect(client.target, hull.tag) },
  { name: "why-miss", of: archive, run: explain },
  { name: "check", of: archive, run: checkBytes },
  { name: "a base image, its config", of: () => `blobs/${BASE.blobs[0]?.descriptor.digest}`, run: readBase },
  { name: "a base image, its layer", of: () => `blobs/${BASE.blobs[1]?.descriptor.digest}`, run: readBase },
];

for (const { name, of, run } of consumers)
  describe(name, () => {
    const damage = (flippedAt: number, times: number): (() => number) => {
      const path = of();
      const rule: Rule = { method: "GET", path: new RegExp(`/${path}$`), times, fault: { flippedAt } };
      registry.rules.splice(0, registry.rules.length, rule);
      registry.requests.length = 0;
      return () => registry.count("GET", new RegExp(`/${path}$`));
    };
    after(() => registry.rules.splice(0));

    for (const flippedAt of [0, 0.5, 1])
      test(`a bit flipped at ${flippedAt} in one answer is no failure`, async () => {
        const counted = damage(flippedAt, 1);
        await run();
        assert.equal(counted(), 2);
      });

    test("a bit flipped in all answers is one, after the second", async () => {
      const counted = damage(0.5, Number.POSITIVE_INFINITY);
      await assert.rejects(run());
      assert.equal(counted(), 2);
    });
  });

test("an archive that is damaged in the first cache comes from the next one", async () => {
  const second = await startRegistry();
  const next = connect(second.host, "cache");
  try {
    await pushGolden("spack-1.2/plain.oci", next.target);
    second.requests.length = 0;
    const path = new RegExp(`/${archive()}$`);
    registry.rules.splice(0, registry.rules.length, { method: "GET", path, fault: { flippedAt: 0.5 } });
    await installHull([client.target, next.target]);
    assert.deepEqual([registry.count("GET", path), second.count("GET", path)], [2, 1]);
  } finally {
    registry.rules.splice(0);
    await next.close();
    await second.close();
  }
});

describe("an archive of some megabytes", () => {
  const info = rawMember({ name: "s/p/.spack/binary_distribution" }, "{}");
  const bytes = gzipSync(Buffer.concat([info, rawMember({ name: "s/p/file" }, someBytes(6_000_000, "large")), END]));
  const blob = blobOf(bytes, OCI_LAYER_GZIP);
  const path = new RegExp(`/blobs/${blob.descriptor.digest}$`);
  const unpack = (): Promise<unknown> =>
    withRefetch(client.target, async (from) =>
      unpackArchive(await from.fetchBlob(blob.descriptor), newFolder(), { compression: "gzip" }),
    );

  test("damage that is met before the end is damage, too", async () => {
    await client.target.pushBlob(blob.descriptor, bytesSource(blob.bytes));
    for (const [times, requests] of [
      [1, 2],
      [5, 2],
    ] as const) {
      registry.rules.splice(0, registry.rules.length, { method: "GET", path, times, fault: { flippedAt: 0.001 } });
      registry.requests.length = 0;
      const failure = await unpack().then(
        () => undefined,
        (error: unknown) => error,
      );
      assert.equal(isStaveError(failure), times > 1, String(failure));
      assert.equal(registry.count("GET", path), requests);
    }
    registry.rules.splice(0);
  });

  test("content that came as it was pushed, and is of no use, is not fetched again", async () => {
    const cut = blobOf(bytes.subarray(0, 5000), OCI_LAYER_GZIP);
    await client.target.pushBlob(cut.descriptor, bytesSource(cut.bytes));
    registry.requests.length = 0;
    const work = withRefetch(client.target, async (from) =>
      unpackArchive(await from.fetchBlob(cut.descriptor), newFolder(), { compression: "gzip" }),
    );
    await assert.rejects(work, (error) => isStaveError(error, "CONTENT_INVALID"));
    assert.equal(registry.count("GET", /\/blobs\//), 1);
  });
});

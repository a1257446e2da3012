// Proves that configs and manifests match Spack's, with and without a base image.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { z } from "zod";
import { archivePieces } from "../../lib/image/archive/archive.ts";
import { type BaseImage, readBaseImage } from "../../lib/image/base-image-reader.ts";
import {
  type BuiltImage,
  buildImage,
  type ImageLayer,
  type ImageOptions,
  specsInHistory,
} from "../../lib/image/image-documents.ts";
import { digestOf, digestSchema, parseDigest } from "../../lib/oci/digest.ts";
import { configSchema, manifestSchema } from "../../lib/oci/manifest.ts";
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
} from "../../lib/oci/mediatype.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { goArchitectureOf, legacySpecString, shortName, specString, specTag } from "../../lib/spack/spec/spec-name.ts";
import { layerOrder } from "../../lib/spack/spec/spec-orders.ts";
import { isObject, parseJsonText } from "../../lib/spack/text/json.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { failsWith } from "../support/errors.ts";
import { golden } from "../support/golden.ts";
import { type GoldenSpec, goldenImages, goldenSpecs } from "../support/golden-store.ts";

type Images = ReadonlyMap<string, { manifest: string; config: string }>;

// Replaces a golden layout of which only manifests and configs were kept.
function loose(folder: string, tags: Iterable<string>): Images {
  const read = (tag: string, what: string): string => readFileSync(golden(`${folder}/${tag}.${what}.json`), "utf8");
  return new Map(Array.from(tags, (tag) => [tag, { manifest: read(tag, "manifest"), config: read(tag, "config") }]));
}

function goldenBase(folder: string): BaseImage {
  const [manifest, config] = ["manifest", "config"].map((name) => readFileSync(golden(`${folder}/${name}.json`)));
  assert.ok(manifest && config);
  return readBaseImage({ name: folder, manifest, config, mediaType: undefined }, "amd64");
}

function sha256Of({ job }: GoldenSpec): string {
  const pieces = archivePieces(job, () => Buffer.allocUnsafe(1 << 20));
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value.sha256;
  }
}

// The layer of a spec: stave's archive, and Spack's compressed blob of it, which differs from stave's.
function goldenLayer(spec: GoldenSpec, images: Images): ImageLayer {
  const last = manifestSchema.parse(JSON.parse(images.get(specTag(spec.root))?.manifest ?? "{}")).layers.at(-1);
  assert.ok(last);
  const diffId = parseDigest(`sha256:${sha256Of(spec)}`);
  return { mediaType: OCI_LAYER_GZIP, digest: last.digest, size: last.size, diffId, label: shortName(spec.root) };
}

function specDocumentOf(spec: GoldenSpec): JsonObject {
  const text = readFileSync(`${spec.job.directory}/.spack/spec.json`, "utf8");
  const document = parseJsonText(text, { name: "spec.json" });
  assert.ok(isObject(document) && isObject(document["spec"]));
  return document["spec"];
}

// Spack keeps the history of the base image, and writes the time of packing.
const withoutTime = (config: string): string => config.replace(/"archive_timestamp":"[^"]*",/, "");
const withoutHistory = (config: string): string =>
  config.replace(/"history":\[[^\]]*\],|,"history":\[[^\]]*\](?=\}$)/, "");

const GENERATIONS = {
  "spack-1.2": {
    legacy: false,
    describe: specString,
    layouts: ["plain", "ocibase", "dockerbase"],
    names: ["fleet", "hull"],
  },
  "spack-0.23": { legacy: true, describe: legacySpecString, layouts: ["plain"], names: ["fleet"] },
} as const;
const BASES: Record<string, string> = { ocibase: "spack-1.2/base-oci", dockerbase: "spack-1.2/base-docker" };

for (const [generation, { legacy, describe: description, layouts, names }] of Object.entries(GENERATIONS))
  describe(`images of the store of ${generation} are those of Spack`, async () => {
    const specs = await goldenSpecs(generation as keyof typeof GENERATIONS);
    const plain = goldenImages(`${generation}/plain.oci`);
    const layers = new Map([...specs].map(([hash, spec]) => [hash, goldenLayer(spec, plain)]));
    const byName = new Map([...specs.values()].map(({ root }) => [root.name, root]));
    const environment = names.map((name) => byName.get(name)).filter((node) => node !== undefined);
    const images: [string, readonly SpecNode[], GoldenSpec | undefined][] = [
      ["fleet-env", environment, undefined],
      ...[...specs.values()].map((spec): [string, SpecNode[], GoldenSpec] => [specTag(spec.root), [spec.root], spec]),
    ];
    for (const layout of layouts)
      for (const [tag, roots, spec] of images)
        test(`${layout} ${tag}`, () => {
          const from = layout === "plain" ? plain : loose(`${generation}/${layout}`, [tag]);
          const base = BASES[layout] === undefined ? undefined : goldenBase(BASES[layout]);
          const expected = from.get(tag);
          assert.ok(expected && roots[0]);
          const built = buildImage({
            base,
            architecture: goArchitectureOf(roots[0]),
            layers: layerOrder(roots, legacy)
              .map((node) => layers.get(node.hash))
              .filter((layer) => layer !== undefined),
            env: configSchema.parse(JSON.parse(expected.config)).config?.Env ?? [],
            spec: spec && { document: specDocumentOf(spec), description: description(spec.root), legacy },
          });
          const config = withoutRecord(Buffer.from(built.config.bytes).toString());
          const manifest = withoutRecord(Buffer.from(built.manifest.bytes).toString());
          assert.equal(withoutHistory(config), withoutHistory(withoutTime(expected.config)));
          const { digest, size } = manifestSchema.parse(JSON.parse(expected.manifest)).config;
          const mine = built.config.descriptor;
          const asSpacks = manifest.replace(mine.digest, digest).replace(`"size":${mine.size}}`, `"size":${size}}`);
          assert.equal(asSpacks, expected.manifest);
        });
  });

/** Without what the image says about its base, which Spack's images do not. */
function withoutRecord(text: string): string {
  return text
    .replaceAll(/,?"org\.opencontainers\.image\.base\.(?:digest|name)":"[^"]*"/g, "")
    .replaceAll(/,"(?:Labels|annotations)":\{\}/g, "");
}

const A = digestOf("a");
const LAYER: ImageLayer = {
  mediaType: OCI_LAYER_GZIP,
  digest: digestOf("blob"),
  size: 4,
  diffId: A,
  label: "a@1/abcdefg",
};
const DOCUMENT: JsonObject = { _meta: { version: 5 }, nodes: [] };

function base(manifest: JsonObject, config: JsonObject, mediaType?: string): BaseImage {
  const bytes = (value: JsonObject): Buffer => Buffer.from(JSON.stringify(value));
  return readBaseImage({ name: "base:1", manifest: bytes(manifest), config: bytes(config), mediaType }, "amd64");
}

function made(more: Partial<ImageOptions>): {
  built: BuiltImage;
  config: Record<string, unknown>;
  manifest: z.infer<typeof manifestSchema>;
} {
  const built = buildImage({ architecture: "amd64", layers: [LAYER], env: ["PATH=/bin"], ...more });
  const parse = (bytes: Uint8Array): Record<string, unknown> =>
    z.record(z.string(), z.unknown()).parse(JSON.parse(Buffer.from(bytes).toString()));
  return { built, config: parse(built.config.bytes), manifest: manifestSchema.parse(parse(built.manifest.bytes)) };
}

const CONFIG: JsonObject = {
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [digestOf("b"), digestOf("c")] },
};
const layerOf = (mediaType: string, text: string): JsonObject => ({
  mediaType,
  size: 3,
  digest: digestOf(text),
  "x-other": true,
});
const MANIFEST: JsonObject = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: OCI_CONFIG, digest: digestOf("{}"), size: 2 },
  layers: [layerOf(OCI_LAYER_GZIP, "b"), layerOf(OCI_LAYER_ZSTD, "c")],
};
const DOCKER: JsonObject = {
  ...MANIFEST,
  mediaType: DOCKER_MANIFEST,
  config: { mediaType: DOCKER_CONFIG, digest: digestOf("{}"), size: 2 },
  layers: [layerOf(DOCKER_LAYER_GZIP, "b"), layerOf(DOCKER_LAYER_GZIP, "c")],
};

test("descriptors name the bytes", () => {
  const { built, manifest } = made({});
  assert.equal(built.manifest.descriptor.digest, digestOf(built.manifest.bytes));
  assert.equal(manifest.config.digest, digestOf(built.config.bytes));
  assert.equal(manifest.config.size, built.config.bytes.length);
  assert.deepEqual(built.layers, manifest.layers);
});

test("the same input gives the same digests", () => {
  const [one, two] = [made({}), made({})];
  assert.equal(one.built.manifest.descriptor.digest, two.built.manifest.descriptor.digest);
});

test("media types follow the base image, and are never mixed", async () => {
  const docker = made({ base: base(DOCKER, CONFIG), spec: { document: DOCUMENT, description: "a" } });
  assert.equal(docker.built.family, "docker");
  assert.deepEqual(
    [
      docker.manifest.mediaType,
      docker.manifest.config.mediaType,
      ...docker.manifest.layers.map((layer) => layer.mediaType),
    ],
    [DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_LAYER_GZIP, DOCKER_LAYER_GZIP],
  );
  assert.equal(docker.manifest.annotations, undefined);
  // An OCI manifest over Docker layers becomes OCI throughout, and so does a layer taken from a Docker image.
  const mixed = made({
    base: base({ ...MANIFEST, layers: DOCKER["layers"] ?? [] }, CONFIG),
    layers: [{ ...LAYER, mediaType: DOCKER_LAYER_GZIP }],
  });
  assert.deepEqual(
    mixed.manifest.layers.map((layer) => layer.mediaType),
    [OCI_LAYER_GZIP, OCI_LAYER_GZIP, OCI_LAYER_GZIP],
  );
  assert.match(Buffer.from(mixed.built.manifest.bytes).toString(), /"layers":\[\{[^}]*"x-other":true\}/);
  const zstd = { ...LAYER, mediaType: OCI_LAYER_ZSTD };
  assert.equal(made({ layers: [zstd] }).manifest.layers[0]?.mediaType, OCI_LAYER_ZSTD);
  await failsWith("UNSUPPORTED", () => made({ base: base(DOCKER, CONFIG), layers: [zstd] }), /zstd/);
});

describe("the history has one entry for each layer, when the base image has any", () => {
  const rows: { name: string; given: JsonObject[] | undefined; expect: number | undefined }[] = [
    { name: "none", given: undefined, expect: undefined },
    { name: "an empty one", given: [], expect: 0 },
    {
      name: "a whole one",
      given: [{ created_by: "x" }, { created_by: "ENV", empty_layer: true }, { created_by: "y" }],
      expect: 3,
    },
    { name: "one that says less than there are layers", given: [{ created_by: "x" }], expect: 3 },
  ];
  for (const { name, given, expect } of rows)
    test(name, () => {
      const config = given === undefined ? CONFIG : { ...CONFIG, history: given };
      const spec = { document: DOCUMENT, description: "a" };
      const built = configSchema.parse(made({ base: base(MANIFEST, config), spec }).config);
      assert.equal(built.history?.filter((entry) => entry.empty_layer !== true).length, expect);
      if (expect === 3) assert.match(String(built.history?.at(-1)?.created_by), /a@1\/abcdefg/);
    });
});

test("the history of an image of an environment tells which layer is which spec", () => {
  const hash = "abcdefghijklmnopqrstuvwxyz234567";
  const label = `a@1/${hash}`;
  for (const below of [undefined, base(MANIFEST, CONFIG)]) {
    const { history, rootfs } = configSchema.parse(made({ base: below, layers: [{ ...LAYER, label }] }).config);
    assert.equal(history?.length, rootfs.diff_ids.length);
    assert.deepEqual(
      history?.map((entry) => specsInHistory(String(entry.created_by))),
      [...(below === undefined ? [] : [[], []]), [{ name: "a", version: "1", hash }]],
    );
  }
  for (const text of [
    undefined,
    "",
    "RUN x",
    "spack install a@1/abc",
    `spack install ${label} `,
    `spack install ${label} b`,
  ])
    assert.deepEqual(specsInHistory(text), []);
  const both = specsInHistory(`spack install ${label} b@2/${hash}`);
  assert.deepEqual(
    both.map(({ name }) => name),
    ["a", "b"],
  );
});

test("everything else in the base image's config is kept", () => {
  const config: JsonObject = {
    ...CONFIG,
    author: "sömeone",
    config: { Entrypoint: ["/bin/sh"], Env: ["A=1"], Labels: { "9": "nine", "1": "one" } },
  };
  const { built } = made({ base: base(MANIFEST, config), env: ["PATH=/bin", "A=1"] });
  const text = Buffer.from(built.config.bytes).toString();
  assert.ok(text.includes('"author":"s\\u00f6meone"'));
  assert.ok(text.includes('"config":{"Entrypoint":["/bin/sh"],"Env":["PATH=/bin","A=1"],"Labels":{'));
});

test("the image of a spec says what its package is", () => {
  const spec = { document: DOCUMENT, description: "a@=1" };
  const { config, manifest } = made({ spec });
  assert.equal(config["buildcache_layout_version"], 3);
  assert.deepEqual(config["binary_cache_checksum"], { hash_algorithm: "sha256", hash: LAYER.digest.slice(7) });
  assert.equal(config["archive_size"], 4);
  assert.deepEqual(manifest.annotations, { "org.opencontainers.image.description": "a@=1" });
  const zstd = made({ spec, layers: [{ ...LAYER, mediaType: OCI_LAYER_ZSTD }] });
  assert.equal(zstd.config["archive_compression"], "zstd");
  assert.equal(digestSchema.safeParse(zstd.built.config.descriptor.digest).success, true);
});

describe("a base image that cannot be one is refused", () => {
  const artifact = { ...MANIFEST, config: { mediaType: "application/vnd.oci.empty.v1+json", digest: A, size: 2 } };
  const rows: [string, JsonObject, JsonObject, "MEDIA_TYPE" | "PLATFORM_MISMATCH" | "CONTENT_INVALID", RegExp][] = [
    [
      "another architecture",
      MANIFEST,
      { ...CONFIG, architecture: "arm64" },
      "PLATFORM_MISMATCH",
      /for linux\/arm64, expected linux\/amd64/,
    ],
    ["another system", MANIFEST, { ...CONFIG, os: "windows" }, "PLATFORM_MISMATCH", /windows\/amd64/],
    [
      "an artifact by its type",
      { ...MANIFEST, artifactType: "application/x\n" },
      CONFIG,
      "MEDIA_TYPE",
      /an artifact of type application\/x\\n/,
    ],
    ["an artifact by its config", artifact, CONFIG, "MEDIA_TYPE", /config is of type application\/vnd.oci.empty/],
    [
      "an artifact by a layer",
      { ...MANIFEST, layers: [layerOf("text/plain", "b")] },
      CONFIG,
      "MEDIA_TYPE",
      /layer of type text\/plain/,
    ],
    ["an index", { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }, CONFIG, "MEDIA_TYPE", /an index/],
    [
      "a config that names other layers",
      { ...MANIFEST, layers: [] },
      CONFIG,
      "CONTENT_INVALID",
      /0 layers, but its config names 2/,
    ],
    ["no JSON", MANIFEST, { ...CONFIG, rootfs: 1 } as JsonObject, "CONTENT_INVALID", /rootfs/],
  ];
  for (const [name, manifest, config, code, message] of rows)
    test(name, async () => {
      await failsWith(code, () => base(manifest, config), message);
    });
});

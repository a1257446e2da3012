// Build caches for tests: copies of the golden ones, and invented specs as images.
import { cpSync } from "node:fs";
import { after } from "node:test";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { GraphCopy } from "../../lib/copy.ts";
import { buildImage } from "../../lib/image/image-documents.ts";
import { type Digest, digestOf } from "../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import { base32Hash } from "../../lib/spack/spec/dag-hash.ts";
import { readSpecDocument, type SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import { specString, specTag } from "../../lib/spack/spec/spec-name.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { writeJson } from "../../lib/spack/text/json.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import type { Target } from "../../lib/target/target.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { golden } from "./golden.ts";
import { temporaryFolder } from "./tree.ts";

/** A copy of a golden layout, for instance `spack-1.2/plain.oci`, that a test may change. */
export async function goldenCache(layout: string): Promise<OciCache> {
  const folder = temporaryFolder();
  cpSync(golden(layout), folder, { recursive: true });
  return new OciCache(await LayoutTarget.open(folder, { clock: systemClock }));
}

/** Copies all of a golden layout to another place. */
export async function pushGolden(layout: string, to: Target): Promise<void> {
  const { target } = await goldenCache(layout);
  const copy = new GraphCopy(target, to, {});
  for await (const tag of target.tags()) await copy.copy(tag, tag);
}

/** A new, empty layout directory. */
export async function emptyLayout(options: { readonly name?: string } = {}): Promise<LayoutTarget> {
  return await LayoutTarget.open(temporaryFolder(), { clock: systemClock, create: true, ...options });
}

/** The same, called `layout` in messages and closed after all tests of the file. */
export async function layoutForTests(): Promise<LayoutTarget> {
  const target = await emptyLayout({ name: "layout" });
  after(() => target.close());
  return target;
}

/** An invented spec of format 5 with a true hash, depending on others. */
export function madeSpec(
  name: string,
  version: string,
  children: readonly SpecDocument[] = [],
  more: JsonObject = {},
): SpecDocument {
  const node: JsonObject = {
    name,
    version,
    arch: { platform: "linux", platform_os: "debian12", target: "x86_64" },
    namespace: "made",
    parameters: { build_system: "generic" },
    package_hash: `${base32Hash(name)}${base32Hash(version).slice(0, 20)}====`,
    ...(children.length === 0
      ? {}
      : {
          dependencies: children.map(({ root }) => ({
            name: root.name,
            hash: root.hash,
            parameters: { deptypes: ["build", "link"], virtuals: [] },
          })),
        }),
    annotations: { original_specfile_version: 5 },
    ...more,
  };
  node["hash"] = base32Hash(writeJson(node));
  const below = new Map(children.flatMap(({ graph }) => Array.from(graph.nodes(), ({ hash, raw }) => [hash, raw])));
  const document = { spec: { _meta: { version: 5 }, nodes: [node, ...below.values()] } };
  return readSpecDocument(document, { name });
}

/** Deviations of a spec's image from a valid one. */
export interface OddImage {
  /** Replaces its own tag. */
  readonly tag?: string;
  readonly document?: JsonObject;
  readonly archive?: { readonly packed: Buffer; readonly diffId: Digest };
  /** Modifies the config or the manifest before they are written. */
  readonly config?: (config: Record<string, unknown>) => unknown;
  readonly manifest?: (manifest: Record<string, unknown>) => unknown;
}

function madeArchive({ root }: SpecDocument): { packed: Buffer; diffId: Digest } {
  const packed = Buffer.from(`the archive of ${root.hash}`);
  return { packed, diffId: digestOf(packed) };
}

/** Pushes the image of a spec, and returns its tag. */
export async function pushSpec(target: Target, spec: SpecDocument, odd: OddImage = {}): Promise<string> {
  const { packed: bytes, diffId } = odd.archive ?? madeArchive(spec);
  const digest = digestOf(bytes);
  const layer = { mediaType: OCI_LAYER_GZIP, digest, size: bytes.length, diffId, label: spec.root.name };
  const document = odd.document ?? specDocument(spec.root, spec.graph);
  const description = specString(spec.root);
  const image = buildImage({ architecture: "amd64", layers: [layer], env: [], spec: { document, description } });
  const again = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const config = odd.config
    ? again(odd.config(JSON.parse(Buffer.from(image.config.bytes).toString())))
    : image.config.bytes;
  const described = { ...image.config.descriptor, digest: digestOf(config), size: config.length };
  const parsed = { ...JSON.parse(Buffer.from(image.manifest.bytes).toString()), config: described };
  const usual = odd.config ? again(parsed) : image.manifest.bytes;
  const manifest = odd.manifest ? again(odd.manifest(parsed)) : usual;
  const tag = odd.tag ?? specTag(spec.root);
  await target.pushBlob(layer, bytesSource(bytes));
  await target.pushBlob(described, bytesSource(config));
  const { mediaType } = JSON.parse(Buffer.from(manifest).toString());
  await target.pushManifest(manifest, mediaType, { tag });
  return tag;
}

// `sbom` of an image: a bill of materials from the spec files and recipes in its layers.
import { StaveError } from "../../errors.ts";
import { specsInHistory } from "../../image/image-documents.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { TarReader } from "../../relocate/unpack/tar-reader.ts";
import { compressionOf } from "../../relocate/unpack/unpack.ts";
import { makeSbom, type Sbom } from "../../sbom/bill.ts";
import { RECIPE_LIMIT } from "../../spack/recipe/python-tokens.ts";
import { recipePlaces } from "../../spack/recipe/recipe-copy.ts";
import { SPACK_SPDX, SPACK_SPDX_LIMIT, specFacts } from "../../spack/recipe/spec-facts.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { readSpecFile, SPEC_FILE_LIMIT } from "../../spack/spec/spec-file.ts";
import { preOrder } from "../../spack/spec/traversal.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { BlobFetcher, OperationOptions, ReadTarget } from "../../target/target.ts";
import { pythonText } from "../../util/byte-string.ts";
import { Decompressor } from "../../util/decompress.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { type OpenedImage, openImage } from "./image-facts.ts";

/** The options of the bill of materials of an image. */
export interface ImageSbomOptions extends OperationOptions {
  /** The platform to choose from an index. */
  readonly platform: Platform;
  /** When the document was made, in milliseconds since the epoch. */
  readonly created: number;
  readonly tool: string;
  readonly progress?: ProgressSink | undefined;
}

/** All records of an image together, in bytes. */
const RECORDS_LIMIT = 1024 * 1024 * 1024;
const RECORD = /^(.+)\/\.spack\/(spec\.json|spdx-2\.3-sbom\.json|repos\/.+\/package\.py)$/;

/**
 * Makes the bill of materials of an image. Reads its layers. Throws CONTENT_INVALID if no layer has the record of a
 * spec, and what the target throws.
 */
export async function imageSbom(target: ReadTarget, reference: string, options: ImageSbomOptions): Promise<Sbom> {
  const { platform, created, tool, ...reading } = options;
  const image = await openImage(target, reference, platform, reading);
  const records = new Map<string, Map<string, Buffer>>();
  for (const layer of specLayers(image)) await readRecords(target, layer, records, reading);
  const specs = new Map<string, { readonly node: SpecNode; readonly files: ReadonlyMap<string, Buffer> }>();
  for (const [prefix, files] of records) {
    const bytes = files.get("spec.json");
    if (bytes === undefined) continue;
    const { root } = readSpecFile(bytes, `${prefix}/.spack/spec.json`);
    specs.set(root.hash, { node: root, files });
  }
  if (specs.size === 0)
    throw new StaveError(
      "CONTENT_INVALID",
      `${image.name} (${formatPlatform(image.config)}) has no record of a Spack spec`,
      {
        subject: image.name,
        hint: "name an image that stave or Spack pushed",
      },
    );
  const nodes = [...specs.values()].map(({ node }) => node);
  const needed = new Set(nodes.flatMap((node) => preOrder([node]).slice(1)).map(({ hash }) => hash));
  return makeSbom({
    subject: { name: image.name, digest: image.digest },
    roots: nodes.filter(({ hash }) => !needed.has(hash)),
    created,
    tool,
    factsOf: (node) => {
      const files = specs.get(node.hash)?.files;
      const recipe = recipePlaces(node).flatMap((place) => files?.get(place) ?? [])[0];
      return specFacts(node, { recipe: recipe?.toString("utf8"), spdx: files?.get(SPACK_SPDX)?.toString("utf8") });
    },
  });
}

// Without a history, any layer may have specs.
function specLayers({ config, layers }: OpenedImage): readonly Descriptor[] {
  const entries = (config.history ?? []).filter((entry) => entry.empty_layer !== true);
  if (entries.length !== layers.length) return layers;
  const named = layers.filter((_, at) => specsInHistory(entries[at]?.created_by).length > 0);
  return named.length > 0 ? named : layers;
}

const limitOf = (name: string): number => {
  if (name === "spec.json") return SPEC_FILE_LIMIT;
  return name === SPACK_SPDX ? SPACK_SPDX_LIMIT : RECIPE_LIMIT;
};

async function readRecords(
  target: BlobFetcher,
  layer: Descriptor,
  records: Map<string, Map<string, Buffer>>,
  { progress, signal }: Pick<ImageSbomOptions, "progress" | "signal">,
): Promise<void> {
  const { digest: id, size } = layer;
  const label = `layer ${id.slice(id.indexOf(":") + 1).slice(0, 12)}`;
  progress?.({ type: "start", id, label, size });
  await withRefetch(target, async (from) => {
    let open: { readonly prefix: string; readonly name: string; readonly parts: Buffer[] } | undefined;
    let total = 0;
    const reader = new TarReader(
      {
        member: (member) => {
          const [, prefix, name] = RECORD.exec(pythonText(member.name)) ?? [];
          const isOne =
            member.type === "file" && prefix !== undefined && name !== undefined && member.size <= limitOf(name);
          total += isOne ? member.size : 0;
          if (total > RECORDS_LIMIT)
            throw new StaveError("TOO_LARGE", `${label} has records of more than ${RECORDS_LIMIT} bytes`);
          open = isOne ? { prefix, name: name.replace(/^repos\//, ""), parts: [] } : undefined;
        },
        content: (bytes) => void open?.parts.push(Buffer.from(bytes)),
        contentEnd: () => {
          if (open === undefined) return;
          const files = records.get(open.prefix) ?? new Map<string, Buffer>();
          records.set(open.prefix, files.set(open.name, Buffer.concat(open.parts)));
          open = undefined;
        },
      },
      { isForeign: true },
    );
    const stream = await from.fetchBlob(layer, { signal });
    const compression = compressionOf(layer.mediaType);
    using decompressor =
      compression === "none" ? undefined : new Decompressor(compression, (bytes) => reader.push(bytes), label);
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (decompressor === undefined) reader.push(chunk);
        else await decompressor.write(chunk);
        progress?.({ type: "bytes", id, count: chunk.length });
      }
      await decompressor?.end();
      reader.end();
    } finally {
      stream.destroy();
    }
  });
  progress?.({ type: "done", id, label, outcome: "checked", size });
}

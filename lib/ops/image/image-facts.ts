// Reads the layers of an image, in as far as they matter for starting programs, and tells which belong to its base.
import { StaveError } from "../../errors.ts";
import { specsInHistory } from "../../image/image-documents.ts";
import type { FactsMemory } from "../../loader/facts-memory.ts";
import type { LayerFacts } from "../../loader/layer-facts.ts";
import { readLayer } from "../../loader/layer-reader.ts";
import type { ImagePart, NamedSpec } from "../../loader/packages.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Config, configSchema, parseBySchema } from "../../oci/manifest.ts";
import { layerTypeIn } from "../../oci/mediatype.ts";
import type { Platform } from "../../oci/platform.ts";
import { imageName } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { fetchFromIndex, parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { BlobFetcher, FetchedManifest, OperationOptions, ReadTarget } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import type { ProgressSink } from "../../util/progress.ts";

/** How to read layers. */
export interface ReadLayersOptions extends OperationOptions {
  readonly memory?: FactsMemory | undefined;
  readonly progress?: ProgressSink | undefined;
}

/** An image whose layers have not been read. */
export interface OpenedImage {
  readonly name: string;
  readonly target: ReadTarget;
  readonly digest: Digest;
  readonly manifest: FetchedManifest;
  readonly layers: readonly Descriptor[];
  readonly configDescriptor: Descriptor;
  readonly config: Config;
}

/** A layer that was read. */
export interface ReadLayerPart extends ImagePart {
  readonly descriptor: Descriptor;
  readonly facts: LayerFacts;
}

/** How many layers are read at once. Each may hold the headers of one large library in memory. */
const CONCURRENCY = 3;

/** Reads the manifest and config of an image, of this platform if it is an index. Throws MEDIA_TYPE for artifacts. */
export async function openImage(
  target: ReadTarget,
  reference: string,
  platform: Platform,
  options: OperationOptions = {},
): Promise<OpenedImage> {
  const name = imageName(target.name, reference);
  const fetched = await fetchFromIndex(target, reference, platform, options);
  const document = parseFetched(fetched, target.name);
  if (document.kind === "index") throw notAnImage(name);
  const { config: descriptor, layers } = document.value;
  const text = await fetchImageConfig(target, descriptor, name, options);
  const config = parseBySchema(text, configSchema, `the config of ${name}`);
  if (config.rootfs.diff_ids.length !== layers.length)
    throw new StaveError(
      "CONTENT_INVALID",
      `${name} has ${layers.length} layers, but its config names ${config.rootfs.diff_ids.length}`,
      { subject: name },
    );
  const odd = layers.find(({ mediaType }) => layerTypeIn("oci", mediaType) === undefined);
  if (odd !== undefined)
    throw new StaveError("MEDIA_TYPE", `${name} has a layer of type ${printable(odd.mediaType)}`, { subject: name });
  const { digest } = fetched.descriptor;
  return { name, target, digest, manifest: fetched, layers, configDescriptor: descriptor, config };
}

/** The config of an image. Throws MEDIA_TYPE if it is that of an artifact. */
export async function fetchImageConfig(
  target: ReadTarget,
  descriptor: Descriptor,
  name: string,
  options: OperationOptions,
): Promise<Buffer> {
  if (!/image.*config|container\.image\.v1/.test(descriptor.mediaType)) throw notAnImage(name);
  const text = await fetchConfig(target, descriptor, options);
  // The index of a Spack cache: an artifact in all but its media type.
  if (text.toString("latin1", 0, 16).trim() === "{}") throw notAnImage(name);
  return text;
}

function notAnImage(name: string): StaveError {
  return new StaveError("MEDIA_TYPE", `${name} is not an image`, {
    subject: name,
    hint: "name an image with layers and a config",
  });
}

/** Reads the facts of layers, in their order; those that are remembered are not fetched. */
export async function readLayers(
  target: BlobFetcher,
  layers: readonly Descriptor[],
  { memory, progress, signal }: ReadLayersOptions,
): Promise<LayerFacts[]> {
  const known = new Map<Digest, Promise<LayerFacts>>();
  const one = async (layer: Descriptor): Promise<LayerFacts> => {
    const { digest: id, size } = layer;
    const recalled = memory?.recall(id);
    if (recalled) return recalled;
    const label = `layer ${id.slice(id.indexOf(":") + 1).slice(0, 12)}`;
    progress?.({ type: "start", id, label, size });
    const read = async (from: BlobFetcher): Promise<LayerFacts> => {
      const stream = await from.fetchBlob(layer, { signal });
      const onBytes = (count: number): void => progress?.({ type: "bytes", id, count });
      return await readLayer(stream, { mediaType: layer.mediaType, subject: label, onBytes });
    };
    const facts = await withRefetch(target, read);
    progress?.({ type: "done", id, label, outcome: "checked", size });
    memory?.remember(id, facts);
    return facts;
  };
  return await mapLimit(
    layers,
    CONCURRENCY,
    (layer) => {
      // An image may name a layer twice.
      const reading = known.get(layer.digest) ?? one(layer);
      known.set(layer.digest, reading);
      return reading;
    },
    signal,
  );
}

/** The layers below those of specs, as far as the history tells; all layers if it names no spec. */
export function baseLayers(image: Pick<OpenedImage, "config" | "layers">): Descriptor[] {
  const first = historySpecs(image).findIndex((named) => named.length > 0);
  return image.layers.slice(0, first < 0 ? undefined : first);
}

/** Describes the layers of an image: those below the first layer of a spec are its base. */
export function describeLayers(
  image: Pick<OpenedImage, "config" | "layers">,
  facts: readonly LayerFacts[],
): ReadLayerPart[] {
  const said = historySpecs(image);
  const specs = facts.map((layer, at) => {
    const named = said[at] ?? [];
    return named.length > 0 ? named : specsInPrefixes(layer);
  });
  const first = specs.findIndex((named) => named.length > 0);
  const baseCount = first < 0 ? facts.length : first;
  return image.layers.map((descriptor, at) => {
    const layer = facts[at];
    if (layer === undefined) throw new StaveError("INTERNAL", "a layer was not read");
    return { descriptor, facts: layer, isBase: at < baseCount, specs: specs[at] ?? [] };
  });
}

// Entries are matched to layers by position, which works only if there are equally many.
function historySpecs({ config, layers }: Pick<OpenedImage, "config" | "layers">): NamedSpec[][] {
  const entries = (config.history ?? []).filter((entry) => entry.empty_layer !== true);
  if (entries.length !== layers.length) return [];
  return entries.map(({ created_by }) => specsInHistory(created_by));
}

// Images that Spack made have no history. Each of its prefixes has a folder with this name.
function specsInPrefixes({ entries }: LayerFacts): NamedSpec[] {
  const found: NamedSpec[] = [];
  for (const [path, { kind }] of entries) {
    if (kind !== "folder" || !path.endsWith("/.spack")) continue;
    const [, name, version, hash] = /(?:^|\/)([^/]+)-([^/-]+)-([a-z2-7]{32})\/\.spack$/.exec(path) ?? [];
    if (name !== undefined && version !== undefined && hash !== undefined) found.push({ name, version, hash });
  }
  return found;
}

// Makes images of the archives of a mirror, as a push makes them of prefixes: the layers of a spec's dependencies and
// its own, and the variables that follow from their folders.
import type { CachedSpec, ImageCache, ReadCache } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import type { BaseImage } from "../../image/base-image-reader.ts";
import { keptLayers } from "../../image/budget.ts";
import { type BuiltImage, buildImage, type ImageLayer } from "../../image/image-documents.ts";
import type { PlannedInImage, TaggedLayer } from "../../image/layer-plan.ts";
import type { Digest } from "../../oci/digest.ts";
import { OCI_LAYER_GZIP } from "../../oci/mediatype.ts";
import { compressionOf } from "../../relocate/unpack/unpack.ts";
import { defaultInspections } from "../../spack/config/settings.ts";
import { type EnvModification, envList } from "../../spack/environment/env-modifications.ts";
import { runEnvironment } from "../../spack/environment/run-environment.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf, shortName, specTag } from "../../spack/spec/spec-name.ts";
import { layerOrder } from "../../spack/spec/spec-orders.ts";
import { transferBlob, withRefetch } from "../../target/refetch.ts";
import type { BlobFetcher } from "../../target/target.ts";
import { bytesSource } from "../../util/stream.ts";
import { fitLayers } from "../push/fit-layers.ts";
import type { LayerJoiner } from "../push/layer-joiner.ts";
import { labelOf, specPartOf } from "../push/spec-config.ts";
import { type ArchiveFacts, type ArchiveFactsMemory, readingFacts } from "./archive-facts.ts";
import type { SpecWriter, WriterOptions, Written } from "./cache-writer.ts";

interface Part {
  readonly layer: ImageLayer;
  /** Joining its layer with others takes compressing it again. */
  readonly isRigid: boolean;
  readonly facts: ArchiveFacts;
}

/** How an image of several specs is made. */
export interface TogetherOptions {
  readonly tags: readonly string[];
  readonly base: BaseImage | undefined;
  /** The most layers, those of the base included. */
  readonly budget: number;
  /** The layers of the image that the tag has. */
  readonly previous: readonly TaggedLayer[];
  readonly joiner: LayerJoiner;
  readonly signal: AbortSignal;
}

/** Writes specs of a cache of archives to a cache of images. */
export class ImageWriter implements SpecWriter {
  readonly #from: ReadCache;
  readonly #to: ImageCache;
  readonly #options: WriterOptions & { readonly memory?: ArchiveFactsMemory | undefined };
  /** The layers by DAG hash: dependencies are shared by many images. */
  readonly #parts = new Map<string, Promise<Part & Written>>();
  readonly #inspected = new Map<string, readonly EnvModification[]>();

  constructor(
    from: ReadCache,
    to: ImageCache,
    options: WriterOptions & { readonly memory?: ArchiveFactsMemory | undefined },
  ) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
  }

  async write(spec: CachedSpec): Promise<Written> {
    const { root, value } = spec.document;
    const order = layerOrder([root], root.format < 5);
    const own = this.#part(root, spec);
    const parts = new Map<string, Part>();
    for (const node of order) parts.set(node.hash, await (node.hash === root.hash ? own : this.#part(node)));
    const layers = [...parts.values()].map(({ layer }) => layer);
    const env = this.#environment([root], parts, undefined);
    const architecture = goArchitectureOf(root);
    await this.#push(buildImage({ architecture, layers, env, spec: specPartOf(root, value) }), spec.tag);
    return await own;
  }

  /** Makes one image of several specs and of all that they need at run time; returns its digest. */
  async writeTogether(roots: readonly SpecNode[], options: TogetherOptions): Promise<Digest> {
    const { tags, base, joiner, signal } = options;
    const [first] = roots;
    if (first === undefined) throw new StaveError("INTERNAL", "an image of no specs");
    const nodes = layerOrder([...roots], false);
    const parts = new Map<string, Part>();
    for (const node of nodes) parts.set(node.hash, await this.#part(node));
    const groups = options.previous.filter(({ hashes }) => hashes.length > 1);
    const kept = keptLayers(
      groups.map((group) => ({ ids: group.hashes, group })),
      parts,
    );
    const planned = nodes.flatMap((node): PlannedInImage[] => {
      const group = kept.find(({ ids }) => ids.includes(node.hash))?.group;
      if (group !== undefined) return [{ node, from: "group", group }];
      const { layer, isRigid } = parts.get(node.hash) ?? {};
      return layer === undefined ? [] : [{ node, from: "cache", layer, isRigid: isRigid === true }];
    });
    const own = new Map(planned.flatMap((each) => (each.from === "cache" ? [[each.node.hash, each.layer]] : [])));
    const budget = options.budget - (base?.layers.length ?? 0);
    const layers = await fitLayers({ planned, own, budget, previous: options.previous }, joiner, signal);
    const env = this.#environment(roots, parts, base);
    const image = buildImage({ architecture: goArchitectureOf(first), layers, env, base });
    for (const tag of tags) await this.#push(image, tag);
    return image.manifest.descriptor.digest;
  }

  #environment(
    roots: readonly SpecNode[],
    parts: ReadonlyMap<string, Part>,
    base: BaseImage | undefined,
  ): readonly string[] {
    return envList(
      runEnvironment({
        roots,
        base: base?.env,
        inspections: defaultInspections(roots[0]?.platform ?? ""),
        inspected: this.#inspected,
        prefixOf: (node) => parts.get(node.hash)?.facts.prefix ?? node.external?.path ?? undefined,
        isDirectory: (path) => parts.values().some(({ facts }) => facts.folders.has(path)),
      }),
    );
  }

  async #push({ config, manifest }: BuiltImage, tag: string): Promise<void> {
    const { signal } = this.#options;
    const { target } = this.#to;
    await target.pushBlob(config.descriptor, bytesSource(config.bytes), { signal });
    await target.pushManifest(manifest.bytes, manifest.descriptor.mediaType, { tag, signal });
  }

  #part(node: SpecNode, known?: CachedSpec): Promise<Part & Written> {
    const started = this.#parts.get(node.hash);
    if (started !== undefined) return started;
    const part = this.#bring(node, known);
    // Several images may wait for it; without any, a rejection must not count as unhandled.
    part.catch(() => {});
    this.#parts.set(node.hash, part);
    return part;
  }

  async #bring(node: SpecNode, known: CachedSpec | undefined): Promise<Part & Written> {
    const { signal, memory } = this.#options;
    const onBytes = (count: number): void => this.#options.onBytes(node.hash, count);
    const spec = known ?? (await this.#from.fetchSpec(specTag(node), { node, signal }));
    const { digest, size, mediaType } = spec.archive;
    if (compressionOf(mediaType) !== "gzip")
      throw new StaveError("UNSUPPORTED", `the archive of ${shortName(node)} is not gzip`, {
        subject: node.hash,
        hint: "copy the image with `stave sync`, or push it from its store",
      });
    let facts = memory?.recall(digest);
    const isKnown = facts !== undefined;
    const reading = (from: BlobFetcher): BlobFetcher => ({
      fetchBlob: async (blob, options) => {
        const source = await from.fetchBlob(blob, options);
        const read = readingFacts();
        source.once("error", (error) => read.stream.destroy(error));
        read.stream.once("end", () => {
          facts = read.facts();
        });
        read.stream.once("close", () => source.destroy());
        return source.pipe(read.stream);
      },
    });
    const from = this.#from.blobsOf(spec);
    const blob = { mediaType: OCI_LAYER_GZIP, digest, size };
    const outcome = await transferBlob(reading(from), this.#to.target, blob, { signal, onBytes });
    // Nothing was sent if the archive is there, but its facts are still needed.
    if (facts === undefined)
      await withRefetch(reading(from), async (again) => {
        for await (const _ of await again.fetchBlob(blob, { signal }));
      });
    if (facts === undefined) throw new StaveError("INTERNAL", `the archive of ${shortName(node)} was not read`);
    if (!isKnown) memory?.remember(digest, facts);
    return {
      layer: { ...blob, diffId: facts.diffId, label: labelOf(node) },
      // Spack writes the time, and mirrors usually have what Spack wrote: one gzip member.
      isRigid: spec.archivedAt !== undefined || spec.diffId === undefined,
      facts,
      sent: outcome === "pushed" ? size : 0,
    };
  }
}

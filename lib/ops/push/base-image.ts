// The base image of a push: read once per architecture, its layers brought to the destination of the new images.
import { isStaveError } from "../../errors.ts";
import { type BaseImage, readBaseImage } from "../../image/base-image-reader.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { mountsBetween } from "../../target/blob-source.ts";
import { fetchFromIndex, parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import { transferBlob } from "../../target/refetch.ts";
import type { PushOutcome, ReadTarget, Target } from "../../target/target.ts";
import { forEachLimit } from "../../util/limit.ts";
import type { ProgressSink } from "../../util/progress.ts";

/** The location of a base image. */
export interface BaseSource {
  /** The name as the user typed it. */
  readonly name: string;
  readonly target: ReadTarget;
  /** A tag or digest. */
  readonly reference: string;
}

/** A base layer that is now at the destination. */
export interface PlacedLayer {
  readonly descriptor: Descriptor;
  readonly outcome: PushOutcome;
}

/** Options for the base images of a push. */
export interface BaseImagesOptions {
  readonly source: BaseSource;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

const CONCURRENCY = 4;

/** The base images of one push, by Go architecture. */
export class BaseImages {
  readonly #options: BaseImagesOptions;
  readonly #read = new Map<string, Promise<BaseImage>>();
  readonly #placing = new Map<string, Promise<void>>();
  /** The layers placed so far. */
  readonly placed: PlacedLayer[] = [];

  constructor(options: BaseImagesOptions) {
    this.#options = options;
  }

  /** Reads the base image of an architecture. Throws PLATFORM_MISMATCH, MEDIA_TYPE, CONTENT_INVALID, NOT_FOUND. */
  read(architecture: string): Promise<BaseImage> {
    return once(this.#read, architecture, () => this.#fetch(architecture));
  }

  /** Makes its layers available at the destination: already present, mounted or copied. */
  place(architecture: string, destination: Target): Promise<void> {
    return once(this.#placing, architecture, () => this.#copy(architecture, destination));
  }

  async #fetch(architecture: string): Promise<BaseImage> {
    const { source, signal } = this.#options;
    const { name, target, reference } = source;
    try {
      const fetched = await fetchFromIndex(target, reference, { os: "linux", architecture }, { signal });
      const document = parseFetched(fetched, target.name);
      const config =
        document.kind === "manifest" ? await fetchConfig(target, document.value.config, { signal }) : Buffer.alloc(0);
      const { bytes: manifest, descriptor } = fetched;
      return readBaseImage({ name, manifest, mediaType: descriptor.mediaType, config }, architecture);
    } catch (error) {
      if (!isStaveError(error)) throw error;
      const hint = isStaveError(error, "PLATFORM_MISMATCH")
        ? { hint: `name a base image that has linux/${architecture} with \`baseImage\`` }
        : {};
      throw error.with({ side: "source", ...hint });
    }
  }

  async #copy(architecture: string, destination: Target): Promise<void> {
    const { source, signal } = this.#options;
    const { layers } = await this.read(architecture);
    const mountFrom = mountsBetween(source.target, destination);
    const copy = async (descriptor: Descriptor): Promise<void> => {
      const { digest: id, size } = descriptor;
      const label = `base ${id.slice(id.indexOf(":") + 1).slice(0, 12)}`;
      const { progress } = this.#options;
      progress({ type: "queued", id, size });
      progress({ type: "start", id, label, size });
      const onBytes = (count: number): void => progress({ type: "bytes", id, count });
      const outcome = await transferBlob(source.target, destination, descriptor, { signal, mountFrom, onBytes });
      this.placed.push({ descriptor, outcome });
      const said = ({ pushed: "copied", mounted: "mounted", present: "skipped" } as const)[outcome];
      progress({ type: "done", id, label, outcome: said, size });
    };
    // A base image may name a layer twice.
    const distinct = new Map(layers.map((layer) => [layer.digest, layer])).values();
    await forEachLimit(distinct, CONCURRENCY, copy, signal);
  }
}

function once<T>(all: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = all.get(key);
  if (known) return known;
  const made = make();
  all.set(key, made);
  return made;
}

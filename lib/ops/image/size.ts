// `size`: where the bytes of an image are, by package and by what the files are for.
import { type ContentKind, contentKind, dispensableRules } from "../../image/content-kind.ts";
import { KEPT_WHOLE, SlimRules } from "../../image/slim.ts";
import { Packages } from "../../loader/packages.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import type { ReadTarget } from "../../target/target.ts";
import { describeLayers, openImage, type ReadLayersOptions, readLayers } from "./image-facts.ts";

const USUAL_RULES = new SlimRules({});

/** The files of one kind. */
export interface KindSize {
  kind: ContentKind;
  bytes: number;
  files: number;
}

/** The files of one package. */
export interface PackageSize {
  /** `name@version/hash`, the name of a prefix, `the base image`, or the number of a layer. */
  name: string;
  isBase: boolean;
  bytes: number;
  files: number;
  /** What a slim image is without: headers, static libraries, documentation and the like. */
  dispensable: number;
  /** The debug sections of the programs and libraries that a slim image has. */
  debug: number;
  /** The largest first. */
  kinds: KindSize[];
}

/** The report of `size`. Sizes of files are uncompressed, in bytes. */
export interface SizeReport {
  image: string;
  digest: Digest;
  platform: string;
  /** The compressed size of all layers, and of those of the base. */
  compressed: number;
  compressedBase: number;
  bytes: number;
  files: number;
  dispensable: number;
  debug: number;
  /** The largest first. */
  packages: PackageSize[];
  /** Of all packages but the base. */
  kinds: KindSize[];
  /** What a slim image is without: the kinds, with the pattern of their paths below a prefix. */
  rules: { kind: ContentKind; pattern: string }[];
  /** The packages that it has as a whole. */
  whole: string[];
}

/** The options of `size`. */
export interface SizeOptions extends ReadLayersOptions {
  /** The platform to choose from an index. */
  readonly platform: Platform;
}

/** Measures an image. Reads each layer once, unless it is remembered. Throws what the target throws. */
export async function imageSize(target: ReadTarget, reference: string, options: SizeOptions): Promise<SizeReport> {
  const { platform, ...reading } = options;
  const image = await openImage(target, reference, platform, reading);
  const parts = describeLayers(image, await readLayers(target, image.layers, reading));
  const packages = new Packages(parts);
  const found = new Map<string, { readonly isBase: boolean; kinds: Map<ContentKind, KindSize>; debug: number }>();
  for (const [layer, { facts, isBase }] of parts.entries())
    for (const [path, entry] of facts.entries) {
      if (entry.kind !== "file") continue;
      const name = packages.nameOf({ path: `/${path}`, entry, layer });
      const one = found.get(name) ?? { isBase, kinds: new Map(), debug: 0 };
      found.set(name, one);
      const { elf, isExecutable, size } = entry;
      const program = elf?.interpreter === undefined ? "library" : "program";
      const kind = contentKind({ path: belowPrefix(path), elf: elf && program, isExecutable });
      add(one.kinds, kind, size, 1);
      // Files of debug symbols have nothing else, and stay whole.
      if (!path.endsWith(".debug") && !omittedOf(name).includes(kind)) one.debug += elf?.debug ?? 0;
    }
  const all = [...found].map(([name, { isBase, kinds, debug }]) => ({ name, isBase, ...summed(kinds, name), debug }));
  const total = new Map<ContentKind, KindSize>();
  for (const { isBase, kinds } of all)
    if (!isBase) for (const { kind, bytes, files } of kinds) add(total, kind, bytes, files);
  const sum = (of: (one: (typeof all)[number]) => number): number => all.reduce((sum, one) => sum + of(one), 0);
  const compressed = (isBase?: boolean): number =>
    parts.reduce((sum, part) => sum + (isBase === undefined || part.isBase ? part.descriptor.size : 0), 0);
  return {
    image: image.name,
    digest: image.digest,
    platform: formatPlatform(image.config),
    compressed: compressed(),
    compressedBase: compressed(true),
    bytes: sum(({ bytes }) => bytes),
    files: sum(({ files }) => files),
    // What a base has is not of this push.
    dispensable: sum(({ isBase, dispensable }) => (isBase ? 0 : dispensable)),
    debug: sum(({ isBase, debug }) => (isBase ? 0 : debug)),
    packages: all.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1)),
    kinds: summed(total).kinds,
    rules: dispensableRules(),
    whole: [...KEPT_WHOLE],
  };
}

// Folders above a prefix say nothing about its files.
function belowPrefix(path: string): string {
  return `/${path.replace(/^(?:.*?\/)?[^/]+-[a-z2-7]{32}\//, "")}`;
}

function add(kinds: Map<ContentKind, KindSize>, kind: ContentKind, bytes: number, files: number): void {
  const there = kinds.get(kind) ?? { kind, bytes: 0, files: 0 };
  kinds.set(kind, { kind, bytes: there.bytes + bytes, files: there.files + files });
}

const omittedOf = (name: string): ContentKind[] => USUAL_RULES.omittedOf(name.replace(/@.*/, ""));

function summed(
  kinds: ReadonlyMap<ContentKind, KindSize>,
  name = "",
): Pick<PackageSize, "bytes" | "files" | "dispensable" | "kinds"> {
  const all = [...kinds.values()].sort((a, b) => b.bytes - a.bytes || (a.kind < b.kind ? -1 : 1));
  const omitted = omittedOf(name);
  const sum = (of: (one: KindSize) => number): number => all.reduce((sum, one) => sum + of(one), 0);
  return {
    bytes: sum(({ bytes }) => bytes),
    files: sum(({ files }) => files),
    dispensable: sum(({ kind, bytes }) => (omitted.includes(kind) ? bytes : 0)),
    kinds: all,
  };
}

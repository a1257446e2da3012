// Valid inputs of every format, from testdata.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { golden } from "../support/golden.ts";
import { goldenLayers } from "../support/golden-archives.ts";
import { goldenImages } from "../support/golden-store.ts";
import { vector } from "../support/vectors.ts";

/** The image layouts of both generations of Spack. */
export const LAYOUTS = ["spack-1.2/plain.oci", "spack-0.23/plain.oci"] as const;

/** A file of testdata/golden. */
export function goldenFile(path: string): Buffer {
  return readFileSync(golden(path));
}

/** The smallest `most` archives of specs, as stored. */
export function archives(most: number): Buffer[] {
  return LAYOUTS.flatMap((layout) =>
    Array.from(goldenLayers(layout), ({ digest }) =>
      readFileSync(join(golden(layout), "blobs", digest.replace(":", "/"))),
    ),
  )
    .toSorted((a, b) => a.length - b.length)
    .slice(0, most);
}

/** Manifests and configs of images, the smallest first. */
export function imageTexts(which: "manifest" | "config", most: number): string[] {
  return LAYOUTS.flatMap((layout) => Array.from(goldenImages(layout).values(), (image) => image[which]))
    .toSorted((a, b) => a.length - b.length)
    .slice(0, most);
}

/** Spec files, the smallest first. */
export function specFiles(most: number): string[] {
  const withSpec = z.looseObject({ spec: z.unknown() });
  return imageTexts("config", 100)
    .flatMap((text) => withSpec.safeParse(JSON.parse(text)).data ?? [])
    .filter(({ spec }) => spec !== undefined)
    .map(({ spec }) => JSON.stringify({ spec }))
    .slice(0, most);
}

/** The inputs of a section of the vectors that has them as `input`. */
export function inputsOf(section: string): string[] {
  return vector(section, z.array(z.looseObject({ input: z.string() }))).map(({ input }) => input);
}

/** All texts in a section of the vectors, without keys. */
export function textsOf(section: string): string[] {
  const texts = new Set<string>();
  const collect = (value: unknown): void => {
    if (typeof value === "string") texts.add(value);
    else if (typeof value === "object" && value !== null) for (const each of Object.values(value)) collect(each);
  };
  collect(vector(section, z.looseObject({ rows: z.unknown() })).rows);
  return [...texts];
}

/** The indexes that real Spack wrote into the caches. */
export function indexes(): Buffer[] {
  const layers = z.object({ layers: z.array(z.object({ digest: z.string() })) });
  return LAYOUTS.flatMap((layout) => {
    const { manifest = "{}" } = goldenImages(layout).get("index.spack") ?? {};
    const [layer] = layers.parse(JSON.parse(manifest)).layers;
    return layer ? [readFileSync(join(golden(layout), "blobs", layer.digest.replace(":", "/")))] : [];
  });
}

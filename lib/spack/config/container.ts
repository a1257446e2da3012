// The section `container` of an environment, from which Spack's `containerize` writes a Dockerfile: what of it an image
// made without one can honour, and what it cannot.
import * as z from "zod";
import { checked } from "../text/schema-check.ts";
import type { Configuration } from "./config.ts";

/** What an environment says about its container. */
export interface ContainerSection {
  /** The image of its final stage. */
  readonly base: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The system packages that the final stage has. */
  readonly packages: readonly string[];
  /** Settings that have no effect, as `key:key`. */
  readonly ignored: readonly string[];
}

const names = z.array(z.string().max(500)).max(10_000);
const value = z.union([z.string().max(65_536), z.number(), z.boolean()]);
const schema = z.looseObject({
  images: z
    .union([z.looseObject({ final: z.string().min(1).max(2000) }), z.looseObject({ os: z.string().min(1).max(200) })])
    .nullish(),
  labels: z.record(z.string().min(1).max(1000), value).nullish(),
  os_packages: z.looseObject({ final: names.nullish(), build: names.nullish() }).nullish(),
});

// The images of systems whose names in Spack are not those of images (Spack `container/images.json`).
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/^almalinux:/, "quay.io/almalinuxorg/almalinux:"],
  [/^centos:/, "quay.io/centos/centos:"],
  [/^leap:/, "docker.io/opensuse/leap:"],
];

/** Reads the section; undefined if there is none. Throws CONFIG_INVALID. */
export function containerSection(config: Configuration): ContainerSection | undefined {
  const node = config.get("container");
  if (node === undefined) return undefined;
  const section = checked(schema, node, "container");
  const { images, labels, os_packages: system } = section;
  // What concerns the stage that builds, or the form of the recipe, has no meaning here.
  const ignored = ["template", "singularity", "docker", "strip"].filter((key) => {
    const said = section[key];
    return said !== undefined && said !== null && said !== false && JSON.stringify(said) !== "{}";
  });
  return {
    base: images ? baseOf(images) : undefined,
    labels: Object.fromEntries(Object.entries(labels ?? {}).map(([key, said]) => [key, String(said)])),
    packages: system?.final ?? [],
    ignored,
  };
}

function baseOf(images: { final?: unknown; os?: unknown }): string {
  if (typeof images.final === "string") return images.final;
  const os = String(images.os);
  const [pattern, image] = SYSTEMS.find(([each]) => each.test(os)) ?? [];
  return pattern === undefined || image === undefined ? os : os.replace(pattern, image);
}

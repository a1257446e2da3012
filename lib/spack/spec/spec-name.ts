// The names of a concrete spec: for people, as a tag, and as file names in a build cache.
import { goArchitecture } from "../../oci/platform.ts";
import { sanitizeTag } from "../../oci/reference.ts";
import { familyOf } from "./microarchitecture.ts";
import type { SpecNode } from "./node.ts";
import { exactVersion, flagsText, formatPath, formatSpec, politeFileName, variantText } from "./spec-format.ts";

export { shortName } from "./node-reader.ts";

/** The spec without its dependencies, as Spack writes it into image annotations (`spec.py`, DEFAULT_FORMAT). */
export function specString(node: SpecNode): string {
  const { name, version, platform, os, target } = node;
  const settings = `${flagsText(node) ?? ""}${variantText(node) ?? ""}`;
  return `${name}@${exactVersion(version)}${settings} platform=${platform} os=${os} target=${target}`.trim();
}

/** Like `specString`, as Spack before 1.0 prints it, which has no `:=`. For display only. */
export function legacySpecString(node: SpecNode): string {
  const format = "{name}{@versions}{%compiler.name}{@compiler.versions}{compiler_flags}{variants}{ arch=architecture}";
  return formatSpec(node, format).replaceAll(/ ([\w-]+):=/g, " $1=");
}

/** What tags and files of a spec are named after. */
export type NamedSpec = Pick<SpecNode, "name" | "version" | "hash">;

/** The tag of a spec's image: `name-version-hash.spack`. */
export function specTag(node: NamedSpec): string {
  return sanitizeTag(`${node.name}-${node.version}-${node.hash}.spack`);
}

/** The file name of a spec's manifest in URL caches of layout 3, in the folder `v3/manifests/spec/<name>`. */
export function manifestFileName({ name, version, hash }: NamedSpec): string {
  return `${politeFileName(`${name}-${version}-${hash}`)}.spec.manifest.json`;
}

/** The stem of file names in URL caches of layout 2: `<stem>.spec.json`, `<stem>.spack`. */
export function legacyStem(node: SpecNode): string {
  return formatPath(node, "{architecture}-{compiler.name}-{compiler.version}-{name}-{version}-{hash}");
}

/** The folder of the archive in URL caches of layout 2, below `build_cache`. */
export function legacyFolder(node: SpecNode): string {
  return formatPath(node, "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}");
}

/** The Go architecture name of a spec's target: `amd64`, `arm64`, `ppc64le`, … */
export function goArchitectureOf(node: SpecNode): string {
  return goArchitecture(familyOf(node.target));
}

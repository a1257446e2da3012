// A spec as a row of a list.

import type { SpecNode } from "../../spack/spec/node.ts";
import { compilerOf, flagsText, variantText } from "../../spack/spec/spec-format.ts";
import { specTag } from "../../spack/spec/spec-name.ts";

/** One spec of a list. */
export interface SpecRow {
  name: string;
  version: string;
  hash: string;
  namespace: string | undefined;
  /** `platform-os-target`; undefined if only the tag is known. */
  architecture: string | undefined;
  compiler: string | undefined;
  /** Variants and flags as Spack writes them. */
  variants: string;
  tag: string;
}

/** Makes the row of a spec; only its direct dependencies are considered. */
export function specRow(node: SpecNode): SpecRow {
  const compiler = compilerOf(node);
  return {
    name: node.name,
    version: node.version,
    hash: node.hash,
    namespace: node.namespace,
    architecture: architectureOf(node),
    compiler: compiler && `${compiler.name}@${compiler.version}`,
    variants: `${flagsText(node) ?? ""}${variantText(node) ?? ""}`.trim(),
    tag: specTag(node),
  };
}

/** `platform-os-target`. */
export function architectureOf(node: Pick<SpecNode, "platform" | "os" | "target">): string {
  return `${node.platform}-${node.os}-${node.target}`;
}

// A bill of materials as data: what is described, its packages, and how they depend on each other. spdx.ts and
// cyclonedx.ts write it.
import { createHash } from "node:crypto";
import type { Digest } from "../oci/digest.ts";
import type { RecipeFacts } from "../spack/recipe/recipe-facts.ts";
import { LINK, RUN, type SpecNode } from "../spack/spec/node.ts";
import { preOrder } from "../spack/spec/traversal.ts";

/** The format of a bill of materials. */
export type SbomFormat = "spdx" | "cyclonedx";
/** All formats. */
export const SBOM_FORMATS = ["spdx", "cyclonedx"] as const satisfies readonly SbomFormat[];

/** What a bill of materials describes. */
export interface SbomSubject {
  /** The image's reference, or a name for specs. */
  readonly name: string;
  /** The manifest's digest, for an image. */
  readonly digest?: Digest | undefined;
}

/** A package: a node of the DAG, and what is known about it beyond the DAG. */
export interface SbomPackage {
  readonly node: SpecNode;
  readonly facts: RecipeFacts;
  /** Who supplies it, as Spack's own document says. */
  readonly supplier?: string | undefined;
  /** It is part of what is described; the others were needed to build that. */
  readonly isPart: boolean;
}

/** A bill of materials. */
export interface Sbom {
  readonly subject: SbomSubject;
  readonly roots: readonly SpecNode[];
  /** In the order of their names. */
  readonly packages: readonly SbomPackage[];
  /** When the document was made, in milliseconds since the epoch. */
  readonly created: number;
  /** The version of stave. */
  readonly tool: string;
}

/** What makes a bill of materials. */
export interface SbomInput extends Omit<Sbom, "packages"> {
  /** What is known about a spec. */
  factsOf(node: SpecNode): Pick<SbomPackage, "facts" | "supplier">;
}

/** Makes the bill of materials of specs: all nodes of their DAGs. */
export function makeSbom({ factsOf, ...input }: SbomInput): Sbom {
  const parts = new Set(preOrder(input.roots, { types: LINK | RUN }).map(({ hash }) => hash));
  const nodes = [...new Map(preOrder(input.roots).map((node) => [node.hash, node])).values()];
  const packages = nodes.map((node) => ({ node, isPart: parts.has(node.hash), ...factsOf(node) }));
  return { ...input, packages: packages.sort((a, b) => compare(keyOf(a), keyOf(b))) };
}

const keyOf = ({ node }: SbomPackage): string => `${node.name} ${node.version} ${node.hash}`;

// By code units, in every locale the same.
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** A UUID that follows from what is described, so that the same input gives the same document. */
export function documentId({ subject, packages, created, tool }: Sbom, format: SbomFormat): string {
  const parts = [
    format,
    tool,
    subject.name,
    subject.digest ?? "",
    String(created),
    ...packages.map(({ node }) => node.hash),
  ];
  const hex = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  // RFC 9562: version 8, for which the content is free, and its variant.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/**
 * The package URL of a spec. The type `spack` is proposed and not registered
 * (https://github.com/package-url/purl-spec/pull/898), so this is the only place that knows its form.
 */
export function packageUrl({ namespace, name, version, hash }: SpecNode): string {
  const path = [...(namespace ?? "").split("/").filter(Boolean), name].map(encodeURIComponent).join("/");
  return `pkg:spack/${path}@${encodeURIComponent(version)}?sha=${hash}`;
}

/** True for a text with the syntax of an SPDX license expression (SPDX 2.3, annex D). */
export function isLicenseExpression(text: string): boolean {
  const tokens = text.match(/[()]|[^\s()]+/g) ?? [];
  if (tokens.length > 400) return false;
  let depth = 0;
  // Whether a license, an opening bracket or an exception may come next.
  let expects: "license" | "exception" | "operator" = "license";
  for (const token of tokens) {
    if (expects === "operator") {
      if (token === ")") {
        if (--depth < 0) return false;
      } else if (token === "AND" || token === "OR") expects = "license";
      else if (token === "WITH") expects = "exception";
      else return false;
    } else if (token === "(" && expects === "license") depth++;
    else if (
      /^(?:[A-Za-z0-9][A-Za-z0-9.-]*\+?|LicenseRef-[A-Za-z0-9.-]+)$/.test(token) &&
      !/^(?:AND|OR|WITH)$/i.test(token)
    )
      expects = "operator";
    else return false;
  }
  return expects === "operator" && depth === 0;
}

/** The packages under one license. */
export interface LicenseRow {
  /** As the recipe has it; undefined for packages whose license is unknown. */
  readonly license: string | undefined;
  /** Each with version, hash, and why its license is unknown. */
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly hash: string;
    readonly problem: string | undefined;
  }[];
}

/** The licenses of what is described, by name; unknown ones last. What was only needed to build it does not count. */
export function licenseRows({ packages }: Sbom): LicenseRow[] {
  const parts = packages.filter(({ isPart, node }) => isPart && node.external === undefined);
  const byLicense = Map.groupBy(parts, ({ facts }) => facts.license);
  return [...byLicense]
    .sort(([a], [b]) => Number(a === undefined) - Number(b === undefined) || compare(a ?? "", b ?? ""))
    .map(([license, found]) => ({
      license,
      packages: found.map(({ node: { name, version, hash }, facts: { licenseProblem: problem } }) => ({
        ...{ name, version, hash, problem },
      })),
    }));
}

/** A web address as it stands, or nothing if it is none. */
export function webAddress(text: string | undefined): string | undefined {
  return text !== undefined && /^https?:\/\/[^\s"<>\\^`{|}]+$/.test(text) ? text : undefined;
}

/** What SPDX calls the place of a source that is checked out of a repository. */
export function gitLocation({ git }: RecipeFacts["source"]): string | undefined {
  const at = git?.commit ?? git?.tag;
  if (git === undefined || at === undefined || !/^[\w./+-]+$/.test(at)) return undefined;
  return webAddress(git.repository) && `git+${git.repository}@${at}`;
}

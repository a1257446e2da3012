// Writes a bill of materials as CycloneDX 1.6 JSON.
import { hexOf } from "../oci/digest.ts";
import { LINK, RUN, type SpecNode, type VariantValue } from "../spack/spec/node.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import { timeText } from "../util/source-date.ts";
import { documentId, isLicenseExpression, packageUrl, type Sbom, type SbomPackage, webAddress } from "./bill.ts";

/** The CycloneDX document of a bill of materials. */
export function cycloneDxDocument(sbom: Sbom): JsonObject {
  const { subject, roots, packages, created, tool } = sbom;
  const { name, digest } = subject;
  const ref = digest ?? `specs:${name}`;
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${documentId(sbom, "cyclonedx")}`,
    version: 1,
    metadata: {
      timestamp: timeText(created),
      tools: { components: [{ type: "application", name: "stave", version: tool }] },
      component: {
        type: digest === undefined ? "application" : "container",
        "bom-ref": ref,
        name,
        ...(digest === undefined ? {} : { version: digest, hashes: [{ alg: "SHA-256", content: hexOf(digest) }] }),
      },
    },
    components: packages.map(component),
    dependencies: [
      { ref, dependsOn: [...new Set(roots.map(({ hash }) => hash))] },
      ...packages.map(({ node }) => ({ ref: node.hash, dependsOn: neededBy(node) })),
    ],
  };
}

// What is needed only to build is no dependency of the result.
function neededBy(node: SpecNode): string[] {
  const needed = node.edges.filter(({ types }) => (types & (LINK | RUN)) !== 0).map(({ child }) => child.hash);
  return [...new Set(needed)];
}

function component({ node, facts, supplier, isPart }: SbomPackage): JsonObject {
  const { license } = facts;
  const references = externalReferences(facts);
  return {
    type: "library",
    "bom-ref": node.hash,
    ...(supplier === undefined ? {} : { supplier: { name: supplier.replace(/^(?:Organization|Person): /, "") } }),
    ...(node.namespace === undefined ? {} : { group: node.namespace }),
    name: node.name,
    version: node.version,
    scope: isPart ? "required" : "excluded",
    ...(license === undefined ? {} : { licenses: [licenseOf(license)] }),
    purl: packageUrl(node),
    ...(references.length === 0 ? {} : { externalReferences: references }),
    properties: properties(node),
  };
}

const licenseOf = (text: string): JsonObject =>
  isLicenseExpression(text) ? { expression: text } : { license: { name: text } };

const ALGORITHMS = {
  md5: "MD5",
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
} as const;

function externalReferences({ homepage, source }: SbomPackage["facts"]): JsonObject[] {
  const { url, git, checksums } = source;
  // The format has no SHA-224.
  const hashes = checksums.flatMap(({ algorithm, value }) =>
    algorithm === "sha224" ? [] : [{ alg: ALGORITHMS[algorithm], content: value }],
  );
  const [website, archive, repository] = [homepage, url, git?.repository].map(webAddress);
  const at = git?.commit ?? git?.tag;
  return [
    ...(website === undefined ? [] : [{ type: "website", url: website }]),
    ...(archive === undefined
      ? []
      : [{ type: "source-distribution", url: archive, ...(hashes.length === 0 ? {} : { hashes }) }]),
    ...(repository === undefined
      ? []
      : [{ type: "vcs", url: repository, ...(at === undefined ? {} : { comment: `checked out at ${at}` }) }]),
  ];
}

function properties(node: SpecNode): JsonObject[] {
  const { hash, platform, os, target, external, variants } = node;
  const all: [string, string][] = [
    ["spack:dag-hash", hash],
    ["spack:arch", [platform, os, target].join("-")],
    ...(external === undefined ? [] : [["spack:external", external.path ?? "true"] as [string, string]]),
    ...[...variants].map(([name, value]): [string, string] => [`spack:variant:${name}`, textOf(value)]),
  ];
  return all.map(([name, value]) => ({ name, value }));
}

const textOf = (value: VariantValue): string => (Array.isArray(value) ? value.join(",") : String(value));

// Writes a bill of materials as SPDX 2.3 JSON.
import { hexOf } from "../oci/digest.ts";
import { BUILD, LINK, RUN, type SpecNode, TEST } from "../spack/spec/node.ts";
import { exactVersion } from "../spack/spec/spec-format.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import { timeText } from "../util/source-date.ts";
import {
  documentId,
  gitLocation,
  isLicenseExpression,
  packageUrl,
  type Sbom,
  type SbomPackage,
  webAddress,
} from "./bill.ts";

const NONE = "NOASSERTION";
const IMAGE = "SPDXRef-Image";
const DOCUMENT = "SPDXRef-DOCUMENT";

/** The SPDX document of a bill of materials. */
export function spdxDocument(sbom: Sbom): JsonObject {
  const { subject, roots, packages, created, tool } = sbom;
  const id = documentId(sbom, "spdx");
  const isImage = subject.digest !== undefined;
  const described = isImage ? [IMAGE] : roots.map(idOf);
  const name = subject.name.replaceAll(/[^A-Za-z0-9._-]+/g, "-");
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: DOCUMENT,
    name: subject.name,
    documentNamespace: `https://spdx.org/spdxdocs/${name}-${id}`,
    creationInfo: { created: timeText(created), creators: [`Tool: stave-${tool}`] },
    ...extractedLicenses(sbom),
    packages: [...(isImage ? [imagePackage(sbom)] : []), ...packages.map(packageOf)],
    relationships: [
      ...described.map((element) => relationship(DOCUMENT, "DESCRIBES", element)),
      ...(isImage ? packages.filter(({ isPart }) => isPart) : []).map(({ node }) =>
        relationship(IMAGE, "CONTAINS", idOf(node)),
      ),
      ...packages.flatMap(({ node }) => dependenciesOf(node)),
    ],
  };
}

// A document must define the licenses that are not on the list of SPDX.
function extractedLicenses({ packages }: Sbom): JsonObject {
  const declared = packages.flatMap(({ facts: { license } }) =>
    license && isLicenseExpression(license) ? license : [],
  );
  const own = new Set(declared.flatMap((text) => text.match(/\bLicenseRef-[A-Za-z0-9.-]+/g) ?? []));
  if (own.size === 0) return {};
  const extractedText = "named by the recipe, which does not contain its text";
  return { hasExtractedLicensingInfos: [...own].sort().map((licenseId) => ({ licenseId, extractedText })) };
}

const idOf = ({ name, hash }: SpecNode): string => `SPDXRef-Package-${name.replaceAll(/[^A-Za-z0-9.-]/g, "-")}-${hash}`;

const relationship = (spdxElementId: string, relationshipType: string, relatedSpdxElement: string): JsonObject => ({
  spdxElementId,
  relationshipType,
  relatedSpdxElement,
});

function imagePackage({ subject }: Sbom): JsonObject {
  const { name, digest } = subject;
  return {
    SPDXID: IMAGE,
    name,
    ...(digest === undefined
      ? {}
      : { versionInfo: digest, checksums: [{ algorithm: "SHA256", checksumValue: hexOf(digest) }] }),
    ...{ downloadLocation: NONE, filesAnalyzed: false, licenseConcluded: NONE, licenseDeclared: NONE },
    ...{ copyrightText: NONE, primaryPackagePurpose: "CONTAINER" },
  };
}

function packageOf({ node, facts, supplier }: SbomPackage): JsonObject {
  const { license, source } = facts;
  const { checksums } = source;
  const homepage = webAddress(facts.homepage);
  const location = webAddress(source.url) ?? gitLocation(source);
  const isExpression = license !== undefined && isLicenseExpression(license);
  return {
    SPDXID: idOf(node),
    name: node.name,
    versionInfo: node.version,
    ...(supplier === undefined ? {} : { supplier }),
    downloadLocation: location ?? NONE,
    filesAnalyzed: false,
    ...(checksums.length === 0
      ? {}
      : {
          checksums: checksums.map(({ algorithm, value }) => ({
            algorithm: algorithm.toUpperCase(),
            checksumValue: value,
          })),
        }),
    ...(homepage === undefined ? {} : { homepage }),
    licenseConcluded: NONE,
    licenseDeclared: isExpression ? license : NONE,
    ...(license === undefined || isExpression ? {} : { licenseComments: `the recipe says: ${license}` }),
    copyrightText: NONE,
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: packageUrl(node) }],
    comment: `Spack spec ${node.name}@${exactVersion(node.version)}/${node.hash}${node.external === undefined ? "" : " (external)"}`,
  };
}

const COMPILERS = new Set(["c", "cxx", "fortran"]);

// Link and run before build and test: one relationship for each purpose that an edge has.
function dependenciesOf(node: SpecNode): JsonObject[] {
  return node.edges.flatMap(({ child, types, virtuals }) => {
    const build = virtuals.some((name) => COMPILERS.has(name)) ? "BUILD_TOOL_OF" : "BUILD_DEPENDENCY_OF";
    const kinds = [
      [LINK, "DEPENDENCY_OF"],
      [RUN, "RUNTIME_DEPENDENCY_OF"],
      [BUILD, build],
      [TEST, "TEST_DEPENDENCY_OF"],
    ] as const;
    return kinds
      .filter(([type]) => (types & type) !== 0)
      .map(([, relation]) => relationship(idOf(child), relation, idOf(node)));
  });
}

// Proves that bills of materials are valid, say what recipes and Spack's own documents say, and leave out the rest.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Ajv } from "ajv";
import { type Digest, digestFromHex } from "../../lib/oci/digest.ts";
import { isLicenseExpression, licenseRows, makeSbom, type Sbom } from "../../lib/sbom/bill.ts";
import { cycloneDxDocument } from "../../lib/sbom/cyclonedx.ts";
import { spdxDocument } from "../../lib/sbom/spdx.ts";
import { type SpecFacts, specFacts } from "../../lib/spack/recipe/spec-facts.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { goldenSpecs } from "../support/golden-store.ts";
import { fakeNode, madeNode } from "../support/graph.ts";
import { LICENSES_BY_HAND } from "../support/licenses-by-hand.ts";

// The official schema of CycloneDX comes with its library.
const SCHEMAS = join(import.meta.dirname, "../../node_modules/@cyclonedx/cyclonedx-library/res/schema");
const schema = (name: string): object => JSON.parse(readFileSync(join(SCHEMAS, name), "utf8"));
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
for (const name of [
  "spdx.SNAPSHOT.schema.json",
  "jsf-0.82.SNAPSHOT.schema.json",
  "cryptography-defs.SNAPSHOT.schema.json",
])
  ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}`);
const cycloneDx = ajv.compile(schema("bom-1.6.SNAPSHOT.schema.json"));

// SPDX has no package with its schema: what it requires of the parts that are written, and nothing else may be there.
const some = (properties: Record<string, object>, required: string[]): object => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const text = { type: "string", minLength: 1 };
const id = { type: "string", pattern: "^SPDXRef-[A-Za-z0-9.-]+$" };
const checksums = {
  type: "array",
  items: some(
    {
      algorithm: { enum: ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"] },
      checksumValue: { type: "string", pattern: "^[0-9a-f]+$" },
    },
    ["algorithm", "checksumValue"],
  ),
};
const spdx = ajv.compile(
  some(
    {
      ...{
        spdxVersion: { const: "SPDX-2.3" },
        dataLicense: { const: "CC0-1.0" },
        SPDXID: { const: "SPDXRef-DOCUMENT" },
      },
      ...{ name: text, documentNamespace: { type: "string", pattern: "^https://[^#\\s]+$" } },
      creationInfo: some(
        {
          created: { type: "string", pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$" },
          creators: { type: "array", minItems: 1, items: { type: "string", pattern: "^Tool: " } },
        },
        ["created", "creators"],
      ),
      hasExtractedLicensingInfos: {
        type: "array",
        minItems: 1,
        items: some({ licenseId: { type: "string", pattern: "^LicenseRef-" }, extractedText: text }, [
          "licenseId",
          "extractedText",
        ]),
      },
      packages: {
        type: "array",
        items: some(
          {
            ...{ SPDXID: id, name: text, versionInfo: text, downloadLocation: text, filesAnalyzed: { const: false } },
            ...{ licenseConcluded: text, licenseDeclared: text, licenseComments: text, copyrightText: text },
            ...{
              supplier: { type: "string", pattern: "^(Organization|Person): " },
              homepage: text,
              comment: text,
              checksums,
            },
            primaryPackagePurpose: { enum: ["CONTAINER"] },
            externalRefs: {
              type: "array",
              items: some(
                {
                  referenceCategory: { const: "PACKAGE-MANAGER" },
                  referenceType: { const: "purl" },
                  referenceLocator: text,
                },
                ["referenceCategory", "referenceType", "referenceLocator"],
              ),
            },
          },
          ["SPDXID", "name", "downloadLocation"],
        ),
      },
      relationships: {
        type: "array",
        items: some(
          {
            spdxElementId: id,
            relatedSpdxElement: id,
            relationshipType: {
              enum: [
                ...["DESCRIBES", "CONTAINS", "DEPENDENCY_OF", "RUNTIME_DEPENDENCY_OF", "BUILD_DEPENDENCY_OF"],
                ...["BUILD_TOOL_OF", "TEST_DEPENDENCY_OF"],
              ],
            },
          },
          ["spdxElementId", "relatedSpdxElement", "relationshipType"],
        ),
      },
    },
    ["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages", "relationships"],
  ),
);

const ABSENT: SpecFacts = specFacts(madeNode("x", "1"), { recipe: undefined, spdx: undefined });

function bill(roots: readonly SpecNode[], factsOf: (one: SpecNode) => SpecFacts, digest?: Digest): Sbom {
  return makeSbom({ subject: { name: "ghcr.io/org/app:1", digest }, roots, created: 1e12, tool: "1.0", factsOf });
}

function check(sbom: Sbom): { spdx: JsonObject; cycloneDx: JsonObject } {
  const documents = { spdx: spdxDocument(sbom), cycloneDx: cycloneDxDocument(sbom) };
  assert.ok(spdx(documents.spdx), JSON.stringify(spdx.errors?.slice(0, 3)));
  assert.ok(cycloneDx(documents.cycloneDx), JSON.stringify(cycloneDx.errors?.slice(0, 3)));
  // Every reference has something to refer to, once.
  const packages = documents.spdx["packages"] as { SPDXID: string }[];
  const ids = [...packages.map(({ SPDXID }) => SPDXID), "SPDXRef-DOCUMENT"];
  assert.equal(new Set(ids).size, ids.length);
  for (const one of documents.spdx["relationships"] as Record<string, string>[])
    for (const key of ["spdxElementId", "relatedSpdxElement"]) assert.ok(ids.includes(one[key] ?? ""), one[key]);
  const refs = (documents.cycloneDx["components"] as Record<string, string>[]).map((one) => one["bom-ref"]);
  for (const one of documents.cycloneDx["dependencies"] as { dependsOn: string[] }[])
    for (const ref of one.dependsOn) assert.ok(refs.includes(ref), ref);
  return documents;
}

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  test(`both formats are valid for the golden store of ${generation}, as specs and as an image`, async () => {
    const specs = await goldenSpecs(generation);
    const fleet = [...specs.values()].find(({ root }) => root.name === "fleet") ?? assert.fail();
    for (const digest of [undefined, digestFromHex("a".repeat(64))]) {
      const sbom = bill([fleet.root], () => ABSENT, digest);
      const documents = check(sbom);
      assert.deepEqual(check(bill([fleet.root], () => ABSENT, digest)), documents, "the same input, the same document");
      const relations = JSON.stringify(documents.spdx["relationships"]);
      assert.match(relations, digest === undefined ? /DESCRIBES/ : /CONTAINS/);
      // Build dependencies are there, and not as parts.
      const compiler = sbom.packages.find(({ node: { name } }) => name === "gcc");
      assert.notEqual(compiler?.isPart, true);
    }
  });

const LICENSES: {
  name: string;
  version: string;
  lines: readonly string[];
  parameters?: JsonObject;
  expect: string | RegExp;
}[] = [
  ...LICENSES_BY_HAND.map(({ directives, license, ...one }) => ({
    ...{ ...one, lines: directives },
    expect: license ?? /no license .* applies/,
  })),
  {
    name: "openssl",
    version: "1.1.1w",
    lines: [
      'with when("@3:"):',
      '    license("Apache-2.0")',
      'with when("@:1"):',
      '    license("OpenSSL", checked_by="x")',
    ],
    expect: "OpenSSL",
  },
  { name: "none", version: "1", lines: ["pass"], expect: /names none/ },
  { name: "unsaid", version: "1", lines: ['license("UNKNOWN")'], expect: /says so/ },
  { name: "other", version: "1", lines: ['license("MIT", when="@2:")'], expect: /no license .* applies/ },
  { name: "both", version: "1", lines: ['license("MIT")', 'license("BSD-2-Clause", when="@1")'], expect: /several/ },
  { name: "made", version: "1", lines: ["license(LICENSES[0])"], expect: /line 4 .* not understood/ },
  {
    name: "looped",
    version: "1",
    lines: ['for x in ["MIT"]:', "    license(x)"],
    expect: /line 5 .* not understood/,
  },
  { name: "when", version: "1", lines: ['license("MIT", when=somehow())'], expect: /not understood/ },
  { name: "broken", version: "1", lines: ['license("MIT"'], expect: /not understood: a bracket/ },
];

const recipe = (name: string, lines: readonly string[]): string => {
  const words = name.split("-").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return `from spack.package import *\n\nclass ${words.join("")}(Package):\n${lines.map((line) => `    ${line}\n`).join("")}`;
};

describe("licenses are those of the recipe, for this version and these variants", () => {
  for (const { name, version, lines, parameters, expect } of LICENSES)
    test(`${name} ${version}: ${String(expect)}`, () => {
      const { facts } = specFacts(madeNode(name, version, parameters), {
        recipe: recipe(name, lines),
        spdx: undefined,
      });
      if (typeof expect === "string") {
        assert.deepEqual([facts.license, facts.licenseProblem], [expect, undefined]);
        assert.ok(isLicenseExpression(expect));
      } else {
        assert.equal(facts.license, undefined);
        assert.match(facts.licenseProblem ?? "", expect);
      }
    });
});

const SUM = "a".repeat(64);
const SOURCES: { name: string; lines: string[]; expect: unknown }[] = [
  {
    name: "an address of the version, with a checksum",
    lines: [`version("1.2", sha256="${SUM.toUpperCase()}", url="https://x.example/a.tar.gz")`],
    expect: { url: "https://x.example/a.tar.gz", checksums: [{ algorithm: "sha256", value: SUM }], git: undefined },
  },
  {
    name: "the address of the class, for its own version only",
    lines: ['url = "https://x.example/a-1.2.tar.gz"', `version("1.2", sha256="${SUM}")`],
    expect: { url: "https://x.example/a-1.2.tar.gz", checksums: [{ algorithm: "sha256", value: SUM }], git: undefined },
  },
  {
    name: "the address of the class is of another version",
    lines: ['url = "https://x.example/a-11.2.3.tar.gz"', `version("1.2", sha256="${SUM}")`],
    expect: { url: undefined, checksums: [{ algorithm: "sha256", value: SUM }], git: undefined },
  },
  {
    name: "addresses that a method makes",
    lines: [
      'url = "https://x.example/a-1.2.tar.gz"',
      `version("1.2", md5="${"b".repeat(32)}")`,
      "def url_for_version(self, version):",
      '    return "y"',
    ],
    expect: { url: undefined, checksums: [{ algorithm: "md5", value: "b".repeat(32) }], git: undefined },
  },
  {
    name: "a commit",
    lines: ['git = "https://x.example/a.git"', 'version("1.2", tag="v1.2", commit="abc123")'],
    expect: {
      url: undefined,
      checksums: [],
      git: { repository: "https://x.example/a.git", commit: "abc123", tag: "v1.2" },
    },
  },
  {
    name: "a checksum of the wrong length, and another version",
    lines: ['version("1.2", sha256="abc")', `version("1.3", sha256="${SUM}")`],
    expect: { url: undefined, checksums: [], git: undefined },
  },
  {
    name: "two directives for the version",
    lines: [`version("1.2", sha256="${SUM}")`, `version("1.2", sha256="${"c".repeat(64)}")`],
    expect: { url: undefined, checksums: [], git: undefined },
  },
];

describe("sources are what is written out for the version", () => {
  for (const { name, lines, expect } of SOURCES)
    test(name, () => {
      const { facts } = specFacts(madeNode("boat", "1.2"), { recipe: recipe("boat", lines), spdx: undefined });
      assert.deepEqual(facts.source, expect);
      check(bill([madeNode("boat", "1.2")], () => ({ facts, supplier: undefined })));
    });
});

describe("Spack's own document", () => {
  const own = (more: object = {}): string =>
    JSON.stringify({
      spdxVersion: "SPDX-2.3",
      packages: [
        {
          ...{ name: "boat", versionInfo: "1.2", licenseDeclared: "MIT", supplier: "Organization: yard" },
          checksum: [{ algorithm: "SHA256", checksumValue: SUM }],
          ...more,
        },
        { name: "hull", versionInfo: "1.2", licenseDeclared: "GPL-2.0-only" },
      ],
    });
  const facts = (spdx: string): SpecFacts =>
    specFacts(madeNode("boat", "1.2"), { recipe: recipe("boat", ['license("BSD-2-Clause")']), spdx });
  test("comes before the recipe", () => {
    const found = facts(own());
    assert.deepEqual([found.facts.license, found.supplier], ["MIT", "Organization: yard"]);
    assert.deepEqual(found.facts.source.checksums, [{ algorithm: "sha256", value: SUM }]);
    const { spdx: document } = check(bill([madeNode("boat", "1.2")], () => found));
    assert.match(JSON.stringify(document), /"supplier":"Organization: yard"/);
  });
  for (const [name, text] of [
    ["of another package", own({ name: "hull" })],
    ["of another version", own({ versionInfo: "1.3" })],
    ["that asserts nothing", own({ licenseDeclared: "NOASSERTION" })],
    ["that is no JSON", "{"],
    ["of another format", "[]"],
    ["with a license that is no text", own({ licenseDeclared: 3 })],
  ] as const)
    test(`${name} says nothing about the license`, () => assert.equal(facts(text).facts.license, "BSD-2-Clause"));
});

test("a license that is no SPDX expression is a comment or a name, never a declared license", () => {
  const { facts } = specFacts(madeNode("boat", "1"), {
    recipe: recipe("boat", ['license("see the file")']),
    spdx: undefined,
  });
  const documents = check(bill([madeNode("boat", "1")], () => ({ facts, supplier: undefined })));
  assert.match(
    JSON.stringify(documents.spdx),
    /"licenseDeclared":"NOASSERTION","licenseComments":"the recipe says: see the file"/,
  );
  assert.match(JSON.stringify(documents.cycloneDx), /"licenses":\[\{"license":\{"name":"see the file"\}\}\]/);
});

test("licenses that are not on the list of SPDX are defined in its document, once", () => {
  const lines = ['license("MIT AND (LicenseRef-yard.1 OR LicenseRef-yard.1)")'];
  const { facts } = specFacts(madeNode("boat", "1"), { recipe: recipe("boat", lines), spdx: undefined });
  const documents = check(bill([madeNode("boat", "1")], () => ({ facts, supplier: undefined })));
  const defined = documents.spdx["hasExtractedLicensingInfos"] as { licenseId: string }[];
  assert.deepEqual(
    defined.map(({ licenseId }) => licenseId),
    ["LicenseRef-yard.1"],
  );
});

test("license expressions", () => {
  for (const good of [
    "MIT",
    "GPL-2.0+",
    "(MIT OR Apache-2.0) AND BSD-2-Clause",
    "GPL-2.0-only WITH Classpath-exception-2.0",
    "LicenseRef-x.y",
  ])
    assert.ok(isLicenseExpression(good), good);
  for (const bad of [
    "",
    "MIT OR",
    "OR MIT",
    "MIT MIT",
    "(MIT",
    "MIT)",
    "MIT WITH",
    "see file",
    "MIT/BSD",
    "()",
    "A WITH (B)",
    "or",
    "(".repeat(500),
  ])
    assert.ok(!isLicenseExpression(bad), bad);
});

test("the table of licenses counts what is needed to run, unknown ones last", () => {
  const { root } = readSpecFile(Buffer.from(JSON.stringify(documentOf())), "made.json");
  const rows = licenseRows(
    bill([root], (one) => {
      const lines = one.name === "mast" ? ["pass"] : ['license("MIT")'];
      return specFacts(one, { recipe: recipe(one.name, lines), spdx: undefined });
    }),
  );
  const shown = rows.map(({ license, packages }) => [license, ...packages.map(({ name }) => name)]);
  assert.deepEqual(shown, [
    ["MIT", "boat"],
    [undefined, "mast"],
  ]);
});

// `boat` links `mast` and is built by `yard`.
function documentOf(): object {
  const edge = (name: string, at: number, type: string) => ({
    ...{ name, hash: fakeNode(name, at, [])["hash"], parameters: { deptypes: [type], virtuals: [] } },
  });
  const boat = { ...fakeNode("boat", 1, []), dependencies: [edge("mast", 2, "link"), edge("yard", 3, "build")] };
  return { spec: { _meta: { version: 5 }, nodes: [boat, fakeNode("mast", 2, []), fakeNode("yard", 3, [])] } };
}

// Proves that in-toto's own types accept every statement that a push signs, and those of SLSA its provenance, for both
// generations of Spack.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { digestFromHex } from "../../lib/oci/digest.ts";
import { push } from "../../lib/ops/push/push.ts";
import { ciJob, provenanceOf } from "../../lib/ops/sign/ci-job.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { SignatureFinder } from "../../lib/sign/signature/find.ts";
import { keySigner } from "../../lib/sign/signature/statement-signer.ts";
import { attestationBytes } from "../../lib/sign/statement/statement.ts";
import { IN_TOTO, pipProgram } from "../../scripts/pip-program.ts";
import { layoutForTests } from "../support/caches.ts";
import { GITLAB_JOB } from "../support/gitlab-job.ts";
import { goldenStore, named, pushOptions } from "../support/push.ts";

const { path, skip } = pipProgram(IN_TOTO, process.env);
const job = ciJob(GITLAB_JOB);
const SLSA = "https://slsa.dev/provenance/v1";

// Parsing refuses fields that the types do not have. What SLSA requires besides is what in-toto's library for Go
// checks.
const CHECK = `
import json, sys
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import resource_descriptor, statement, statement_pb2
for text in json.load(sys.stdin):
    parsed = json_format.Parse(text, statement_pb2.Statement())
    statement.Statement.copy_from_pb(parsed).validate()
    if parsed.predicate_type == "${SLSA}":
        found = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
        assert found.build_definition.build_type and found.build_definition.external_parameters.fields
        assert found.run_details.builder.id, "there is no builder"
        for one in found.build_definition.resolved_dependencies:
            resource_descriptor.ResourceDescriptor.copy_from_pb(one).validate()
`;

function validate(statements: readonly string[]): { status: number | null; stderr: string } {
  return spawnSync(path, ["-c", CHECK], { input: JSON.stringify(statements), encoding: "utf8" });
}

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  test(`a push of the store of ${generation}`, { skip, timeout: 120_000 }, async () => {
    const { store } = await goldenStore(generation);
    const target = await layoutForTests();
    const sign = { signer: keySigner(await PrivateKey.generate()), cache: "oci://registry.example/cache" };
    const roots = [named(store, "fleet")];
    const attest = { sbom: generation === "spack-1.2" ? "spdx" : "cyclonedx", job, tool: "1.0" } as const;
    const options = pushOptions(store, target, { generation, roots, tags: ["app"], sign, attest });
    const { images, failures } = await push(options);
    assert.deepEqual(failures, []);
    const app = images[0]?.manifest ?? assert.fail();
    const { bundles } = await new SignatureFinder(target).find(app);
    const statements = bundles.map(({ bundle }) => bundle.payload.toString());
    assert.equal(statements.length, 3, "the signature, the bill of materials, the provenance");
    const { status, stderr } = validate(statements);
    assert.equal(status, 0, stderr);
  });

test("provenance with an identity and a base image; and what is wrong is noticed", { skip, timeout: 60_000 }, () => {
  const subjects = [{ digest: digestFromHex("a".repeat(64)), name: "app", dagHash: undefined }];
  const base = { uri: "oci://docker.io/library/debian:12", digest: { sha256: "b".repeat(64) } };
  const identity = { issuer: "https://token.example", name: "https://github.com/org/app/.github/workflows/x.yml@main" };
  const predicate = provenanceOf(job, { identity, materials: [base], tool: "1.0" });
  const text = (value: object): string => Buffer.from(attestationBytes(subjects, SLSA, { ...value })).toString();
  assert.equal(validate([text(predicate)]).status, 0);
  assert.match(validate([text({ ...predicate, buildKind: "x" })]).stderr, /buildKind/);
  assert.match(validate([text({ ...predicate, runDetails: {} })]).stderr, /there is no builder/);
});

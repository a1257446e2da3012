// Proves what provenance says of a CI job, and that a job that is not described is refused.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { REPOSITORY } from "../../../lib/api/machine/stave-version.ts";
import { ciJob, provenanceOf, pushBuildType } from "../../../lib/ops/sign/ci-job.ts";
import { failsWith } from "../../support/errors.ts";

const SHA = "0123456789abcdef0123456789abcdef01234567";
const GITHUB = {
  GITHUB_ACTIONS: "true",
  GITHUB_SERVER_URL: "https://github.com",
  GITHUB_REPOSITORY: "org/cache",
  GITHUB_REPOSITORY_ID: "42",
  GITHUB_REPOSITORY_OWNER_ID: "7",
  GITHUB_REF: "refs/heads/main",
  GITHUB_SHA: SHA,
  GITHUB_WORKFLOW_REF: "org/cache/.github/workflows/push.yml@refs/heads/main",
  GITHUB_EVENT_NAME: "push",
  GITHUB_RUN_ID: "123",
  GITHUB_RUN_ATTEMPT: "2",
  RUNNER_ENVIRONMENT: "github-hosted",
};
const GITLAB = {
  GITLAB_CI: "true",
  CI_PROJECT_URL: "https://gitlab.example/org/cache",
  CI_PROJECT_ID: "42",
  CI_COMMIT_SHA: SHA,
  CI_COMMIT_REF_NAME: "main",
  CI_CONFIG_PATH: ".gitlab-ci.yml",
  CI_JOB_URL: "https://gitlab.example/org/cache/-/jobs/9",
  CI_RUNNER_ID: "5",
  CI_PIPELINE_SOURCE: "push",
};
const more = { identity: undefined, materials: [], tool: "1.0" };

test("a GitHub job, by the environment alone", () => {
  const base = { uri: "oci://docker.io/library/debian:12", digest: { sha256: "a".repeat(64) } };
  assert.deepEqual(provenanceOf(ciJob(GITHUB), { ...more, materials: [base] }), {
    buildDefinition: {
      buildType: "urn:stave:push:v1",
      externalParameters: {
        workflow: {
          repository: "https://github.com/org/cache",
          ref: "refs/heads/main",
          path: ".github/workflows/push.yml",
        },
      },
      internalParameters: {
        github: {
          event_name: "push",
          repository_id: "42",
          repository_owner_id: "7",
          runner_environment: "github-hosted",
        },
        claims: "environment",
      },
      resolvedDependencies: [
        { uri: "git+https://github.com/org/cache@refs/heads/main", digest: { gitCommit: SHA } },
        base,
      ],
    },
    runDetails: {
      builder: {
        id: "https://github.com/org/cache/.github/workflows/push.yml@refs/heads/main",
        version: { stave: "1.0" },
      },
      metadata: { invocationId: "https://github.com/org/cache/actions/runs/123/attempts/2" },
    },
  });
});

test("with a certificate, its identity is the builder, whatever the environment says", () => {
  const identity = {
    issuer: "https://token.example",
    name: "https://github.com/other/flows/.github/workflows/x.yml@v1",
  };
  const { buildDefinition, runDetails } = provenanceOf(ciJob(GITHUB), { ...more, identity });
  assert.match(JSON.stringify(runDetails), /"id":"https:\/\/github\.com\/other\/flows\//);
  assert.match(JSON.stringify(buildDefinition), /"claims":"certificate"/);
});

test("a GitLab job", () => {
  const { runDetails } = provenanceOf(ciJob(GITLAB), more);
  assert.deepEqual(runDetails, {
    builder: { id: "https://gitlab.example/org/cache/-/runners/5", version: { stave: "1.0" } },
    metadata: { invocationId: "https://gitlab.example/org/cache/-/jobs/9" },
  });
});

test("outside of CI there is no provenance", async () => {
  await failsWith("USAGE", () => ciJob({ CI: "true" }), /no CI job/);
});

describe("a job that is not described is refused, with the variable's name", () => {
  for (const [env, name, value] of [
    ...Object.keys(GITHUB)
      .slice(1)
      .map((key) => [GITHUB, key, undefined] as const),
    ...Object.keys(GITLAB)
      .slice(1)
      .map((key) => [GITLAB, key, undefined] as const),
    [GITHUB, "GITHUB_SHA", "main"],
    [GITHUB, "GITHUB_SERVER_URL", "https://user:secret@github.com"],
    [GITHUB, "GITHUB_SERVER_URL", "javascript:x"],
    [GITHUB, "GITHUB_REPOSITORY", 'a"b'],
    [GITHUB, "GITHUB_WORKFLOW_REF", "no-ref"],
    [GITHUB, "GITHUB_RUN_ID", "1; rm"],
    [GITHUB, "GITHUB_REF", "x".repeat(2000)],
    [GITLAB, "CI_JOB_URL", "not a url"],
  ] as const)
    test(`${name}: ${value?.slice(0, 40) ?? "not set"}`, async () => {
      await failsWith("CONFIG_INVALID", () => ciJob({ ...env, [name]: value }), new RegExp(name));
    });
});

test("the project has one name of its own for what it signs, in one place", () => {
  const root = join(import.meta.dirname, "../../../lib");
  const files = globSync("**/*.ts", { cwd: root }).filter((file) =>
    /urn:stave|buildtypes/.test(readFileSync(join(root, file), "utf8")),
  );
  assert.deepEqual(files, ["ops/sign/ci-job.ts"]);
});

test("what the project names is under the address of its repository, once that is known", () => {
  const { repository } = JSON.parse(readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8"));
  assert.equal(REPOSITORY, repository?.url);
  assert.equal(pushBuildType(undefined), "urn:stave:push:v1");
  for (const url of [
    "git+https://git.example/org/stave.git",
    "https://git.example/org/stave",
    "https://git.example/org/stave/",
  ])
    assert.equal(pushBuildType(url), "https://git.example/org/stave/buildtypes/push/v1");
  const { buildDefinition } = provenanceOf(ciJob(GITLAB), { ...more, repository: "https://git.example/org/stave" });
  assert.match(
    JSON.stringify(buildDefinition),
    /"buildType":"https:\/\/git\.example\/org\/stave\/buildtypes\/push\/v1"/,
  );
});

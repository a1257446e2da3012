// The CI job that runs this command, as its environment describes it, and the provenance that follows from it (SLSA
// provenance v1). Any step of a job can change its environment; only the certificate of a signature without a key
// proves more.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { SignedBy } from "../../sign/signature/statement-signer.ts";
import type { JsonObject } from "../../spack/text/json-value.ts";

/** Names the types of stave's own as long as its repository has no public address. */
const NO_ADDRESS = "urn:stave";

/**
 * The kind of build that stave attests: a push of specs that were installed before. It proves who pushed from which
 * commit, not how the specs were built. The URI is under the address of stave's repository, not under a domain that
 * others might own.
 */
export function pushBuildType(repository: string | undefined): string {
  if (repository === undefined) return `${NO_ADDRESS}:push:v1`;
  return `${repository.replace(/^git\+|(?:\.git)?\/*$/g, "")}/buildtypes/push/v1`;
}

/** A CI job. */
export interface CiJob {
  readonly workflow: { readonly repository: string; readonly ref: string; readonly path: string };
  readonly commit: string;
  /** The URL of the run. */
  readonly invocation: string;
  /** Who ran it. */
  readonly builder: string;
  /** Other facts, under the system's name. */
  readonly internal: JsonObject;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the job of GitHub Actions or GitLab. Throws USAGE outside of both, CONFIG_INVALID if a variable is missing. */
export function ciJob(env: Environment): CiJob {
  if (env["GITHUB_ACTIONS"] === "true") return githubJob(env);
  if (env["GITLAB_CI"] === "true") return gitlabJob(env);
  throw new StaveError("USAGE", "there is no CI job whose provenance could be attested", {
    hint: "run it in GitHub Actions or GitLab CI, or leave out the provenance",
  });
}

function variable(env: Environment, name: string, pattern: RegExp): string {
  const value = env[name];
  if (value !== undefined && value.length <= 1024 && pattern.test(value)) return value;
  const shown = value === undefined ? "not set" : `"${printable(value, { most: 100 })}"`;
  throw new StaveError("CONFIG_INVALID", `the CI job is not described: ${name} is ${shown}`, {
    subject: name,
    hint: "leave the variables of the CI system as it sets them",
  });
}

const URL = /^https?:\/\/[^\s"<>@]+$/;
const NAME = /^[^\s"<>]+$/;
const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;
const NUMBER = /^\d+$/;

function githubJob(env: Environment): CiJob {
  const read = (name: string, pattern: RegExp): string => variable(env, `GITHUB_${name}`, pattern);
  const server = read("SERVER_URL", URL).replace(/\/+$/, "");
  const name = read("REPOSITORY", NAME);
  const repository = `${server}/${name}`;
  // OWNER/REPO/.github/workflows/FILE@REF
  const workflow = read("WORKFLOW_REF", /^[^\s"<>@]+@[^\s"<>]+$/);
  const path = workflow.slice(0, workflow.indexOf("@"));
  return {
    workflow: {
      repository,
      ref: read("REF", NAME),
      path: path.startsWith(`${name}/`) ? path.slice(name.length + 1) : path,
    },
    commit: read("SHA", COMMIT),
    invocation: `${repository}/actions/runs/${read("RUN_ID", NUMBER)}/attempts/${read("RUN_ATTEMPT", NUMBER)}`,
    builder: `${server}/${workflow}`,
    internal: {
      github: {
        event_name: read("EVENT_NAME", NAME),
        repository_id: read("REPOSITORY_ID", NUMBER),
        repository_owner_id: read("REPOSITORY_OWNER_ID", NUMBER),
        runner_environment: variable(env, "RUNNER_ENVIRONMENT", NAME),
      },
    },
  };
}

function gitlabJob(env: Environment): CiJob {
  const read = (name: string, pattern: RegExp): string => variable(env, `CI_${name}`, pattern);
  const repository = read("PROJECT_URL", URL);
  return {
    workflow: { repository, ref: read("COMMIT_REF_NAME", NAME), path: read("CONFIG_PATH", NAME) },
    commit: read("COMMIT_SHA", COMMIT),
    invocation: read("JOB_URL", URL),
    builder: `${repository}/-/runners/${read("RUNNER_ID", NUMBER)}`,
    internal: { gitlab: { pipeline_source: read("PIPELINE_SOURCE", NAME), project_id: read("PROJECT_ID", NUMBER) } },
  };
}

/** A thing that went into what was pushed. */
export interface Material {
  readonly uri: string;
  readonly digest: Readonly<Record<string, string>>;
}

/** What provenance says besides the job. */
export interface ProvenanceFacts {
  /** The identity in the certificate; undefined if it is signed with a key. */
  readonly identity: SignedBy["identity"];
  readonly materials: readonly Material[];
  /** The version of stave. */
  readonly tool: string;
  /** The address of stave's repository, if it has a public one. */
  readonly repository?: string | undefined;
}

/** The provenance of what a job pushed. */
export function provenanceOf(
  { workflow, commit, invocation, builder, internal }: CiJob,
  { identity, materials, tool, repository: stave }: ProvenanceFacts,
): JsonObject {
  const { repository, ref, path } = workflow;
  return {
    buildDefinition: {
      buildType: pushBuildType(stave),
      externalParameters: { workflow: { repository, ref, path } },
      internalParameters: { ...internal, claims: identity === undefined ? "environment" : "certificate" },
      resolvedDependencies: [
        { uri: `git+${repository}@${ref}`, digest: { gitCommit: commit } },
        ...materials.map(({ uri, digest }) => ({ uri, digest: { ...digest } })),
      ],
    },
    runDetails: {
      // The certificate names the workflow that holds the job, which the authority has checked.
      builder: { id: identity?.name ?? builder, version: { stave: tool } },
      metadata: { invocationId: invocation },
    },
  };
}

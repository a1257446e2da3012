// Fits an example workflow to a repository. Every value that goes into the text is checked against a strict pattern and
// quoted, because it may come from a cloned repository, and must not become YAML or shell.
import { StaveError } from "../../errors.ts";
import type { CiService } from "./workflow-templates.ts";

/** What a workflow is fitted to. */
export interface WorkflowValues {
  /** The cache, as an `oci://` URL; undefined for the one of the example, which the CI service names. */
  readonly cache: string | undefined;
  /** The folder of `spack.yaml` below the top of the repository; empty for the top itself. */
  readonly folder: string;
}

const HOST = "[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?";
const COMPONENT = "[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*";
const CACHE = new RegExp(`^oci(?:\\+http)?://(${HOST})(?:/${COMPONENT})+$`);
const CACHE_LENGTH = 300;
const FOLDER = /^[A-Za-z0-9][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9][A-Za-z0-9_.-]*)*$/;
// A tag has the folder, a hyphen and a commit, and at most 128 characters.
const FOLDER_LENGTH = 80;

/** True for the URL of a cache that a workflow can have. */
export const isWorkflowCache = (text: string): boolean => text.length <= CACHE_LENGTH && CACHE.test(text);

/** True for a folder that a workflow can have. */
export const isWorkflowFolder = (text: string): boolean => text.length <= FOLDER_LENGTH && FOLDER.test(text);

/** The name of the workflow's environment, for files and tags; undefined at the top of the repository. */
export const environmentName = (folder: string): string | undefined =>
  folder === "" ? undefined : folder.replaceAll("/", "-");

/** The text of a workflow. Throws USAGE for a value that cannot be in one. */
export function workflowText(service: CiService, template: string, { cache, folder }: WorkflowValues): string {
  if (cache !== undefined && !isWorkflowCache(cache))
    throw new StaveError("USAGE", `a workflow cannot have the cache ${JSON.stringify(cache)}`, {
      hint: "name a repository of a registry, in lower case: oci://ghcr.io/org/cache",
    });
  if (folder !== "" && !isWorkflowFolder(folder))
    throw new StaveError("USAGE", `a workflow cannot have the folder ${JSON.stringify(folder)}`, {
      hint: "use short names of ASCII letters, digits, '.', '_' and '-' for the folders above spack.yaml",
    });
  const changes = service === "github" ? githubChanges(cache, folder) : gitlabChanges(cache, folder);
  return changes.reduce(replaced, template);
}

/** The variables that a workflow takes from the settings of its repository, sorted. */
export function workflowVariables(service: CiService, text: string): string[] {
  const pattern =
    service === "github"
      ? /\$\{\{ (?:vars|secrets)\.(?!GITHUB_)([A-Z0-9_]+) \}\}/g
      : /\$(?!CI_|HOME\b|PATH\b|CACHE\b|SPACK_REF\b)([A-Z][A-Z0-9_]*)/g;
  return [...new Set([...text.matchAll(pattern)].flatMap(([, name]) => name ?? []))].toSorted();
}

type Change = readonly [from: string, to: string];

function replaced(text: string, [from, to]: Change): string {
  if (!text.includes(from)) throw new StaveError("INTERNAL", `the example workflow lacks ${JSON.stringify(from)}`);
  return text.replaceAll(from, () => to);
}

const OWN = " Written by `stave init`, which never changes it again.";
const expression = (name: string): string => `\${{ ${name} }}`;
const hostOf = (cache: string): string => CACHE.exec(cache)?.[1] ?? "";

// Several environments share a cache, so each has tags of its own.
function githubChanges(cache: string | undefined, folder: string): Change[] {
  const changes: Change[] = [[" Copy it to .github/workflows/ of a repository with a spack.yaml.", OWN]];
  if (cache !== undefined) {
    changes.push([`CACHE: oci://ghcr.io/${expression("github.repository")}/cache`, `CACHE: "${cache}"`]);
    const host = hostOf(cache);
    // Only GitHub's own registry knows the token of the job.
    if (host !== "ghcr.io")
      changes.push(
        ["  packages: write # lets the workflow's token push to ghcr.io\n", ""],
        [
          `GITHUB_TOKEN: ${expression("secrets.GITHUB_TOKEN")}`,
          ["USERNAME", "PASSWORD"]
            .map((name) => `REGISTRY_${name}: ${expression(`secrets.REGISTRY_${name}`)}`)
            .join("\n          "),
        ],
        [
          `cache: ${expression("env.CACHE")}\n`,
          [
            `cache: ${expression("env.CACHE")}`,
            `username: ${expression("secrets.REGISTRY_USERNAME")}`,
            `token: ${expression("secrets.REGISTRY_PASSWORD")}\n`,
          ].join("\n          "),
        ],
        ["GITHUB_ACTOR", "REGISTRY_USERNAME"],
        ["GITHUB_TOKEN", "REGISTRY_PASSWORD"],
      );
  }
  const name = environmentName(folder);
  if (name === undefined) return changes;
  return [
    ...changes,
    ["\nname: publish\n", `\nname: "publish ${name}"\n`],
    [`group: publish-${expression("github.ref")}`, `group: "publish-${name}-${expression("github.ref")}"`],
    [" -e . ", ` -e "./${folder}" `],
    ["environment: .\n", `environment: "./${folder}"\n`],
    [`${expression("github.sha")}\n            latest\n`, `${name}-${expression("github.sha")}\n            ${name}\n`],
  ];
}

function gitlabChanges(cache: string | undefined, folder: string): Change[] {
  const changes: Change[] = [[" Copy it to .gitlab-ci.yml of a repository with a spack.yaml.", OWN]];
  if (cache !== undefined) {
    changes.push(["CACHE: oci://$CI_REGISTRY_IMAGE/cache", `CACHE: "${cache}"`]);
    const host = hostOf(cache);
    // The job has a login only for the registry of its own GitLab.
    if (host !== "registry.gitlab.com")
      changes.push(
        ['"$CI_REGISTRY"', `"${host}"`],
        ["CI_REGISTRY_USER", "REGISTRY_USERNAME"],
        ["CI_REGISTRY_PASSWORD", "REGISTRY_PASSWORD"],
      );
  }
  const name = environmentName(folder);
  if (name === undefined) return changes;
  return [
    ...changes,
    ["resource_group: publish\n", `resource_group: "publish-${name}"\n`],
    [" -e . ", ` -e "./${folder}" `],
    ['--tag "$CI_COMMIT_SHA" --tag latest', `--tag "${name}-$CI_COMMIT_SHA" --tag "${name}"`],
  ];
}

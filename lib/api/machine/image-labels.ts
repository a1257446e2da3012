// The standard labels of a tagged image (OCI image-spec 1.1, "Pre-Defined Annotation Keys"), as far as git, the
// variables of a CI job and SOURCE_DATE_EPOCH say them.
import { sourceDate, timeText } from "../../util/source-date.ts";
import { gitQuestions } from "./git-questions.ts";
import type { Surroundings } from "./surroundings.ts";

/** The labels, by their names behind `org.opencontainers.image.`; `folder` is that of the environment. */
export async function standardLabels(
  around: Surroundings,
  folder: string | undefined,
): Promise<Readonly<Record<string, string>>> {
  const { env } = around;
  const git = folder === undefined ? undefined : await fromGit(folder, around);
  const created = sourceDate(env);
  const said = { ...fromJob(env), ...git, created: created === undefined ? undefined : timeText(created) };
  const found = Object.entries(said).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return Object.fromEntries(
    found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [`org.opencontainers.image.${key}`, value]),
  );
}

type Labels = Partial<Record<"created" | "revision" | "source" | "url" | "version", string | undefined>>;

// The variables that GitHub and GitLab set in every job.
function fromJob(env: Surroundings["env"]): Labels {
  const { GITHUB_REPOSITORY: repository, GITHUB_SERVER_URL: server, CI_PROJECT_URL: project } = env;
  if (repository && server) {
    const url = withoutCredentials(`${server}/${repository}`);
    const version = env["GITHUB_REF_TYPE"] === "tag" ? env["GITHUB_REF_NAME"] : undefined;
    return { source: url, url, revision: env["GITHUB_SHA"], version };
  }
  if (!project) return {};
  const url = withoutCredentials(project);
  return { source: url, url, revision: env["CI_COMMIT_SHA"], version: env["CI_COMMIT_TAG"] };
}

// Without undefined values, which would hide those of the job.
async function fromGit(folder: string, around: Surroundings): Promise<Labels> {
  const ask = gitQuestions(folder, around);
  // The folder may be in a repository to which it does not belong.
  if ((await ask("ls-files", "--error-unmatch", "spack.yaml")) === undefined) return {};
  const revision = await ask("rev-parse", "--verify", "HEAD");
  if (revision === undefined) return {};
  const source = await ask("config", "--get", "remote.origin.url");
  const version = await ask("describe", "--tags", "--always", "--dirty");
  const url = source === undefined ? undefined : withoutCredentials(source);
  return { revision, ...(url && { source: url }), ...(version && { version }) };
}

/** The address of a repository without user and password; the short form of ssh becomes that of the web. */
export function withoutCredentials(text: string): string | undefined {
  const [, host, path] = /^(?:[^@/:]+@)([^/:]+):(?!\/\/)(.+)$/.exec(text) ?? [];
  const url = URL.parse(host === undefined ? text : `https://${host}/${path}`);
  // A path of this machine is of no use to others.
  if (url === null || !/^(?:https?|ssh|git):$/.test(url.protocol)) return undefined;
  url.username = "";
  url.password = "";
  url.search = "";
  url.hash = "";
  return url.href.replace(/(?<=https?:.*)\.git\/?$/, "");
}

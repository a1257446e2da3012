// The workflow that `stave init --ci` writes: its place in the repository, and the values that are found there.
import { lstatSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gitQuestions } from "../../api/machine/git-questions.ts";
import { withoutCredentials } from "../../api/machine/image-labels.ts";
import { fileError, StaveError } from "../../errors.ts";
import { makeFolder } from "../../util/folder.ts";
import { isVisible, kindAt } from "../../util/inspect-path.ts";
import type { Context } from "../machine/context.ts";
import { type CiService, workflowTemplates } from "../output/workflow-templates.ts";
import { environmentName, isWorkflowCache, workflowText, workflowVariables } from "../output/workflow-text.ts";

/** A workflow that is not written yet. */
export interface WorkflowFile {
  readonly file: string;
  readonly text: string;
  /** Undefined for the repository's own registry, which the CI service names. */
  readonly cache: string | undefined;
  /** The variables that the settings of the repository must have. */
  readonly variables: readonly string[];
  /** The folders above the file, up to the top of the repository. */
  readonly folders: readonly string[];
}

/**
 * The workflow for the environment in the working folder. `cache` is the one that was named, if any. Throws NOT_FOUND
 * without spack.yaml, CONFLICT if the file is there, USAGE for a value that cannot be in a workflow.
 */
export async function workflowFile(
  service: CiService,
  cache: string | undefined,
  context: Context,
): Promise<WorkflowFile> {
  const { cwd } = context;
  if (kindAt(join(cwd, "spack.yaml"), undefined) !== "file")
    throw new StaveError("NOT_FOUND", `there is no spack.yaml in ${cwd}`, {
      subject: cwd,
      hint: "go to the folder of the environment, then repeat the command",
    });
  const ask = gitQuestions(cwd, context);
  const isRepository = (await ask("rev-parse", "--is-inside-work-tree")) === "true";
  const up = isRepository ? await ask("rev-parse", "--show-cdup") : undefined;
  const folder = isRepository ? ((await ask("rev-parse", "--show-prefix")) ?? "").replace(/\/$/, "") : "";
  const remote = service === "github" ? await ask("config", "--get", "remote.origin.url") : undefined;
  const values = { cache: cache ?? (remote && githubCache(remote)), folder };
  const text = workflowText(service, (await workflowTemplates())[service], values);
  const top = join(cwd, up ?? ".");
  const name = environmentName(folder);
  const folders = service === "github" ? [join(top, ".github"), join(top, ".github/workflows")] : [];
  const file =
    service === "github"
      ? join(top, ".github/workflows", name === undefined ? "stave.yml" : `stave-${name}.yml`)
      : join(top, ".gitlab-ci.yml");
  if (isVisible(file))
    throw new StaveError("CONFLICT", `${file} is there already, and is never changed`, {
      subject: file,
      hint: `compare it with \`stave init --ci ${service} --dry-run\` in a copy without it, or move it away`,
    });
  checkFolders(folders);
  return { file, text, cache: values.cache, variables: workflowVariables(service, text), folders };
}

/** Writes a workflow, and never over another file. */
export function writeWorkflow({ file, text, folders }: WorkflowFile): void {
  try {
    makeFolder(dirname(file));
    checkFolders(folders);
    writeFileSync(file, text, { flag: "wx", mode: 0o644 });
  } catch (cause) {
    if (cause instanceof StaveError) throw cause;
    throw fileError(cause, "write", file);
  }
}

// A link in a cloned repository may lead anywhere.
function checkFolders(folders: readonly string[]): void {
  for (const folder of folders) {
    const found = isVisible(folder) ? lstatSync(folder) : undefined;
    if (found !== undefined && !found.isDirectory())
      throw new StaveError("CONFLICT", `${folder} is not a folder, and nothing is written through it`, {
        subject: folder,
        hint: `make a folder of it: mkdir -p ${dirname(folder)}`,
      });
  }
}

// GitHub's registry has lower-case names only.
function githubCache(remote: string): string | undefined {
  const pattern = /^(?:https?|ssh|git):\/\/github\.com(?::\d{1,5})?\/([^/]+)\/([^/]+?)(?:\.git)?\/?$/i;
  const [, owner, repository] = pattern.exec(withoutCredentials(remote) ?? "") ?? [];
  const cache = `oci://ghcr.io/${owner}/${repository}/cache`.toLowerCase();
  return owner !== undefined && isWorkflowCache(cache) ? cache : undefined;
}

// `stave init`: writes stave.yaml, which names the cache and the store of a project, or accepts the one that is there;
// or writes a CI workflow.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Option } from "commander";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { DEFAULT_CACHE } from "../../api/places/cache-choice.ts";
import { acceptProject, isAccepted } from "../../api/project/project-acceptance.ts";
import { readProject } from "../../api/project/project-file.ts";
import { PROJECT_FILE, projectFile } from "../../api/project/project-place.ts";
import { fileError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { type Project, parseProject } from "../../spack/config/project-settings.ts";
import { isVisible } from "../../util/inspect-path.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { Context } from "../machine/context.ts";
import { ask, confirm } from "../output/confirm.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import type { CiService } from "../output/workflow-templates.ts";
import { bindAction, currentProject, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions {
  ci?: CiService;
  dryRun?: boolean;
  cache?: string;
  store?: string;
  yes?: boolean;
}

/** The report of `init`. */
interface InitReport {
  readonly file: string;
  readonly cache: string | null;
  readonly store: string | null;
  /** False if the file was there, and is now accepted. */
  readonly created: boolean;
  /** Nothing was written or accepted. */
  readonly dryRun: boolean;
}

/** The report of `init --ci`. */
interface WorkflowReport {
  readonly service: CiService;
  readonly file: string;
  readonly text: string;
  /** Null for the repository's own registry, which the CI service names. */
  readonly cache: string | null;
  /** The variables that the settings of the repository must have. */
  readonly variables: readonly string[];
  readonly dryRun: boolean;
}

const HELP = `
Writes stave.yaml into the working folder, so that verbs below it use its cache and store: stave push alone does the right thing.
$STAVE_CACHE, $STAVE_STORE, arguments and flags take precedence; the output says where a value comes from.

A stave.yaml has an effect only once you have accepted its content with this verb, because it may come with a cloned repository. An
existing file is shown and accepted, and never changed. Asks on a terminal; elsewhere, --yes is required.

With --ci, it writes a workflow for the spack.yaml of the working folder instead: .github/workflows/stave.yml or .gitlab-ci.yml at the
top of the repository. It builds the environment and publishes it to the cache of --cache, $STAVE_CACHE or stave.yaml, else to the
registry of the repository. A file that is there is never changed.

Examples:
  stave init
  stave init --cache oci://ghcr.io/org/cache --store ./store --yes
  stave init --dry-run
  stave init --ci github --dry-run
  stave init --ci gitlab --cache oci://registry.example.com/org/cache`;

/** The command `stave init`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand(
    "init",
    "remember the cache and the store of a project in stave.yaml, or write a CI workflow",
  )
    .option("--cache <cache>", "the build cache")
    .option("--store <dir>", "the root of the Spack store (default: that of Spack's configuration)")
    .option("-y, --yes", "do not ask")
    .addOption(new Option("--ci <service>", "write a workflow for this CI service").choices(["github", "gitlab"]));
  addDryRun(command).addHelpText("after", helpText(HELP));
  return bindAction<[], Flags>(command, state, async (context, output, flags) => {
    if (flags.ci !== undefined) {
      output.report(await makeWorkflow(flags.ci, { context, output, flags }));
      return 0;
    }
    const file = join(context.cwd, PROJECT_FILE);
    const created = !isVisible(file);
    if (!created && (flags.cache !== undefined || flags.store !== undefined))
      throw new StaveError("CONFLICT", `${file} is there already, and is never changed`, {
        subject: file,
        hint: "edit it, then accept it with `stave init`",
      });
    const project = created ? parseProject(await newText(context, flags), file) : await readProject(file);
    const { cache = null, store = null } = project;
    const report: InitReport = { file, cache, store, created, dryRun: flags.dryRun === true };
    if (flags.dryRun) {
      output.printExact(project.text);
      const accepted = isAccepted(project, context) ? "is accepted already" : "would be accepted";
      output.note(`${file} ${created ? "would be written" : accepted}`);
      output.report(report);
      return 0;
    }
    if (created) write(project);
    if (projectFile(context) !== file)
      throw new StaveError("CONFIG_INVALID", `${file} is not used, because others may change it or its folder`, {
        subject: file,
        hint: "make both your own, and writable for you alone",
      });
    await accept(project, created, { context, output, flags });
    output.print(printable(`${file} ${created ? "was written" : "is accepted"}`));
    output.report(report);
    return 0;
  });
};

interface Call {
  readonly context: Context;
  readonly output: Output;
  readonly flags: Flags;
}

async function makeWorkflow(service: CiService, { context, output, flags }: Call): Promise<WorkflowReport> {
  if (flags.store !== undefined)
    throw new StaveError("USAGE", "--store and --ci exclude each other", { hint: "leave --store out" });
  const { workflowFile, writeWorkflow } = await import("../arguments/workflow-file.ts");
  const workflow = await workflowFile(service, await workflowCache({ context, output, flags }), context);
  const { file, text, cache = null, variables } = workflow;
  const dryRun = flags.dryRun === true;
  if (dryRun) output.printExact(text);
  else writeWorkflow(workflow);
  if (!dryRun) output.print(printable(`${file} was written`));
  else output.note(`${file} would be written`);
  output.note(`cache: ${cache ?? "the registry of the repository"}`);
  output.note(`set these variables of the repository: ${variables.join(", ")}`);
  return { service, file, text, cache, variables, dryRun };
}

// A directory or the mirror of a user is of no use to a runner.
async function workflowCache({ context, output, flags }: Call): Promise<string | undefined> {
  if (flags.cache !== undefined) return flags.cache;
  const usual = context.env["STAVE_CACHE"] || (await currentProject(context, output))?.cache;
  if (usual === undefined || /^oci(?:\+http)?:\/\//.test(usual)) return usual;
  output.note(`${usual} is not in a registry: the workflow has the cache of the repository instead`);
  return undefined;
}

function write({ file, text }: Project): void {
  try {
    writeFileSync(file, text, { flag: "wx", mode: 0o644 });
  } catch (cause) {
    throw fileError(cause, "write", file);
  }
}

async function accept(project: Project, created: boolean, { context, output, flags }: Call): Promise<void> {
  output.note(`cache: ${project.cache ?? "not named"}`);
  output.note(`store: ${project.store ?? "not named"}`);
  if (isAccepted(project, context)) return;
  if (!created && !flags.yes && !(await confirm(context, `use these values of ${project.file}?`)))
    throw new StaveError("ABORTED", "the file was not accepted");
  acceptProject(project, context);
}

async function newText(context: Context, flags: Flags): Promise<string> {
  const { env } = context;
  const [mirror] = new SpackFiles(context, {}).discovery.mirrors;
  const usual = flags.cache ?? (env["STAVE_CACHE"] || mirror?.name || DEFAULT_CACHE);
  let { cache = usual, store } = flags;
  if (!flags.yes && !flags.dryRun && flags.cache === undefined) {
    if (!context.stdin.isTTY)
      throw new StaveError("USAGE", "there is no terminal to ask for the cache on", {
        hint: "name it with --cache, or take the usual one with --yes",
      });
    cache = (await ask(context, `cache [${usual}]: `)).trim() || usual;
    store ??= (await ask(context, "store [that of Spack's configuration]: ")).trim() || undefined;
  }
  const lines = [
    `cache: ${JSON.stringify(cache)}`,
    ...(store === undefined ? [] : [`store: ${JSON.stringify(store)}`]),
  ];
  return `# The defaults of stave for this folder. Others accept them with \`stave init\`.\n${lines.join("\n")}\n`;
}

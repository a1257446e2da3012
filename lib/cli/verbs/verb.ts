// Declares verbs: a commander command and the function behind it, run with a context and an output.
import type { Command } from "commander";
import type { Choose } from "../../api/from-spack/spack-files.ts";
import { projectFile } from "../../api/project/project-place.ts";
import type { Project } from "../../spack/config/project-settings.ts";
import type { Context } from "../machine/context.ts";
import { KnownWords } from "../machine/known-words.ts";
import { Output, type OutputOptions } from "../output/output.ts";
import { progressDisplay } from "../output/progress-display.ts";
import { callWords } from "../output/typeable.ts";
import { kindsOf } from "../output/value-kinds.ts";

/** The state of a run; commander itself passes no values through. */
export interface RunState {
  context: Context;
  /** The words of the command line, the verb first. */
  words: readonly string[];
  /** Loads the commands of all verbs. */
  allVerbs(): Promise<readonly Command[]>;
  /** The exit status, set by the action when it has ended. */
  exitCode: number;
  /** The output of the verb while it runs. */
  output: Output | undefined;
}

/** What each module of verbs/ exports as `verb`. */
export type VerbFactory = (state: RunState) => Command;

/** The work of a verb; returns its exit status. */
export type Action<A extends unknown[], F> = (
  context: Context,
  output: Output,
  flags: F,
  ...args: A
) => Promise<number>;

/** Binds an action to its command: failures are printed once, here, and determine the exit status. */
export function bindAction<A extends unknown[], F extends OutputOptions>(
  command: Command,
  state: RunState,
  action: Action<A, F>,
): Command {
  return command.action(async (...all: unknown[]) => {
    const flags = command.opts() as F;
    const output = new Output(state.context, command.name(), flags);
    const args = all.slice(0, -2) as A;
    output.call = callWords(command);
    state.output = output;
    try {
      output.display = await progressDisplay(state.context, output);
      const project = await projectFor(command, state.context, output);
      const context = { ...state.context, project, choose: chooser(state.context, output) };
      state.exitCode = await action(context, output, withStore(flags, { command, context, output }), ...args);
      if (state.exitCode === 0) notePlaces(command, context);
    } catch (error) {
      const reason: unknown = state.context.signal.aborted ? state.context.signal.reason : error;
      state.exitCode = output.fail(reason);
    } finally {
      output.endProgress();
      state.output = undefined;
    }
  });
}

// Remembers only arguments that are caches or images; completion must not offer the others later.
function notePlaces(command: Command, context: Context): void {
  const words = command.registeredArguments.flatMap((argument, at) => {
    const isPlace = kindsOf(argument.name()).some((kind) => kind === "cache" || kind === "image");
    return isPlace ? command.args.slice(at, argument.variadic ? undefined : at + 1) : [];
  });
  if (words.length === 0) return;
  const known = new KnownWords(context);
  for (const word of words) known.notePlace(word);
}

/** Verbs with a store of their own. */
const OWN_STORE = new Set(["run", "shell", "gc"]);

const hasStore = (command: Command): boolean =>
  command.name() !== "init" && command.options.some(({ long }) => long === "--store");

// Only verbs that may need a store or a cache read stave.yaml; the text of one that is not accepted has no effect.
async function projectFor(command: Command, context: Context, output: Output): Promise<Project | undefined> {
  return hasStore(command) ? await currentProject(context, output) : undefined;
}

/** The accepted project of the working folder. Warns of one that is not accepted. */
export async function currentProject(context: Context, output: Output): Promise<Project | undefined> {
  const file = projectFile(context);
  if (file === undefined) return undefined;
  const { acceptedProject } = await import("../../api/project/project-file.ts");
  const project = await acceptedProject(file, context);
  if (project !== undefined) return project;
  output.warn(
    `${file} is not used, because you have not accepted it: \`stave init\` in its folder shows and accepts it`,
  );
  return undefined;
}

interface Call {
  readonly command: Command;
  readonly context: Context;
  readonly output: Output;
}

function withStore<F>(flags: F, { command, context: { project, env }, output }: Call): F {
  const { store } = flags as { store?: string };
  if (project?.store === undefined || store !== undefined || env["STAVE_STORE"] || OWN_STORE.has(command.name()))
    return flags;
  output.note(`using the store ${project.store} of ${project.file}`);
  return { ...flags, store: project.store };
}

// Pipes, --json and --yes never ask.
function chooser({ stdin, stdout, stderr, env, signal }: Context, output: Output): Choose | undefined {
  const { json, yes, yesToAll } = output.options as OutputOptions & { yes?: boolean; yesToAll?: boolean };
  const isTerminal = stdin.isTTY && stdout.isTTY && stderr.isTTY && env["TERM"] !== "dumb" && env["CI"] === undefined;
  if (!isTerminal || json || yes || yesToAll) return undefined;
  return async (question, choices) => {
    output.endProgress();
    const { pick } = await import("../output/pick.ts");
    return await pick({ stderr, signal }, question, choices);
  };
}

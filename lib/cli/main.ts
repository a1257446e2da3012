// The command: finds the verb, loads only its code, runs it and exits with its status.
import { isSea } from "node:sea";
import { Command, CommanderError } from "commander";
import { VERSION } from "../api/machine/stave-version.ts";
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { isNear } from "../util/typo.ts";
import { HELP_LAYOUT } from "./arguments/shared-flags.ts";
import { guardRun } from "./guard.ts";
import { processContext } from "./machine/context.ts";
import { Output, printFailure } from "./output/output.ts";
import { EPILOGUE, SUMMARY, VERB_GROUPS, VERBS } from "./verb-table.ts";
import type { RunState } from "./verbs/verb.ts";

/** Flags with a value that Spack accepts before its command, as in `spack -e ENV find`. */
const EARLY_FLAGS = new Set(["-e", "--env", "-C", "--scope", "-c", "--config"]);

/** What to use for verbs of Spack, oras, crane and skopeo. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "check-index": "use `stave index --check CACHE`, and `stave check --all --deep -m CACHE` for manifests and blobs",
  mirror:
    "use `stave config`, which lists the mirrors; `spack mirror` changes them, and `stave prune` removes specs from one",
  load: "use `stave env SPEC`",
  unload: "use `stave env SPEC`, which prints shell commands; a new shell is without them",
  location: "use `stave find --json SPEC`, which has the prefix",
  concretize: "use `spack concretize`; stave works with concrete specs",
  attest: "use `cosign attest`; `stave sign` signs images",
  "generate-key-pair": "use `stave keygen`",
  backup: "use `stave copy --all-tags REPO oci-layout:DIR`",
  restore: "use `stave copy --all-tags oci-layout:DIR REPO`",
  remove: "use `stave uninstall SPEC`, `stave prune CACHE` for a cache, or `stave delete IMAGE`",
  "list-tags": "use `stave tags REPO`",
  repo: "use `stave tags REPO`",
  catalog: "use `stave tags HOST`",
  "manifest-digest": "use `stave digest IMAGE`",
  resolve: "use `stave digest IMAGE`",
  discover: "use `stave referrers IMAGE`",
  validate: "use `stave check --all --deep -m CACHE`",
  append: "use `stave push --base-image IMAGE`",
  mutate: "use `stave push` with --base-image or --variable",
  flatten: "use `stave push`; each spec keeps its layer, so that images share them",
  auth: "use `stave login HOST`",
  version: "use `stave --version`",
};

/** Moves the verb before the flags; Spack's `buildcache VERB` becomes VERB. */
function verbFirst(argv: string[]): string[] {
  const found = verbAhead(argv);
  return found[0] === "buildcache" ? verbAhead(found.slice(1)) : found;
}

function verbAhead(argv: string[]): string[] {
  let at = 0;
  for (let flag = argv[0]; flag?.startsWith("-"); flag = argv[at]) at += EARLY_FLAGS.has(flag) ? 2 : 1;
  const verb = argv[at];
  return verb === undefined ? argv : [verb, ...argv.slice(0, at), ...argv.slice(at + 1)];
}

async function run(given: string[], state: RunState): Promise<number> {
  if (isSea()) (await import("./machine/embedded-koffi.ts")).useEmbeddedKoffi(state.context);
  const argv = verbFirst(given);
  state.words = argv;
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
    process.stdout.write(`stave ${VERSION}\n`);
    return 0;
  }
  const program = new Command("stave")
    .description(SUMMARY)
    .usage("VERB [OPTIONS] [ARGUMENTS]")
    .version(`stave ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .configureHelp({
      ...HELP_LAYOUT,
      subcommandTerm: (command) => [command.name(), ...command.aliases()].join(", "),
    })
    .addHelpText("after", EPILOGUE)
    .addHelpCommand(
      new Command("help").argument("[verb]").helpOption(false).summary("show the help of a verb").helpGroup("Help:"),
    );
  const wanted = argv[0] === "help" ? argv[1] : argv[0];
  for (const [heading, verbs] of Object.entries(VERB_GROUPS))
    for (const verb of verbs) {
      const isWanted = wanted === verb.name || verb.aliases?.includes(wanted ?? "");
      const command = isWanted ? (await verb.load()).verb(state) : new Command(verb.name).summary(verb.summary);
      program.addCommand(command.aliases([...(verb.aliases ?? [])]).helpGroup(`${heading}:`));
    }
  const here = Object.hasOwn(ELSEWHERE, wanted ?? "") ? ELSEWHERE[wanted ?? ""] : undefined;
  if (here !== undefined)
    return new Output(state.context, wanted ?? "", { json: isJson(argv) }).fail(
      new StaveError("USAGE", `stave has no verb ${wanted}`, { hint: here }),
    );
  const failed = (error: StaveError): number =>
    new Output(state.context, verbOf(argv), { json: isJson(argv) }).fail(error);
  if (argv[0] === "help" && wanted !== undefined && !wanted.startsWith("-") && !isVerb(wanted))
    return failed(unknownVerb(wanted));
  quietly(program);
  if (argv.length === 0 || argv.every((word) => word === "--json")) {
    program.outputHelp({ error: true });
    if (argv.length > 0)
      failed(new StaveError("USAGE", "a verb is missing", { hint: "`stave --help` lists the verbs" }));
    return 2;
  }
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : failed(usageError(error, program, argv));
  }
  return state.exitCode;
}

/** Makes every command throw instead of printing and exiting: usage errors look like all others. */
function quietly(command: Command): void {
  command.configureOutput({ outputError: () => undefined }).exitOverride();
  for (const child of command.commands) quietly(child);
}

/** An error of commander as one of stave, with what to type next. */
function usageError({ code, message }: CommanderError, program: Command, argv: readonly string[]): StaveError {
  const verb = verbOf(argv);
  if (code === "commander.unknownCommand") return unknownVerb(verb);
  const [what = "", suggestion = ""] = message.replace(/^error: /, "").split("\n");
  const command = program.commands.find((each) => each.name() === verb || each.aliases().includes(verb));
  const place = command === undefined ? "stave" : `stave ${command.name()}`;
  const flags = `\`${place} --help\` lists the flags`;
  const choice = code === "commander.invalidArgument" ? WRONG_CHOICE.exec(message)?.groups : undefined;
  if (choice !== undefined) return wrongChoice(choice, command, flags);
  const meant = /^\(Did you mean (.*)\?\)$/.exec(suggestion)?.[1];
  const isCount = code === "commander.missingArgument" || code === "commander.excessArguments";
  const hint =
    command !== undefined && isCount ? `usage: ${usageOf(command)}; \`${place} --help\` has examples` : flags;
  return new StaveError("USAGE", what, { hint: meant === undefined ? hint : `did you mean ${meant}? ${flags}` });
}

/** What commander says of a value that is not among the choices of a flag or an argument. */
const WRONG_CHOICE =
  /^error: (?:option '(?<flag>[^']*)' argument|command-argument value) '(?<value>.*)' is invalid(?: for argument '(?<name>[^']*)')?\. Allowed choices are (?<all>.*)\.$/s;

function wrongChoice(
  { flag, name, value = "", all = "" }: Readonly<Record<string, string | undefined>>,
  command: Command | undefined,
  otherwise: string,
): StaveError {
  const choices = all.split(", ");
  const near = choices.filter((each) => isNear(each, value) || (value !== "" && each.startsWith(value)));
  const next = command?.registeredArguments[1];
  // The argument itself may have been left out: what was given is then the next one.
  const isNext = near.length === 0 && flag === undefined && next?.variadic === true && /^[\w.@/-]+$/.test(value);
  const meant = isNext ? [`\`stave ${command?.name()} ${choices[0]} ${value}\``] : near;
  const what =
    flag === undefined ? `unknown ${name} '${printable(value)}'` : `'${printable(value)}' is no value of ${flag}`;
  return new StaveError("USAGE", `${what}, expected ${choices.length === 2 ? choices.join(" or ") : `one of ${all}`}`, {
    hint: `${meant.length === 0 ? "" : `did you mean ${meant.join(" or ")}? `}${otherwise}`,
  });
}

/** `stave copy SRC DST`. */
function usageOf(command: Command): string {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name().toUpperCase()}${argument.variadic ? "..." : ""}`;
    return argument.required ? name : `[${name}]`;
  });
  return ["stave", command.name(), "[OPTIONS]", ...words].join(" ");
}

const isVerb = (name: string): boolean =>
  name === "help" || VERBS.some((verb) => verb.name === name || verb.aliases?.includes(name));

function unknownVerb(name: string): StaveError {
  const near = VERBS.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]).filter(
    (each) => isNear(each, name) || (name.length > 2 && each.startsWith(name)),
  );
  const meant = near.length === 0 ? "" : `did you mean ${near.join(" or ")}? `;
  return new StaveError("USAGE", `unknown command '${printable(name)}'`, {
    hint: `${meant}\`stave --help\` lists the verbs`,
  });
}

/** The verb of a command line, as its JSON document names it. */
const verbOf = (argv: readonly string[]): string => argv.find((word) => !word.startsWith("-")) ?? "stave";

const isJson = (argv: readonly string[]): boolean =>
  argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined).includes("--json");

const state: RunState = {
  context: processContext(),
  words: [],
  allVerbs: () => Promise.all(VERBS.map(async ({ load, aliases = [] }) => (await load()).verb(state).aliases(aliases))),
  exitCode: 0,
  output: undefined,
};
const ended = guardRun(state);
run(process.argv.slice(2), state).then(ended, (error: unknown) => ended(printFailure(state.context, error)));

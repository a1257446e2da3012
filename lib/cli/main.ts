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
import type { RunState, VerbFactory } from "./verbs/verb.ts";

interface Verb {
  name: string;
  aliases?: string[];
  summary: string;
  load: () => Promise<{ verb: VerbFactory }>;
}

// Loaded on demand: `stave --version` reads none of them.
const VERBS: Verb[] = [
  {
    name: "push",
    aliases: ["create"],
    summary: "push installed specs as images, and an environment as one image",
    load: () => import("./verbs/push.ts"),
  },
  {
    name: "install",
    summary: "install specs from build caches into a Spack store",
    load: () => import("./verbs/install.ts"),
  },
  { name: "list", summary: "list the specs of a build cache", load: () => import("./verbs/list.ts") },
  {
    name: "check",
    summary: "report missing specs and broken images of a build cache",
    load: () => import("./verbs/check.ts"),
  },
  {
    name: "index",
    aliases: ["update-index", "rebuild-index"],
    summary: "update the index of a build cache",
    load: () => import("./verbs/index.ts"),
  },
  {
    name: "why-miss",
    summary: "explain why a spec would not be installed from a cache",
    load: () => import("./verbs/why-miss.ts"),
  },
  {
    name: "download",
    summary: "download the archive and spec file of a spec",
    load: () => import("./verbs/download.ts"),
  },
  {
    name: "diff",
    summary: "show what changed between two images, caches or lock files",
    load: () => import("./verbs/diff.ts"),
  },
  {
    name: "prune",
    summary: "remove specs and blobs that a build cache no longer needs",
    load: () => import("./verbs/prune.ts"),
  },
  { name: "find", summary: "show what is installed in a Spack store", load: () => import("./verbs/find.ts") },
  { name: "spec", summary: "show a concrete spec as a tree", load: () => import("./verbs/spec.ts") },
  {
    name: "preview",
    summary: "show what relocation would change, and the longest possible root",
    load: () => import("./verbs/preview.ts"),
  },
  {
    name: "name",
    aliases: ["get-buildcache-name"],
    summary: "print the name of a spec in a build cache",
    load: () => import("./verbs/name.ts"),
  },
  {
    name: "save-specfile",
    aliases: ["save-yaml"],
    summary: "write spec files for a spec and its dependencies",
    load: () => import("./verbs/save-specfile.ts"),
  },
  {
    name: "run",
    summary: "run a program from a build cache, without Spack",
    load: () => import("./verbs/run.ts"),
  },
  {
    name: "shell",
    summary: "start a shell with specs of a build cache",
    load: () => import("./verbs/shell.ts"),
  },
  {
    name: "env",
    summary: "print shell commands that make installed specs usable",
    load: () => import("./verbs/env.ts"),
  },
  { name: "view", summary: "make one tree of links to installed specs", load: () => import("./verbs/view.ts") },
  {
    name: "verify",
    summary: "check installed files, or the signatures of images",
    load: () => import("./verbs/verify.ts"),
  },
  {
    name: "uninstall",
    summary: "remove installed specs from a Spack store",
    load: () => import("./verbs/uninstall.ts"),
  },
  {
    name: "relocate",
    summary: "update the paths in a tree that was moved",
    load: () => import("./verbs/relocate.ts"),
  },
  {
    name: "config",
    summary: "show the Spack configuration that stave found, and where",
    load: () => import("./verbs/config.ts"),
  },
  {
    name: "check-run",
    summary: "check whether the programs of an image will start",
    load: () => import("./verbs/check-run.ts"),
  },
  {
    name: "size",
    summary: "show where the bytes of an image are",
    load: () => import("./verbs/size.ts"),
  },
  {
    name: "sbom",
    summary: "print a bill of materials of an image or of specs",
    load: () => import("./verbs/sbom.ts"),
  },
  {
    name: "export",
    summary: "write an image as an archive for docker, podman or Apptainer",
    load: () => import("./verbs/export.ts"),
  },
  {
    name: "rebase",
    summary: "put a pushed image onto another base image",
    load: () => import("./verbs/rebase.ts"),
  },
  {
    name: "image-index",
    summary: "put the images of several platforms under one tag",
    load: () => import("./verbs/image-index.ts"),
  },
  {
    name: "sync",
    summary: "copy specs from one build cache to another, of any kind",
    load: () => import("./verbs/sync.ts"),
  },
  {
    name: "migrate",
    summary: "bring a mirror of Spack 0.x to the newest layout",
    load: () => import("./verbs/migrate.ts"),
  },
  {
    name: "keys",
    summary: "show the public keys that mirrors offer, and import them",
    load: () => import("./verbs/keys.ts"),
  },
  {
    name: "gpg",
    summary: "list and trust gpg keys, and publish them in a mirror",
    load: () => import("./verbs/gpg.ts"),
  },
  {
    name: "copy",
    aliases: ["cp"],
    summary: "copy an image between registries and directories",
    load: () => import("./verbs/copy.ts"),
  },
  {
    name: "tags",
    aliases: ["ls"],
    summary: "list the tags of a repository",
    load: () => import("./verbs/tags.ts"),
  },
  { name: "tag", summary: "give an image more tags in its repository", load: () => import("./verbs/tag.ts") },
  {
    name: "delete",
    aliases: ["rm"],
    summary: "remove tags or manifests from a repository",
    load: () => import("./verbs/delete.ts"),
  },
  { name: "digest", summary: "print the digest of an image", load: () => import("./verbs/digest.ts") },
  {
    name: "manifest",
    summary: "fetch the manifest of an image, unchanged",
    load: () => import("./verbs/manifest.ts"),
  },
  { name: "blob", summary: "fetch a layer or the config of an image", load: () => import("./verbs/blob.ts") },
  {
    name: "referrers",
    summary: "list what refers to an image, such as signatures",
    load: () => import("./verbs/referrers.ts"),
  },
  {
    name: "attach",
    summary: "store files as an artifact that refers to an image",
    load: () => import("./verbs/attach.ts"),
  },
  {
    name: "inspect",
    summary: "show an image: manifest, config, layers, spec",
    load: () => import("./verbs/inspect.ts"),
  },
  {
    name: "sign",
    summary: "sign an image, or the specs and the index of a cache",
    load: () => import("./verbs/sign.ts"),
  },
  {
    name: "trust",
    summary: "show, change and explain the trust policy",
    load: () => import("./verbs/trust.ts"),
  },
  { name: "keygen", summary: "make a key pair for signing", load: () => import("./verbs/keygen.ts") },
  { name: "serve", summary: "serve a directory as a registry", load: () => import("./verbs/serve.ts") },
  {
    name: "completion",
    summary: "print the completion script of a shell",
    load: () => import("./verbs/completion.ts"),
  },
  { name: "login", summary: "store credentials for a registry", load: () => import("./verbs/login.ts") },
  { name: "logout", summary: "remove the credentials for a registry", load: () => import("./verbs/logout.ts") },
];

const EPILOGUE = `
Locations:
  oci://HOST/REPO[:TAG][@DIGEST]       a registry (oci+http:// without TLS; the scheme is optional)
  oci-layout:DIR[:TAG][@DIGEST]        a directory; needs no server
  file:///DIR, s3://BUCKET/FOLDER      a mirror as Spack writes it (also gs://; https://HOST/PATH to read)

Run "stave VERB --help" for the flags and examples of a verb.`;

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
  gc: "use `stave uninstall SPEC`, or `stave prune CACHE` for a cache",
  attest: "use `cosign attest`; `stave sign` signs images",
  "generate-key-pair": "use `stave keygen`",
  pull: "use `stave copy IMAGE oci-layout:DIR:TAG`",
  backup: "use `stave copy --all-tags REPO oci-layout:DIR`",
  restore: "use `stave copy --all-tags oci-layout:DIR REPO`",
  remove: "use `stave uninstall SPEC`, `stave prune CACHE` for a cache, or `stave delete IMAGE`",
  "list-tags": "use `stave tags REPO`",
  repo: "use `stave tags REPO`",
  catalog: "name a repository: `stave tags HOST/REPO`",
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
    .description("Turns an installed Spack environment into container images and back.")
    .usage("VERB [OPTIONS] [ARGUMENTS]")
    .version(`stave ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .configureHelp({
      ...HELP_LAYOUT,
      subcommandTerm: (command) => [command.name(), ...command.aliases()].join(", "),
    })
    .addHelpText("after", EPILOGUE)
    .helpCommand("help [verb]", "show the help of a verb");
  const wanted = argv[0] === "help" ? argv[1] : argv[0];
  for (const verb of VERBS) {
    const isWanted = wanted === verb.name || verb.aliases?.includes(wanted ?? "");
    const command = isWanted ? (await verb.load()).verb(state) : new Command(verb.name).summary(verb.summary);
    program.addCommand(command.aliases(verb.aliases ?? []));
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
  const meant = /^\(Did you mean (.*)\?\)$/.exec(suggestion)?.[1];
  const isCount = code === "commander.missingArgument" || code === "commander.excessArguments";
  const hint =
    command !== undefined && isCount ? `usage: ${usageOf(command)}; \`${place} --help\` has examples` : flags;
  return new StaveError("USAGE", what, { hint: meant === undefined ? hint : `did you mean ${meant}? ${flags}` });
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

// The flags that several verbs share. One function adds each group, so that spelling and help are the same everywhere.

import { Command, Help, InvalidArgumentError, Option } from "commander";
import type { OutputOptions } from "../output/output.ts";

/** The transport flags as commander parses them. */
export interface TransportFlags {
  cacert?: string[];
  /** Folders of certificates, from Spack's configuration; there is no flag for them. */
  capath?: string[];
  cert?: string;
  keyFile?: string;
  insecureTls?: boolean;
  plainHttp?: boolean;
  retries?: number;
  timeout?: number;
  connectTimeout?: number;
  minRate?: number;
  authfile?: string;
  trace?: string;
}

/** The width of help texts: that of the terminal, else of $COLUMNS, but never too wide to read well. */
export const HELP_WIDTH: number = Math.min(100, process.stdout.columns ?? columnsOf(process.env["COLUMNS"]) ?? 100);

function columnsOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9][0-9]{1,3}$/.test(text) ? Number(text) : undefined;
}

/** The layout of help texts: below this width a description goes under its term, if there is room. */
const NARROW = 60;

/** How every help text is laid out. */
export const HELP_LAYOUT: Partial<Help> = {
  helpWidth: HELP_WIDTH,
  minWidthToWrap: 16,
  ...(HELP_WIDTH < NARROW && {
    formatItem: (term: string, _width: number, description: string, helper: Help): string => {
      const text = helper.boxWrap(description, HELP_WIDTH - 6).replaceAll(/^/gm, "      ");
      return description === "" ? `  ${term}` : `  ${term}\n${text}`;
    },
  }),
};

/** Formats the text below the flags when help is shown: wraps paragraphs, keeps indented lines. */
export function helpText(text: string): () => string {
  return () => text.split("\n\n").map(wrapped).join("\n\n");
}

function wrapped(paragraph: string): string {
  const lines = paragraph.split("\n");
  const prose = lines.filter((line) => !line.startsWith(" "));
  const lead = paragraph.startsWith("\n") ? "\n" : "";
  return [lead + new Help().boxWrap(prose.join(" ").trim(), HELP_WIDTH), ...lines.slice(prose.length)].join("\n");
}

/** Collects the values of a flag that may be repeated. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** The flag that limits a verb to the named specs or to their dependencies; `work` is the verb in the help text. */
export function onlyOption(work: string): Option {
  const text = `${work} only the named specs, or only their dependencies`;
  return new Option("--only <what>", text).choices(["package", "dependencies"]);
}

/** A verb's command with the flags of every verb; `verbose` spells that flag where `-v` means something else. */
export function verbCommand(name: string, summary: string, verbose = "-v, --verbose"): Command {
  return new Command(name)
    .summary(summary)
    .description(summary)
    .configureHelp({ showGlobalOptions: false, sortOptions: false, ...HELP_LAYOUT })
    .helpOption("-h, --help", "show this help")
    .allowExcessArguments(false)
    .option("--json", "print exactly one JSON document on stdout (its schema is schemas/VERB.json of the package)")
    .option("-q, --quiet", "print only results and errors")
    .option(verbose, "print more details")
    .option("--no-progress", "print plain lines instead of progress bars")
    .addOption(new Option("--color <when>", "use colors").choices(["auto", "always", "never"]).default("auto"));
}

/** Adds the flags of verbs that talk to a registry. */
export function addTransport(command: Command): Command {
  return command
    .optionsGroup("Registry options:")
    .option("--plain-http", "use http without TLS for any host (loopback hosts need no flag)")
    .option("--cacert <file>", "also trust the certificates in this PEM file (may be repeated)", collect)
    .option("--cert <file>", "client certificate (PEM)")
    .option("--key-file <file>", "key of the client certificate (PEM)")
    .option("--insecure-tls", "do not verify the server's certificate")
    .option("--retries <n>", "how often to retry a request", wholeNumber(0, 100), 8)
    .option(
      "--timeout <s>",
      "retry a request after this many seconds without a response or data",
      wholeNumber(1, 86_400),
      60,
    )
    .option(
      "--connect-timeout <s>",
      "seconds to wait for a connection (default: Spack's config:connect_timeout, else the timeout, at most 30)",
      wholeNumber(1, 86_400),
    )
    .option(
      "--min-rate <n>",
      "retry transfers slower than this many bytes per second; 0 for no limit",
      wholeNumber(0, 1_000_000_000),
      1024,
    )
    .option("--authfile <file>", "file to read and write credentials (default: the files of podman and docker)")
    .option("--trace <file>", "append a redacted log of every request and response to this file");
}

/** Adds the flags of verbs that read caches under a trust policy. */
export function addTrust(command: Command): Command {
  return command
    .option("--trust <file>", "the trust policy (default: $STAVE_TRUST, else ~/.config/stave/trust.json or /etc/stave)")
    .option("--insecure-no-signature-check", "do not check signatures, whatever the trust policy requires");
}

/** Adds the two words for a dry run, `--dry-run` and `--plan`; either sets `dryRun`. */
export function addDryRun(command: Command, flags: "-n, --dry-run" | "--dry-run" = "-n, --dry-run"): Command {
  return command
    .option(flags, "show what would be done, and change nothing")
    .addOption(new Option("--plan", "the same as --dry-run").implies({ dryRun: true }));
}

/** Adds `-j, --jobs`, with a help text and a default. */
export function addJobs(command: Command, text: string, fallback: number): Command {
  return command.option("-j, --jobs <n>", text, wholeNumber(1, 1024), fallback);
}

/** A parser of whole numbers between two bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[0-9]{1,15}$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}.`);
  };
}

/** The flags of a verb that talks to a registry. */
export type CommonFlags = OutputOptions & TransportFlags;

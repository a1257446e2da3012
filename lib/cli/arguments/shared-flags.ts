// The flags that several verbs share, each group added by one function, so that they are spelled the same everywhere.
import { Command, Help, InvalidArgumentError, Option } from "commander";
import type { OutputOptions } from "../output/output.ts";

/** The transport flags as commander leaves them. */
export interface TransportFlags {
  cacert?: string[];
  /** Folders of certificates; no flag, but a setting of Spack's. */
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

/** Helps are written for this many columns: no wider than can be read well, nor than the terminal. */
export const HELP_WIDTH: number = Math.min(100, process.stdout.columns ?? 100);

/** The text after the flags of a help, made when it is shown: paragraphs are wrapped, lines that are indented stay. */
export function helpText(text: string): () => string {
  return () => text.split("\n\n").map(wrapped).join("\n\n");
}

function wrapped(paragraph: string): string {
  const lines = paragraph.split("\n");
  const prose = lines.filter((line) => !line.startsWith(" "));
  const lead = paragraph.startsWith("\n") ? "\n" : "";
  return [lead + new Help().boxWrap(prose.join(" ").trim(), HELP_WIDTH), ...lines.slice(prose.length)].join("\n");
}

/** Gathers the values of a flag that may be repeated. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** The flag that leaves out specs, or what they depend on, of the `work` that is done. */
export function onlyOption(work: string): Option {
  const text = `${work} only the specs themselves, or only what they depend on`;
  return new Option("--only <what>", text).choices(["package", "dependencies"]);
}

/** A verb's command with the flags that every verb has; `verbose` spells that flag where `-v` means something else. */
export function verbCommand(name: string, summary: string, verbose = "-v, --verbose"): Command {
  return new Command(name)
    .summary(summary)
    .description(summary)
    .configureHelp({ showGlobalOptions: false, sortOptions: false, helpWidth: HELP_WIDTH })
    .helpOption("-h, --help", "show this help")
    .allowExcessArguments(false)
    .option("--json", "print exactly one JSON document on stdout")
    .option("-q, --quiet", "print nothing but results and errors")
    .option(verbose, "tell more")
    .option("--no-progress", "no progress bars, plain lines instead")
    .addOption(new Option("--color <when>", "colours").choices(["auto", "always", "never"]).default("auto"));
}

/** Adds the flags of everything that talks to a registry. */
export function addTransport(command: Command): Command {
  return command
    .optionsGroup("Registry options:")
    .option("--plain-http", "speak http without TLS to any host (loopback hosts need no flag)")
    .option("--cacert <file>", "trust the certificates in this PEM file too (may be repeated)", collect)
    .option("--cert <file>", "client certificate (PEM)")
    .option("--key-file <file>", "key of the client certificate (PEM)")
    .option("--insecure-tls", "do not check the server's certificate")
    .option("--retries <n>", "how often one request is tried again", wholeNumber(0, 100), 8)
    .option(
      "--timeout <s>",
      "seconds without an answer or a byte before a request is tried again",
      wholeNumber(1, 86_400),
      60,
    )
    .option(
      "--connect-timeout <s>",
      "seconds a connection may take to be made (default: Spack's config:connect_timeout, else 30)",
      wholeNumber(1, 86_400),
    )
    .option(
      "--min-rate <n>",
      "bytes a second below which a transfer is taken for broken; 0 allows any",
      wholeNumber(0, 1_000_000_000),
      1024,
    )
    .option("--authfile <file>", "read and write credentials here (default: podman's and docker's places)")
    .option("--trace <file>", "write a redacted log of every request and answer");
}

/** Adds the two words for a dry run, `--dry-run` and `--plan`; either sets `dryRun`. */
export function addDryRun(command: Command): Command {
  return command
    .option("-n, --dry-run", "show what would be done, and change nothing")
    .addOption(new Option("--plan", "the same as --dry-run").implies({ dryRun: true }));
}

/** Adds `-j, --jobs`. */
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

export type CommonFlags = OutputOptions & TransportFlags;

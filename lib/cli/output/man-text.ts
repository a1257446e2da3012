// Writes manual pages from the definitions of the verbs: the same texts as their help, for troff.
import type { Command, Help } from "commander";

/** The overview page: what it says beside the verbs. */
export interface ManOverview {
  readonly summary: string;
  readonly version: string;
  /** The verbs by the heading of their group. */
  readonly groups: Readonly<Record<string, readonly { readonly name: string; readonly summary: string }[]>>;
  /** What the help says below the verbs. */
  readonly epilogue: string;
  /** The error codes by exit status. */
  readonly statuses: ReadonlyMap<number, readonly string[]>;
}

/** The page `stave`. */
export function manOverview({ summary, version, groups, epilogue, statuses }: ManOverview): string {
  const lines = [
    ...heading("STAVE", version),
    ".SH NAME",
    escaped(`stave - ${plain(summary)}`),
    ".SH SYNOPSIS",
    ".B stave",
    escaped("VERB [OPTIONS] [ARGUMENTS]"),
    ".SH VERBS",
    "Each verb has a page of its own, for example",
    ".BR stave-push (1).",
  ];
  for (const [title, verbs] of Object.entries(groups)) {
    lines.push(`.SS ${escaped(title)}`);
    for (const verb of verbs) lines.push(".TP", `.B ${escaped(verb.name)}`, escaped(verb.summary));
  }
  lines.push(...paragraphs(epilogue), ".SH EXIT STATUS", ".TP", ".B 0", "success");
  lines.push(".TP", ".B 1", escaped('the answer is "no", of verbs that ask a question'));
  for (const [status, codes] of statuses) lines.push(".TP", `.B ${status}`, escaped(codes.join(" ")));
  return `${lines.join("\n")}\n`;
}

/** The page of a verb, `stave-NAME`. */
export function manPage(command: Command, version: string): string {
  const help: Help = command.createHelp();
  const name = `stave-${command.name()}`;
  const lines = [
    ...heading(name.toUpperCase(), version),
    ".SH NAME",
    escaped(`${name} - ${plain(command.description())}`),
    ".SH SYNOPSIS",
    `.B stave ${escaped(command.name())}`,
    escaped(command.usage()),
  ];
  const names = command.aliases().map((alias) => `stave ${alias}`);
  if (names.length > 0) lines.push(".PP", escaped(`Also ${names.join(", ")}.`));
  const [description, examples] = epilogueOf(command).split(/^Examples:\n/m);
  lines.push(".SH DESCRIPTION", ...paragraphs(description ?? "").filter((line, at) => line !== ".PP" || at > 0));
  const args = help.visibleArguments(command);
  if (args.length > 0) lines.push(".SH ARGUMENTS");
  for (const argument of args)
    lines.push(".TP", `.I ${escaped(help.argumentTerm(argument))}`, escaped(help.argumentDescription(argument)));
  const groups = Map.groupBy(help.visibleOptions(command), (option) => option.helpGroupHeading ?? "Options:");
  for (const [title, options] of groups) {
    lines.push(`.SH ${escaped(title.replace(/:$/, "").toUpperCase())}`);
    for (const option of options)
      lines.push(".TP", `.B ${escaped(help.optionTerm(option))}`, escaped(help.optionDescription(option)));
  }
  if (examples !== undefined) lines.push(".SH EXAMPLES", ".nf", ...examples.trimEnd().split("\n").map(escaped), ".fi");
  lines.push(".SH SEE ALSO", ".BR stave (1)");
  return `${lines.join("\n")}\n`;
}

const heading = (title: string, version: string): string[] => [
  `.TH ${escaped(title)} 1 "" "stave ${escaped(version)}" "stave"`,
  // Left-aligned and without hyphens, so that flags can be copied.
  ".ad l",
  ".nh",
];

const plain = (text: string): string => text.replace(/\.$/, "");

/** What the help prints below the flags. */
export function epilogueOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text.slice(command.helpInformation().length).trim();
}

// The help is already wrapped to some width: lines of prose are joined, indented ones stay as they are.
function paragraphs(text: string): string[] {
  return text.split(/\n{2,}/).flatMap((paragraph) => {
    const lines = paragraph.split("\n").filter((line) => line !== "");
    const prose = lines.filter((line) => !line.startsWith(" "));
    const verbatim = lines.slice(prose.length);
    return [
      ...(prose.length > 0 ? [".PP", escaped(prose.join(" "))] : []),
      ...(verbatim.length > 0 ? [".PP", ".nf", ...verbatim.map(escaped), ".fi"] : []),
    ];
  });
}

/** Text that troff prints as it is. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^([.'])/gm, "\\&$1")
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("^", "\\(ha")
    .replaceAll("~", "\\(ti")
    .replaceAll('"', "\\(dq")
    .replaceAll(/[^ -~\n]/gu, (other) => `\\[u${other.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}]`);
}

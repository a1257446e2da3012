// The text of modulefiles for Environment Modules (Tcl) and Lmod (Lua), as Spack's templates write them. Names,
// versions and values may come from a cache: they are quoted, so that no text becomes code.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { EnvModification } from "../../spack/environment/env-modifications.ts";

/** The two languages of modulefiles. */
export type ModuleKind = "tcl" | "lmod";

/** What a modulefile says. */
export interface ModuleContent {
  readonly name: string;
  readonly version: string;
  readonly target: string;
  /** The spec on one line, for a comment. */
  readonly spec: string;
  /** The paragraphs of the package's description, if its recipe is known. */
  readonly description: readonly string[];
  /** The modules of direct dependencies. */
  readonly autoload: readonly string[];
  readonly modifications: readonly EnvModification[];
  /** What the module makes visible in a hierarchy of Lmod. */
  readonly provides?: ModuleServices | undefined;
}

/** The services of a compiler or an MPI library in a hierarchy. */
export interface ModuleServices {
  readonly names: readonly string[];
  /** The folders of the modules that it unlocks. */
  readonly paths: readonly string[];
  /** The version by which other modules know it; undefined for a compiler, which they do not ask for. */
  readonly version: string | undefined;
}

/** The text of a modulefile. Throws SPEC_INVALID for a variable that no shell supports. */
export function moduleText(kind: ModuleKind, content: ModuleContent): string {
  return kind === "tcl" ? tclText(content) : luaText(content);
}

function tclText(content: ModuleContent): string {
  const { name, version, target, description, autoload } = content;
  const changes = changesOf(content);
  const loads = (command: string): string[] => autoload.map((module) => `    ${command} ${tclWord(module)}`);
  const help = [`Name   : ${name}`, `Version: ${version}`, `Target : ${target}`];
  const long = description.length === 0 ? [] : ["", ...wrapped(description.join(" "))];
  const lines = [
    ...["#%Module1.0", "## Module file created by stave", "##", `## ${comment(content.spec)}`, "##", ""],
    `module-whatis ${tcl(shortOf(content))}`,
    "",
    "proc ModulesHelp { } {",
    ...[...help, ...long].map((line) => `    puts stderr ${tcl(line)}`),
    "}",
    "",
    ...(autoload.length > 0
      ? [
          "if {![info exists ::env(LMOD_VERSION_MAJOR)]} {",
          ...loads("module load"),
          "} else {",
          ...loads("depends-on"),
          "}",
          "",
        ]
      : []),
    ...changes.map((change) => {
      if (change.op === "unset") return `unsetenv ${change.name}`;
      if (change.op === "set") return `setenv ${change.name} ${tcl(change.value)}`;
      const delimiter = change.separator === ":" ? "" : ` --delim ${tcl(change.separator)}`;
      return `${change.op}-path${delimiter} ${change.name} ${tcl(change.value)}`;
    }),
    ...(hasManpath(changes) ? ["append-path MANPATH {}"] : []),
  ];
  return `${lines.join("\n")}\n`;
}

function luaText(content: ModuleContent): string {
  const { name, version, target, description, autoload, provides } = content;
  const changes = changesOf(content);
  const facts: readonly (readonly [string, string])[] = [
    ["Name", name],
    ["Version", version],
    ["Target", target],
  ];
  const lines = [
    ...["-- -*- lua -*-", "-- Module file created by stave", "--", `-- ${comment(content.spec)}`, "--", ""],
    ...[...facts, ["Short description", shortOf(content)] as const].map(
      ([word, text]) => `whatis(${luaLong(`${word} : ${text}`)})`,
    ),
    "",
    ...facts.map(([word, text]) => `help(${luaLong(`${word.padEnd(7)}: ${text}`)})`),
    ...(description.length > 0 ? ["help()", `help(${luaLong(wrapped(description.join(" ")).join("\n"))})`] : []),
    "",
    ...(provides === undefined ? [] : luaServices(provides, content)),
    ...autoload.map((module) => `depends_on(${lua(module)})`),
    "",
    ...changes.map((change) => {
      if (change.op === "unset") return `unsetenv(${lua(change.name)})`;
      if (change.op === "set") return `setenv(${lua(change.name)}, ${lua(change.value)})`;
      return `${change.op}_path(${lua(change.name)}, ${lua(change.value)}, ${lua(change.separator)})`;
    }),
    ...(hasManpath(changes) ? ['append_path("MANPATH", "", ":")'] : []),
  ];
  return `${lines.join("\n")}\n`;
}

function luaServices({ names, paths, version }: ModuleServices, { name }: ModuleContent): string[] {
  const variables = (service: string): string[] => [
    `setenv(${lua(`LMOD_${service.toUpperCase()}_NAME`)}, ${lua(name)})`,
    `setenv(${lua(`LMOD_${service.toUpperCase()}_VERSION`)}, ${lua(version ?? "")})`,
  ];
  return [
    "-- Services provided by the package",
    ...names.map((service) => `family(${lua(service)})`),
    "",
    "-- Loading this module unlocks the path below unconditionally",
    ...paths.map((path) => `prepend_path("MODULEPATH", ${lua(path)})`),
    "",
    ...(version === undefined
      ? []
      : ["-- Set variables to notify the provider of the new services", ...names.flatMap(variables), ""]),
  ];
}

const shortOf = ({ description: [first], name, version }: ModuleContent): string =>
  first?.replaceAll('"', "'") ?? `${name} @${version}`;

type Change =
  | { readonly op: "unset"; readonly name: string }
  | { readonly op: "set"; readonly name: string; readonly value: string }
  | {
      readonly op: "prepend" | "append" | "remove";
      readonly name: string;
      readonly value: string;
      readonly separator: string;
    };

const OPERATIONS = {
  "prepend-path": "prepend",
  "append-path": "append",
  "append-flags": "append",
  "remove-path": "remove",
  "remove-flags": "remove",
} as const;

// Modulefiles have no command for the other modifications, and Spack leaves them out as well.
function changesOf({ modifications }: ModuleContent): Change[] {
  return modifications.flatMap((one): Change[] => {
    const name = one.name.replaceAll("-", "_");
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new StaveError("SPEC_INVALID", `no shell supports a variable named "${printable(one.name)}"`, {
        hint: "correct the environment of the external that names it",
      });
    if (one.op === "unset") return [{ op: "unset", name }];
    if (one.op === "set") return [{ op: "set", name, value: one.value }];
    if (!Object.hasOwn(OPERATIONS, one.op) || !("value" in one)) return [];
    return [{ op: OPERATIONS[one.op as keyof typeof OPERATIONS], name, value: one.value, separator: one.separator }];
  });
}

const hasManpath = (changes: readonly Change[]): boolean =>
  changes.some(({ op, name }) => name === "MANPATH" && (op === "prepend" || op === "append"));

/** Lines of at most 72 characters. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > 72) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

// A backslash at the end would continue a comment of Tcl on the next line.
const comment = (text: string): string => printable(text).replaceAll("\\", "/");

// In braces Tcl substitutes nothing, but braces must match, and a backslash counts before a brace or a line end.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are quoted
const PLAIN_TCL = /^[^{}\\\u0000-\u001f\u007f]*$/;
const tcl = (text: string): string => (PLAIN_TCL.test(text) ? `{${text}}` : `"${escapedTcl(text)}"`);
const escapedTcl = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are written as numbers
  text.replaceAll(/[\\"$[\]{};]/g, "\\$&").replaceAll(/[\u0000-\u001f\u007f]/g, unicode);
const unicode = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
// The name of a module is one word.
const tclWord = (text: string): string => (/^[\w./+@=:-]+$/.test(text) ? text : tcl(text));

const lua = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are written as numbers
  `"${text.replaceAll(/["\\]/g, "\\$&").replaceAll(/[\u0000-\u001f\u007f]/g, decimal)}"`;
const decimal = (character: string): string => `\\${String(character.charCodeAt(0)).padStart(3, "0")}`;
// Between long brackets nothing is special but the end.
const luaLong = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are written as numbers
  /\]|[\u0000-\u0009\u000b-\u001f\u007f]/.test(text) ? lua(text) : `[[${text}]]`;

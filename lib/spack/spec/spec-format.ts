// Spack's format strings, such as `{name}-{version}-{hash:7}`, for concrete specs (Spack `spec.py`, format and
// format_path). Attributes that need a recipe or an installation are not supported.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { familyOf } from "./microarchitecture.ts";
import { BUILD, LINK, RUN, type SpecNode, TEST, type VariantValue } from "./node.ts";
import { edgesOf, sortedEdges } from "./traversal.ts";

// Matches an escaped character, a field (sigil, ^dependency, hash or attribute, closing brace) or a lone brace.
const FIELD = /\\(.)|\{( ?[%@/]|[\w ][\w -]*=)?(?:\^([^}.]+)\.)?(?:(hash\b)(?::(\d+))?|([^}]*))(\})?|(\})/gis;

/**
 * Fills a format string from a node. An attribute without a value becomes empty, together with its sigil; an unknown
 * attribute throws CONFIG_INVALID. `{prefix}` and `{prefix.bin}` need to know prefixes.
 */
export function formatSpec(node: SpecNode, format: string, prefixOf?: PrefixOf): string {
  const wrong = (problem: string): StaveError =>
    new StaveError("CONFIG_INVALID", `the format string "${printable(format)}" is not valid: ${problem}`);
  return format
    .replace(FIELD, (_all, escaped, sigil = "", dependency, hash, length, attribute = "", closed, lone) => {
      if (escaped !== undefined) return escaped;
      if (lone !== undefined) throw wrong('a "}" has no "{" before it');
      if (closed === undefined) throw wrong('a "{" is not closed');
      const subject = dependency === undefined ? node : findDependency(node, dependency);
      if (subject === undefined) throw wrong(`${node.name} has no dependency "${printable(dependency)}"`);
      if (hash !== undefined) return sigil + subject.hash.slice(0, length === undefined ? undefined : Number(length));
      const path = attribute.toLowerCase().split(".");
      const value = path[0] === "prefix" ? prefixText(subject, attribute, prefixOf) : attributeOf(subject, path);
      if (value === undefined) throw wrong(`there is no attribute "${printable(attribute)}"`);
      // Spack writes the "none" of a spec without a compiler without a sigil.
      if (path[0] === "compiler" && compilerOf(subject) === undefined) return value;
      return value === "" ? "" : sigil + value;
    })
    .trim();
}

/** The prefix of an installed spec. */
export type PrefixOf = (node: SpecNode) => string | undefined;

// What follows a prefix are the names of folders in it.
function prefixText(node: SpecNode, attribute: string, prefixOf: PrefixOf | undefined): string | undefined {
  const prefix = prefixOf?.(node);
  return prefix === undefined ? undefined : [prefix, ...attribute.split(".").slice(1)].join("/");
}

/**
 * Fills a format string that is a relative path: each component is filled, then sanitized as a file name. Throws
 * CONFIG_INVALID for absolute paths and `..` components.
 */
export function formatPath(node: SpecNode, format: string): string {
  const wrong = (problem: string): StaveError =>
    new StaveError("CONFIG_INVALID", `the path format "${printable(format)}" is not valid: ${problem}`);
  if (format.startsWith("/")) throw wrong("it is absolute, expected a path below the store");
  const parts = format.split("/").filter((part) => part !== "" && part !== ".");
  const filled = parts.map((part) => politeFileName(formatSpec(node, part))).filter((part) => part !== "");
  if (filled.some((part) => part === ".." || part === "."))
    throw wrong('a component is "..", expected a path below the store');
  if (filled.length === 0) throw wrong("it gives an empty path");
  return filled.join("/");
}

/** Sanitizes a text as a file name: everything but letters, digits, `_`, `+`, `.` and `-` becomes `_`. */
export function politeFileName(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_+.-]/gu, "_");
}

/**
 * Finds a dependency by package or virtual name in Spack's order: direct build and test dependencies, then link and run
 * dependencies breadth first. The spec's own name gives the spec itself.
 */
export function findDependency(node: SpecNode, name: string): SpecNode | undefined {
  if (node.name === name) return node;
  for (const edge of edgesOf(node, { types: BUILD | TEST }))
    if (edge.child.name === name || edge.virtuals.includes(name)) return edge.child;
  const seen = new Set([node]);
  for (const parent of seen)
    for (const edge of edgesOf(parent, { types: LINK | RUN })) {
      if (edge.child.name === name || edge.virtuals.includes(name)) return edge.child;
      seen.add(edge.child);
    }
  return undefined;
}

/** The compiler of a node: the recorded one, else the provider of C, C++ or Fortran; undefined if there is none. */
export function compilerOf(node: SpecNode): { readonly name: string; readonly version: string } | undefined {
  if (node.compiler !== undefined) return node.compiler;
  for (const language of LANGUAGES) {
    const found = sortedEdges(node).find((edge) => edge.virtuals.includes(language));
    if (found) return found.child;
  }
  return undefined;
}

const LANGUAGES = ["c", "cxx", "fortran"];

/** A version in query syntax that matches exactly: `=1.0`; git versions are unchanged. */
export function exactVersion(version: string): string {
  return version.startsWith("git.") || version.includes("=") || /^[0-9a-f]{40}$/.test(version)
    ? version
    : `=${version}`;
}

// Returns the empty string for an attribute without a value, undefined for an unknown attribute.
function attributeOf(node: SpecNode, path: readonly string[]): string | undefined {
  const [first = "", second, third, ...more] = path;
  if (more.length > 0) return undefined;
  if (first === "variants") return variantText(node, second, third);
  if (first === "arch" || first === "architecture") return architectureOf(node, second, third);
  if (first === "target") return third === undefined ? architectureOf(node, "target", second) : undefined;
  if (first === "compiler") return third === undefined ? compilerText(node, second) : undefined;
  if (first === "compiler_flags") return third === undefined ? flagsText(node, second) : undefined;
  if (second !== undefined) return undefined;
  switch (first) {
    case "name":
      return node.name;
    case "fullname":
      return node.namespace === undefined ? node.name : `${node.namespace}.${node.name}`;
    case "namespace":
      return node.namespace ?? "";
    case "version":
      return node.version;
    case "versions":
      return exactVersion(node.version);
    case "platform":
      return node.platform;
    case "os":
      return node.os;
    case "compilers":
      return compilersText(node);
    default:
      return undefined;
  }
}

function architectureOf(node: SpecNode, part: string | undefined, detail: string | undefined): string | undefined {
  if (part === "target" && detail === "family") return familyOf(node.target);
  if (detail !== undefined && !(part === "target" && detail === "name")) return undefined;
  if (part === undefined) return `${node.platform}-${node.os}-${node.target}`;
  return part === "platform" || part === "os" || part === "target" ? node[part] : undefined;
}

function compilerText(node: SpecNode, part: string | undefined): string | undefined {
  const compiler = compilerOf(node);
  if (compiler === undefined) return "none";
  if (part === undefined) return `${compiler.name}@${exactVersion(compiler.version)}`;
  if (part === "name" || part === "version") return compiler[part];
  return part === "versions" ? exactVersion(compiler.version) : undefined;
}

function compilersText(node: SpecNode): string {
  if (node.compiler !== undefined) return ` %${node.compiler.name}@${exactVersion(node.compiler.version)}`;
  const providers = sortedEdges(node).filter((edge) => edge.virtuals.some((virtual) => LANGUAGES.includes(virtual)));
  return providers.map(({ child, virtuals }) => ` %${virtuals.join(",")}=${child.name}@${child.version}`).join("");
}

/** The compiler flags in query syntax, each kind after a space, with a trailing space if there are any. */
export function flagsText(node: SpecNode, kind?: string): string | undefined {
  if (kind !== undefined) return node.flags.get(kind)?.join(" ");
  const set = [...node.flags].filter(([, flags]) => flags.length > 0).sort(byKey);
  return set.map(([name, flags]) => ` ${name}=${quoteValue(flags.join(" "))}`).join("") + (set.length > 0 ? " " : "");
}

/** The variants in query syntax: `+a~b`, then ` key=value`; only one of them if a name is given. */
export function variantText(node: SpecNode, name?: string, part?: string): string | undefined {
  if (name !== undefined) {
    const value = node.variants.get(name);
    if (value === undefined) return undefined;
    if (part === undefined) return oneVariant(name, value);
    if (part === "name") return name;
    return part === "value" ? valueText(value) : undefined;
  }
  const all = [...node.variants].sort(byKey);
  const flags = all.filter(([, value]) => typeof value === "boolean").map(([key, value]) => oneVariant(key, value));
  const rest = all
    .filter(([, value]) => typeof value !== "boolean")
    .map(([key, value]) => ` ${oneVariant(key, value)}`);
  return [...flags, ...rest].join("");
}

function oneVariant(name: string, value: VariantValue): string {
  if (typeof value === "boolean") return `${value ? "+" : "~"}${name}`;
  if (typeof value === "string") return `${name}=${quoteValue(value)}`;
  const shown = name === "patches" ? value.map((patch) => patch.slice(0, 7)) : value;
  return `${name}:=${quoteValue(shown.join(","))}`;
}

function valueText(value: VariantValue): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "string" ? value : value.join(",");
}

// Spack `spec_parser.py`, quote_if_needed.
function quoteValue(value: string): string {
  if (/^[a-zA-Z0-9,/_.\-[\]]+$/.test(value)) return value;
  return value.includes("'") ? JSON.stringify(value) : `'${value}'`;
}

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : Number(a > b);

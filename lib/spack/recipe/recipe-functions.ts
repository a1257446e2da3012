// The functions and methods of Python and Spack that a recipe's expressions may call.
import type { NotUnderstood } from "./python-tokens.ts";
import { isThing, joinPaths, pathOf, textOf, type Value, versionUpTo } from "./recipe-values.ts";

/** What functions need of the evaluator. */
export interface Caller {
  readonly world: { kindAt(path: string): "file" | "folder" | "other" | undefined };
  wrong(reason: string): NotUnderstood;
  step(size?: number): void;
}

const TEXT_LIMIT = 64 * 1024;

/** The most items that a list may have. */
export const LIST_LIMIT = 10_000;

/** The attributes of a folder that are methods of its text, so that they are no folders below it. */
export const PREFIX_TEXT_METHODS: ReadonlySet<string> = new Set(
  (
    "capitalize casefold center count encode endswith expandtabs find format format_map index isalnum isalpha isascii " +
    "isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip " +
    "maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split " +
    "splitlines startswith strip swapcase title translate upper zfill"
  ).split(" "),
);

/** Calls a function by its dotted name. Throws NotUnderstood for others than the known ones. */
export function callFunction(
  name: string,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
  caller: Caller,
): Value {
  const wrong = (): NotUnderstood => caller.wrong(`a call of ${name}`);
  if (name.startsWith("tty.")) {
    if (!/^tty\.(?:debug|info|msg|verbose|warn)$/.test(name)) throw wrong();
    return null;
  }
  if (keywords.size > 0) throw wrong();
  const [first] = args;
  if (first === undefined) throw wrong();
  if (name === "join_path" || name === "os.path.join") {
    const parts = args.map(name === "join_path" ? textOf : pathOf);
    const [head, ...tail] = parts.filter((part) => part !== undefined);
    if (head === undefined || parts.includes(undefined)) throw wrong();
    return joinPaths(head, ...tail);
  }
  if (args.length !== 1) throw wrong();
  if (name === "str") {
    const text = textOf(first);
    if (text === undefined) throw wrong();
    return text;
  }
  if (name === "len" && (Array.isArray(first) || typeof first === "string")) return first.length;
  const path = pathOf(first);
  if (path === undefined) throw wrong();
  if (name === "Version" && /^[A-Za-z0-9_.-]+$/.test(path)) return { kind: "version", text: path };
  if (name === "Prefix") return { kind: "prefix", path };
  if (name === "os.path.isdir") return caller.world.kindAt(path) === "folder";
  if (name === "os.path.isfile") return caller.world.kindAt(path) === "file";
  if (name === "os.path.exists") return caller.world.kindAt(path) !== undefined;
  if (name === "os.path.dirname") return path.slice(0, path.lastIndexOf("/") + 1).replace(/(?<=[^/])\/+$/, "");
  if (name === "os.path.basename") return path.slice(path.lastIndexOf("/") + 1);
  throw wrong();
}

/** Calls a method of a text, folder, list or version. Throws NotUnderstood for others than the known ones. */
export function callMethod(
  owner: Value,
  name: string,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
  caller: Caller,
): Value {
  const wrong = (): NotUnderstood => caller.wrong(`a call of ${name}`);
  const [first, second] = args;
  if (isThing(owner) && owner.kind === "version") {
    const found = name === "up_to" && typeof first === "number" ? versionUpTo(owner.text, first) : undefined;
    if (found === undefined || args.length !== 1) throw wrong();
    return { kind: "version", text: found };
  }
  if (Array.isArray(owner)) {
    if (first === undefined || args.length !== 1) throw wrong();
    if (name === "append") extend(owner, [first], caller);
    else if (name === "extend" && Array.isArray(first)) extend(owner, first, caller);
    else throw wrong();
    return null;
  }
  const text = pathOf(owner);
  if (text === undefined) throw wrong();
  // A folder's `join` makes another folder, a text's joins a list.
  if (name === "join" && typeof owner !== "string") {
    if (typeof first !== "string" || args.length !== 1) throw wrong();
    return { kind: "prefix", path: joinPaths(text, first) };
  }
  if (name === "format") return formatted(text, args, keywords, wrong);
  if (keywords.size > 0) throw wrong();
  if (name === "join" && Array.isArray(first)) {
    const parts = first.map(pathOf).filter((part) => part !== undefined);
    if (parts.length !== first.length) throw wrong();
    return joined(parts, text, wrong);
  }
  const [one, other] = [first, second].map((value) => (value === undefined ? undefined : pathOf(value)));
  if (args.length === 0) {
    if (name === "lower" && isAscii(text)) return text.toLowerCase();
    if (name === "upper" && isAscii(text)) return text.toUpperCase();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: Python strips these, JavaScript does not.
    if (name === "strip" && isAscii(text) && !/[\x1c-\x1f]/.test(text)) return text.trim();
  } else if (args.length === 1 && one !== undefined) {
    if (name === "startswith") return text.startsWith(one);
    if (name === "endswith") return text.endsWith(one);
    if (name === "split" && one !== "") return text.split(one, LIST_LIMIT + 1);
  } else if (name === "replace" && args.length === 2 && one && other !== undefined)
    return joined(text.split(one), other, wrong);
  throw wrong();
}

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

/** Adds items to a list, which may be the same one. */
export function extend(list: Value[], items: readonly Value[], caller: Caller): void {
  if (list.length + items.length > LIST_LIMIT) throw caller.wrong("a list that is too long");
  caller.step(items.length);
  for (const item of [...items]) list.push(item);
}

/** A text that is not too large. */
export function bounded(text: string, wrong: () => NotUnderstood): string {
  if (text.length > TEXT_LIMIT) throw wrong();
  return text;
}

/** Texts with a separator between them. Their length is checked before they are joined. */
export function joined(texts: readonly string[], separator: string, wrong: () => NotUnderstood): string {
  const length = texts.reduce((sum, text) => sum + text.length, separator.length * Math.max(texts.length - 1, 0));
  if (length > TEXT_LIMIT) throw wrong();
  return texts.join(separator);
}

/** Passes on the parts of one text, as long as they are not too large together. */
export function taker(wrong: () => NotUnderstood): (part: string) => string {
  let left = TEXT_LIMIT;
  return (part) => {
    left -= part.length;
    if (left < 0) throw wrong();
    return part;
  };
}

// `"{0}/{name}".format(…)` without conversions, formats and attributes.
function formatted(
  format: string,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
  wrong: () => NotUnderstood,
): string {
  let next = 0;
  const take = taker(wrong);
  const text = format.replaceAll(/\{\{|\}\}|\{(\d{0,3}|[A-Za-z_]\w*)\}|[{}]/g, (whole, field?: string) => {
    if (whole === "{{") return "{";
    if (whole === "}}") return "}";
    if (field === undefined) throw wrong();
    const place = field === "" ? next++ : Number(field);
    const value = /^\d*$/.test(field) ? args[place] : keywords.get(field);
    const found = value === undefined ? undefined : textOf(value);
    if (found === undefined) throw wrong();
    return take(found);
  });
  // Python refuses a mixture of numbered and unnumbered places.
  if (next > 0 && /\{\d/.test(format)) throw wrong();
  return bounded(text, wrong);
}

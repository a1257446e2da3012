// Reads YAML 1.2 as Spack's configuration uses it (ruamel's type rules), with limits on size, depth and alias
// expansion. Every value carries its file, line and column. The meaning of values is left to lib/spack/config.
import { isAbsolute } from "node:path";
import {
  Composer,
  type CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { JsonObject, JsonValue } from "./json-value.ts";

/** The position of a value. Line and column count from 1; both are 0 for values that come from no file. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** How a key combines with lower scopes: merge, `key::` (replace), `key+:` (prepend) or `key-:` (append). */
export type Joining = "merge" | "override" | "prepend" | "append";

/** A scalar with its value and its original text. */
export interface YamlScalar {
  readonly kind: "scalar";
  readonly value: null | boolean | number | string;
  /** The text as written: as a number, `1.10` would lose its zero. */
  readonly text: string;
  readonly place: Place;
}
/** A sequence. */
export interface YamlList {
  readonly kind: "list";
  readonly items: readonly YamlNode[];
  readonly place: Place;
}
/** A mapping. */
export interface YamlMap {
  readonly kind: "map";
  /** Entries by key, in the order of the file. A Map, so that `__proto__` and `10` are ordinary keys. */
  readonly entries: ReadonlyMap<string, YamlEntry>;
  readonly place: Place;
}
/** Any YAML value. */
export type YamlNode = YamlScalar | YamlList | YamlMap;

/** One entry of a mapping: its value, and how its key combines with lower scopes. */
export interface YamlEntry {
  readonly joining: Joining;
  readonly value: YamlNode;
  /** The place of the key. */
  readonly place: Place;
}

/** The default size limit of a YAML file, in bytes. */
export const YAML_LIMIT: number = 2 * 1024 * 1024;
/** The deepest nesting of lists and mappings that is accepted. */
export const YAML_DEPTH_LIMIT = 100;
/**
 * Maximum number of tokens of a file, counted by separators and opening brackets: the parser takes two kilobytes for
 * each.
 */
export const YAML_PART_LIMIT = 200_000;
const SEPARATOR = /[\n,[{]|[-?:](?=\s)/g;
/** Maximum number of values of a file after alias expansion. */
export const YAML_VALUE_LIMIT = 1_000_000;

/** The error for a configuration value: CONFIG_INVALID with file, line and column in front. */
export function configError(place: Place, message: string, hint?: string): StaveError {
  return new StaveError("CONFIG_INVALID", `${formatPlace(place)}: ${message}`, {
    subject: place.file,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** A place in compiler style: `file:line:column`, or the name alone for a whole file and for values from no file. */
export function formatPlace({ file, line, column }: Place): string {
  return line > 0 && isAbsolute(file) ? `${file}:${line}:${column}` : file;
}

/** The place of a whole file. */
export const wholeFile = (file: string): Place => ({ file, line: 0, column: 0 });

/**
 * Parses one YAML document; undefined if it holds only comments. A string that ends in `:` loses the colon; as a key it
 * overrides lower scopes, as in Spack's `util/spack_yaml.py`. Throws TOO_LARGE, or CONFIG_INVALID with the place.
 */
export function parseYaml(text: string, file: string, limit: number = YAML_LIMIT): YamlNode | undefined {
  if (Buffer.byteLength(text) > limit)
    throw new StaveError("TOO_LARGE", `${file} is larger than the limit of ${limit} bytes for YAML`, {
      subject: file,
    });
  if (hasMoreParts(text, YAML_PART_LIMIT))
    throw new StaveError("TOO_LARGE", `${file} has more than ${YAML_PART_LIMIT} parts, which is the limit for YAML`, {
      subject: file,
    });
  return new Reader(text, file).read();
}

function hasMoreParts(text: string, most: number): boolean {
  let parts = 0;
  for (SEPARATOR.lastIndex = 0; parts <= most && SEPARATOR.test(text); ) parts++;
  return parts > most;
}

/** Converts to plain JSON: objects without a prototype, keys in JavaScript's order. */
export function toJson(node: YamlNode): JsonValue {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(toJson);
  const out: JsonObject = Object.create(null);
  for (const [key, entry] of node.entries) out[key] = toJson(entry.value);
  return out;
}

/** The value at a path of keys; undefined where a key is missing or its parent is not a mapping. */
export function nodeAt(node: YamlNode | undefined, ...path: string[]): YamlNode | undefined {
  let at = node;
  for (const key of path) at = at?.kind === "map" ? at.entries.get(key)?.value : undefined;
  return at;
}

// The implicit types of YAML 1.2 as in ruamel.yaml (resolver.py); dates stay strings.
const BOOLEAN = /^(?:true|True|TRUE|false|False|FALSE)$/;
const INTEGER = /^[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$/;
const FLOAT = /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*)$/;
const NULL = /^(?:~|null|Null|NULL|)$/;
const STANDARD_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/;

/** The value of an unquoted scalar. */
export function plainValue(text: string): YamlScalar["value"] {
  if (NULL.test(text)) return null;
  if (BOOLEAN.test(text)) return text.toLowerCase() === "true";
  const digits = text.replaceAll("_", "");
  if (INTEGER.test(text)) {
    const [, sign = "", number = ""] = /^([-+]?)(.*)$/.exec(digits) ?? [];
    const value = Number(sign === "-" ? -Number(number) : Number(number));
    return Number.isSafeInteger(value) ? value : text;
  }
  if (FLOAT.test(text)) return Number(digits);
  return text;
}

// The parser's stack at the depth limit: the document, its collections and a scalar.
const MOST_OPEN = YAML_DEPTH_LIMIT + 3;
const TOO_DEEP = `values are nested more than ${YAML_DEPTH_LIMIT} levels deep`;

// A value, its number of values after alias expansion, and the number of levels below it.
interface Made {
  readonly node: YamlNode;
  readonly weight: number;
  readonly height: number;
}

class Reader {
  readonly #lines = new LineCounter();
  readonly #text: string;
  readonly #file: string;
  readonly #anchors = new Map<string, Made | "open">();

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  read(): YamlNode | undefined {
    // Duplicates are checked here: the composer compares every key with every other.
    const composer = new Composer({ schema: "failsafe", uniqueKeys: false, prettyErrors: false, version: "1.2" });
    const documents = [...composer.compose(this.#tokens())].filter(
      (document, at) => at === 0 || document.contents !== null || document.errors.length > 0,
    );
    const [document, second] = documents;
    const problem = documents.flatMap((one) => one.errors)[0];
    if (problem) throw this.#error(problem.pos[0], describe(problem.message));
    if (!document || document.contents === null) return undefined;
    if (second) throw this.#error(second.range[0], "a second document starts here, expected one document in a file");
    if (document.directives?.yaml.explicit && document.directives.yaml.version !== "1.2")
      throw this.#error(0, `the file declares YAML ${document.directives.yaml.version}, expected 1.2`);
    const { node } = this.#node(document.contents, 0);
    return node.kind === "scalar" && node.value === null ? undefined : node;
  }

  // The parser's own loop, but bounded by the depth limit: the parser recurses, and each level slows every token.
  *#tokens(): Generator<CST.Token> {
    const parser = new Parser(this.#lines.addNewLine);
    this.#lines.addNewLine(0);
    for (const lexeme of new Lexer().lex(this.#text)) {
      yield* parser.next(lexeme);
      if (parser.stack.length > MOST_OPEN) throw this.#error(parser.offset, TOO_DEEP);
    }
    yield* parser.end();
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  #error(offset: number, message: string): StaveError {
    return configError(this.#place(offset), message);
  }

  // Aliases share their node, so an alias bomb costs no memory here. Weight and height protect later walks.
  #node(source: unknown, depth: number): Made {
    if (isAlias(source)) {
      const target = this.#anchors.get(source.source);
      const offset = source.range?.[0] ?? 0;
      if (target === "open") throw this.#error(offset, `the alias *${source.source} is inside its own anchor`);
      if (!target) throw this.#error(offset, `the alias *${source.source} has no anchor before it`);
      if (depth + target.height > YAML_DEPTH_LIMIT) throw this.#error(offset, TOO_DEEP);
      return target;
    }
    if (!isScalar(source) && !isSeq(source) && !isMap(source)) {
      const node: YamlScalar = { kind: "scalar", value: null, text: "", place: this.#place(0) };
      return { node, weight: 1, height: 0 };
    }
    const offset = source.range?.[0] ?? 0;
    if (depth > YAML_DEPTH_LIMIT) throw this.#error(offset, TOO_DEEP);
    const tag = source.tag;
    if (tag !== undefined && tag !== "!" && !STANDARD_TAG.test(tag))
      throw this.#error(offset, `the tag ${tag} is not supported, expected plain values`);
    if (source.anchor !== undefined) this.#anchors.set(source.anchor, "open");
    const made = this.#made(source, offset, depth);
    if (made.weight > YAML_VALUE_LIMIT)
      throw this.#error(offset, `aliases expand this to more than ${YAML_VALUE_LIMIT} values`);
    if (source.anchor !== undefined) this.#anchors.set(source.anchor, made);
    return made;
  }

  #made(source: Scalar | YAMLSeq | YAMLMap, offset: number, depth: number): Made {
    if (isScalar(source)) return { node: this.#scalar(source, offset), weight: 1, height: 0 };
    return isSeq(source) ? this.#list(source.items, offset, depth) : this.#map(source, offset, depth);
  }

  #scalar(source: Scalar, offset: number): YamlScalar {
    const raw = String(source.value ?? "");
    const tag = source.tag === undefined ? undefined : STANDARD_TAG.exec(source.tag)?.[1];
    const plain = source.type === "PLAIN" || source.type === undefined;
    const typed = tag !== "str" && source.tag !== "!" && (plain || tag !== undefined);
    let value = typed ? plainValue(raw) : raw;
    // Spack strips the colon from any string that ends in one and treats it as an override marker.
    if (typeof value === "string" && overrides(value)) value = value.slice(0, -1);
    return { kind: "scalar", value, text: raw, place: this.#place(offset) };
  }

  #list(sources: readonly unknown[], offset: number, depth: number): Made {
    let [weight, height] = [1, 0];
    const items = sources.map((source) => {
      const item = this.#node(source, depth + 1);
      weight += item.weight;
      height = Math.max(height, item.height + 1);
      return item.node;
    });
    return { node: { kind: "list", items, place: this.#place(offset) }, weight, height };
  }

  #map(source: YAMLMap, offset: number, depth: number): Made {
    const entries = new Map<string, YamlEntry>();
    const merged: { node: YamlNode; offset: number }[] = [];
    let [weight, height] = [1, 0];
    for (const pair of source.items) {
      const key = this.#node(pair.key, depth + 1).node;
      const at = rangeStart(pair.key) ?? offset;
      const value = this.#node(pair.value, depth + 1);
      weight += value.weight + 1;
      height = Math.max(height, value.height + 1);
      if (key.kind !== "scalar") throw this.#error(at, `a ${key.kind} is used as a key, expected text`);
      if (key.value === "<<" && isScalar(pair.key) && pair.key.type === "PLAIN") {
        merged.push({ node: value.node, offset: at });
        continue;
      }
      const override = overrides(key.text);
      const name = override ? key.text.slice(0, -1) : key.text;
      const first = entries.get(name);
      if (first)
        throw this.#error(at, `the key ${printable(name.slice(0, 80))} was already given in line ${first.place.line}`);
      const place = this.#place(at);
      entries.set(name, { joining: override ? "override" : "merge", value: placed(value.node, place), place });
    }
    for (const { node, offset: at } of merged)
      for (const from of node.kind === "list" ? node.items : [node]) {
        if (from.kind !== "map") throw this.#error(at, `<< merges a ${from.kind}, expected a mapping`);
        for (const [name, entry] of from.entries) if (!entries.has(name)) entries.set(name, entry);
      }
    return { node: { kind: "map", entries, place: this.#place(offset) }, weight, height };
  }
}

const overrides = (text: string): boolean => text.endsWith(":") && text.length > 0 && !text.includes("@");

// A key without a value takes the place of the key.
const placed = (node: YamlNode, place: Place): YamlNode =>
  node.kind === "scalar" && node.text === "" && node.value === null ? { ...node, place } : node;

function rangeStart(source: unknown): number | undefined {
  return isScalar(source) || isSeq(source) || isMap(source) || isAlias(source) ? source.range?.[0] : undefined;
}

// Reduces a parser message to one line that starts in lower case.
function describe(message: string): string {
  const line = printable((message.split("\n")[0] ?? message).slice(0, 200)).replace(/:$/, "");
  return line.charAt(0).toLowerCase() + line.slice(1);
}

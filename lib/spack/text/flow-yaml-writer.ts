// Writes one-line YAML with exactly the bytes of Spack's YAML writer (ruamel.yaml 0.17, flow style, no line folding):
// the text is part of an archive's digest. This file does not read YAML.

/** A value that can be written. Strings may hold lone surrogates, which stand for bytes that are not UTF-8. */
export type FlowValue = string | boolean | readonly FlowValue[] | ReadonlyMap<string, FlowValue>;

/** Writes a value as a flow collection, followed by a newline. */
export function writeFlowYaml(value: FlowValue): string {
  return `${flow(value)}\n`;
}

function flow(value: FlowValue): string {
  if (typeof value === "string") return flowScalar(value);
  if (typeof value === "boolean") return String(value);
  if (value instanceof Map) {
    const pairs = Array.from(value, ([key, member]: [string, FlowValue]) => `${flowScalar(key)}: ${flow(member)}`);
    return `{${pairs.join(", ")}}`;
  }
  return `[${Array.from(value as readonly FlowValue[], flow).join(", ")}]`;
}

/** A string inside a flow collection: plain, single-quoted or double-quoted. */
export function flowScalar(text: string): string {
  const isSpecial = SPECIAL.test(text);
  if (!isSpecial && isPlain(text)) return text;
  if (isSpecial || text.includes("'") || BREAK_AND_SPACE.test(text)) return doubleQuoted(text);
  return `'${text}'`;
}

// Characters that need double quotes: control characters, DEL, C1 except NEL, surrogates, U+FEFF, U+FFFE, U+FFFF.
const SPECIAL = /[[\p{Cc}\p{Cs}\ufeff\ufffe\uffff]--[\x85]]/v;
// Unicode line breaks beside spaces would be folded.
const BREAK_AND_SPACE = /[\x85\u2028\u2029] | [\x85\u2028\u2029]/;

function isPlain(text: string): boolean {
  return text !== "" && !INDICATOR.test(text) && !EDGE_OR_BREAK.test(text) && !isOtherType(text);
}

const INDICATOR =
  /^(?:---|\.\.\.|[#&*!|>'"%@`]|[?:]$|-(?:$|[ \x85\u2028\u2029]))|[,[\]{}]|(?!^):(?:$|[ \x85\u2028\u2029])|[ \x85\u2028\u2029]#/;
const EDGE_OR_BREAK = /^ | $|[\x85\u2028\u2029]/;

// Plain text that a YAML 1.2 reader would not read as a string.
const OTHER_TYPES: readonly RegExp[] = [
  /^(?:true|True|TRUE|false|False|FALSE|~|null|Null|NULL|=|<<)$/,
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+)$/,
  /^(?:[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
  /^(?:[-+]0b[01_]+|0b[01_]+|[-+]?0o?[0-7_]+|[-+][0-9_]+|[0-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+)$/,
  /^[0-9]{4}-(?:[0-9]{2}-[0-9]{2}|[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$/,
];

function isOtherType(text: string): boolean {
  return /^[-+.0-9~=<tTfFnN]/.test(text) && OTHER_TYPES.some((type) => type.test(text));
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\0", "0"],
  ["\x07", "a"],
  ["\b", "b"],
  ["\t", "t"],
  ["\n", "n"],
  ["\v", "v"],
  ["\f", "f"],
  ["\r", "r"],
  ["\x1b", "e"],
  ['"', '"'],
  ["\\", "\\"],
  ["\x85", "N"],
  ["\u2028", "L"],
  ["\u2029", "P"],
]);

// Double-quoted strings also escape characters beyond the basic plane.
const ESCAPED = /["\\\p{Cc}\p{Cs}\u2028\u2029\ufeff\ufffe\uffff\u{10000}-\u{10ffff}]/gu;

function doubleQuoted(text: string): string {
  const body = text.replace(ESCAPED, (char) => {
    const known = ESCAPES.get(char);
    if (known !== undefined) return `\\${known}`;
    const code = char.codePointAt(0) ?? 0;
    const hex = code.toString(16).toUpperCase();
    if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
    return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
  return `"${body}"`;
}

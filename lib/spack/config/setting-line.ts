// Parses one setting, `section:key:key:value`, as for Spack's `-c` (`config.py`, ConfigPath).
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { type Joining, parseYaml, wholeFile, type YamlNode } from "../text/yaml.ts";

const ORIGIN = wholeFile("command line");
const ELEMENT = /("[^"]+"|'[^']+'|[^:'"]+)(?=:|$)/y;
const SEPARATOR = /:+/y;

/**
 * Parses a setting into a mapping of one section. A key may be quoted and may end in a merge marker: `key::` replaces,
 * `key+:` prepends, `key-:` appends. The value is YAML, or text if quoted. Where `isList` says that the path holds a
 * list, a scalar becomes a list of one. Throws USAGE.
 */
export function settingNode(setting: string, isList: (path: string) => boolean): YamlNode {
  const elements = split(setting);
  const last = elements.pop();
  if (!last || elements.length === 0 || last.separator !== "")
    throw usage(setting, "it has no value, expected `section:key:value`");
  let node = valueNode(setting, last.text);
  const keys = elements.map(keyOf);
  if (node.kind !== "list" && isList(keys.map(({ name }) => name).join(":")))
    node = { kind: "list", items: [node], place: ORIGIN };
  for (const { name, joining } of keys.reverse())
    node = { kind: "map", entries: new Map([[name, { joining, value: node, place: ORIGIN }]]), place: ORIGIN };
  return node;
}

interface Element {
  readonly text: string;
  readonly separator: string;
}

// Text that cannot be a key, such as a bracketed list with quotes, starts the value.
function split(setting: string): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < setting.length; ) {
    ELEMENT.lastIndex = SEPARATOR.lastIndex = at;
    const text = ELEMENT.exec(setting)?.[1] ?? setting.slice(at);
    SEPARATOR.lastIndex = at + text.length;
    const separator = SEPARATOR.exec(setting)?.[0] ?? "";
    elements.push({ text, separator });
    at += text.length + separator.length;
    if (text === "" && separator === "") break;
  }
  return elements;
}

const JOINING_MARKS: ReadonlyMap<string, Joining> = new Map([
  ["+", "prepend"],
  ["-", "append"],
]);

function keyOf({ text, separator }: Element): { name: string; joining: Joining } {
  const mark = text.at(-1);
  const marked = (mark === undefined ? undefined : JOINING_MARKS.get(mark)) ?? "merge";
  const joining = separator.length > 1 ? "override" : marked;
  const bare = mark === "+" || mark === "-" ? text.slice(0, -1) : text;
  return { name: unquoted(bare) ?? bare, joining };
}

function valueNode(setting: string, text: string): YamlNode {
  const quoted = unquoted(text);
  if (quoted !== undefined) return { kind: "scalar", value: quoted, text: quoted, place: ORIGIN };
  try {
    return parseYaml(text, ORIGIN.file) ?? { kind: "scalar", value: null, text: "", place: ORIGIN };
  } catch (cause) {
    throw usage(setting, "its value is not valid YAML", cause);
  }
}

const unquoted = (text: string): string | undefined => /^(["'])(.*)\1$/s.exec(text)?.[2];

function usage(setting: string, problem: string, cause?: unknown): StaveError {
  return new StaveError("USAGE", `the setting ${printable(setting)} cannot be used: ${problem}`, { cause });
}

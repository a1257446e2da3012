// Reads the YAML that programs write in one line of braces, as Spack does for its build infos: lists of thousands of names, for
// which the general parser takes a hundred times as long. It knows plain words and simple quotes, and gives up on anything else.
import { plainValue, wholeFile, YAML_VALUE_LIMIT, type YamlEntry, type YamlNode, type YamlScalar } from "./yaml.ts";

const DEEPEST = 8;
// A colon or blank inside a word is a part of it when a word goes on behind it.
const WORD = /[A-Za-z0-9_./](?:[A-Za-z0-9_./@%+=~^-]|(?::+| )(?=[A-Za-z0-9_./]))*/y;
const QUOTED = /'([ -&(-~]*)'(?!')/y;

/**
 * Parses a text of one flow mapping or list; undefined for what may mean anything else than it seems, or nothing, so that the
 * general parser has to decide. Every value has the whole file for its place.
 */
export function readFlowYaml(text: string, file: string): YamlNode | undefined {
  const reader = new FlowReader(text, file);
  const node = /^[{[]/.test(text) ? reader.value(0) : undefined;
  return reader.isAtEnd ? node : undefined;
}

class FlowReader {
  readonly #text: string;
  readonly #place: YamlNode["place"];
  #at = 0;
  #values = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#place = wholeFile(file);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length || (this.#at === this.#text.length - 1 && this.#text.endsWith("\n"));
  }

  value(depth: number): YamlNode | undefined {
    if (depth > DEEPEST || ++this.#values > YAML_VALUE_LIMIT) return undefined;
    if (this.#skip("{")) return this.#map(depth);
    return this.#skip("[") ? this.#list(depth) : this.#scalar();
  }

  #map(depth: number): YamlNode | undefined {
    const entries = new Map<string, YamlEntry>();
    const place = this.#place;
    if (this.#skip("}")) return { kind: "map", entries, place };
    do {
      const key = this.#scalar()?.text;
      // The colon that says how a key joins others would follow at once.
      if (key === undefined || entries.has(key) || !this.#skip(": ")) return undefined;
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      entries.set(key, { joining: "merge", value, place });
    } while (this.#skip(", "));
    return this.#skip("}") ? { kind: "map", entries, place } : undefined;
  }

  #list(depth: number): YamlNode | undefined {
    const items: YamlNode[] = [];
    if (this.#skip("]")) return { kind: "list", items, place: this.#place };
    do {
      const item = this.value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
    } while (this.#skip(", "));
    return this.#skip("]") ? { kind: "list", items, place: this.#place } : undefined;
  }

  #scalar(): YamlScalar | undefined {
    const quoted = this.#match(QUOTED)?.[1];
    // Such a text would lose its colon.
    if (quoted?.endsWith(":")) return undefined;
    if (quoted !== undefined) return { kind: "scalar", value: quoted, text: quoted, place: this.#place };
    const text = this.#match(WORD)?.[0];
    return text === undefined ? undefined : { kind: "scalar", value: plainValue(text), text, place: this.#place };
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at = pattern.lastIndex;
    return match;
  }

  #skip(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }
}

// A fast reader for one-line flow YAML, which Spack writes as build info: lists of thousands of names, for which the
// general parser takes a hundred times as long. It handles plain words and simple quotes and gives up on anything else.
import { plainValue, wholeFile, YAML_VALUE_LIMIT, type YamlEntry, type YamlNode, type YamlScalar } from "./yaml.ts";

const DEEPEST = 8;
// A colon or space belongs to the word if more word characters follow it.
const WORD = /[A-Za-z0-9_./](?:[A-Za-z0-9_./@%+=~^-]|(?::+| )(?=[A-Za-z0-9_./]))*/y;
const QUOTED = /'([ -&(-~]*)'(?!')/y;

/**
 * Parses a text that is one flow mapping or list. Returns undefined for anything ambiguous or unknown; the general
 * parser decides then. The place of every value is the whole file.
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
      // A key's merge marker would be a colon directly behind it.
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
    // The general parser strips such a colon.
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

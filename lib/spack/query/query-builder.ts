// Builds one node of a query from its tokens.
import { printable } from "../../printable/printable.ts";
import { ANY, type FlagsQuery, type QueryHost, type SpecQuery, type VariantQuery } from "./query.ts";
import type { Token } from "./spec-lexer.ts";
import { parseVersions, type VersionList } from "./version-range.ts";

const FLAG_KINDS = new Set(["cflags", "cxxflags", "cppflags", "fflags", "ldflags", "ldlibs"]);
// Names that cannot be propagated (Spack `variant.py`, RESERVED_NAMES).
const RESERVED = new Set(
  "arch architecture branch commit dev_path namespace operating_system os patches platform ref tag target".split(" "),
);
const HOST_WORDS = new Set(["frontend", "fe", "backend", "be"]);

/** Collects the tokens of a node and reports those that it cannot accept. */
export class NodeBuilder {
  readonly #host: QueryHost | undefined;
  readonly #name: string | undefined;
  #namespace: string | undefined;
  #versions: VersionList | undefined;
  readonly #variants = new Map<string, VariantQuery>();
  readonly #flags = new Map<string, FlagsQuery[]>();
  readonly #arch = new Map<"platform" | "os" | "target", string>();
  #hash: string | undefined;

  /** The name may include a namespace; `*` means no name. */
  constructor(name: string | undefined, host: QueryHost | undefined) {
    this.#host = host;
    const dot = name?.lastIndexOf(".") ?? -1;
    this.#name = name === "*" ? undefined : name?.slice(dot + 1);
    if (dot > 0) this.#namespace = name?.slice(0, dot);
  }

  /** True if a hash was added. */
  get hasHash(): boolean {
    return this.#hash !== undefined;
  }

  /** Adds a token. Returns "foreign" if it does not belong to a node, otherwise the problem with it, if any. */
  take(token: Token): string | undefined {
    if (token.kind === "version") return this.#version(token.text.slice(1));
    if (token.kind === "boolean") return this.#boolean(token.text);
    if (token.kind === "value" && token.pair) return this.#pair(token.pair);
    if (token.kind !== "hash") return "foreign";
    this.#hash = token.text.slice(1);
    return undefined;
  }

  /** The query from all tokens so far. */
  build(): SpecQuery {
    return {
      ...ANY,
      name: this.#name,
      namespace: this.#namespace,
      versions: this.#versions,
      variants: this.#variants,
      flags: this.#flags,
      platform: this.#arch.get("platform"),
      os: this.#arch.get("os"),
      target: this.#arch.get("target"),
      hash: this.#hash,
    };
  }

  #version(text: string): string | undefined {
    if (this.#versions) return "a spec cannot have several versions; write a list with commas";
    // White space inside a version list is ignored.
    this.#versions = parseVersions(text.replace(/\s+/g, ""));
    return undefined;
  }

  #boolean(text: string): string | undefined {
    const sign = text.charAt(0);
    const propagated = text.charAt(1) === sign;
    const name = text.slice(propagated ? 2 : 1).trim();
    if (propagated && RESERVED.has(name)) return `${name} cannot be propagated`;
    return this.#variant(name, { value: sign === "+", exact: true, propagated });
  }

  #variant(name: string, variant: VariantQuery): string | undefined {
    if (this.#variants.has(name)) return `the variant ${printable(name)} is given twice`;
    this.#variants.set(name, variant);
    return undefined;
  }

  #pair({ key, sign, value }: { key: string; sign: string; value: string }): string | undefined {
    const propagated = sign.endsWith("==");
    if (propagated && RESERVED.has(key)) return `${key} cannot be propagated`;
    if (key === "arch" || key === "architecture") return this.#architecture(value);
    if (key === "platform" || key === "target") return this.#setArch(key, value);
    if (key === "os" || key === "operating_system") return this.#setArch("os", value);
    if (key === "namespace") {
      this.#namespace = value;
      return undefined;
    }
    if (FLAG_KINDS.has(key)) {
      if (value.trim() !== "") this.#flags.set(key, [...(this.#flags.get(key) ?? []), { text: value, propagated }]);
      return undefined;
    }
    const word = value.toLowerCase();
    if (word === "true" || word === "false")
      return this.#variant(key, { value: word === "true", exact: true, propagated });
    if (value === "*") return this.#variant(key, { value: undefined, exact: false, propagated });
    return this.#variant(key, { value: value.split(","), exact: sign.startsWith(":"), propagated });
  }

  #architecture(value: string): string | undefined {
    const [platform = "", os, target, more] = value.split("-", 4);
    if (os === undefined || target === undefined || more !== undefined) return this.#setArch("target", value);
    return this.#setArch("platform", platform) ?? this.#setArch("os", os) ?? this.#setArch("target", target);
  }

  #setArch(part: "platform" | "os" | "target", value: string): string | undefined {
    if (value === "" || value === "None") return undefined;
    if (this.#arch.has(part)) return `the ${part} is given twice`;
    // No name starts like this, and it could not always be printed back: quotes cannot end in a backslash.
    if (value.startsWith("=")) return `"${printable(value)}" is not a valid ${part}`;
    if (part === "platform" || !(HOST_WORDS.has(value) || value === `default_${part}`)) {
      this.#arch.set(part, value);
      return undefined;
    }
    const host = this.#host;
    const known = host?.[part];
    if (!host || known === undefined) return `${part}=${value} means this host, whose ${part} is unknown`;
    const platform = this.#arch.get("platform");
    if (platform !== undefined && platform !== host.platform)
      return `${part}=${value} means this host, which is not ${printable(platform)}`;
    this.#arch.set("platform", host.platform);
    this.#arch.set(part, known);
    return undefined;
  }
}

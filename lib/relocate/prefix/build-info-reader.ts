// Reads `.spack/binary_distribution`, which every archive has: where it was built, and which of its files contain that
// path (Spack `binary_distribution.py`, read_buildinfo_file). It comes from the network and is not trusted.
import { isStaveError, StaveError } from "../../errors.ts";
import type { RelocatableFiles } from "../../image/archive/build-info-writer.ts";
import { BUILD_INFO } from "../../image/archive/prefix-walk.ts";
import { readFlowYaml } from "../../spack/text/flow-yaml-reader.ts";
import { nodeAt, parseYaml, type YamlNode } from "../../spack/text/yaml.ts";
import { type ByteString, bytesOfPythonText } from "../../util/byte-string.ts";
import { HeldTree } from "../../util/held-tree.ts";

/** An archive's relocation data. Paths are those of the build machine. */
export interface BuildInfo {
  /** The install root, padding included. */
  readonly root: string;
  /** The path of `sbang`; undefined in old archives. */
  readonly sbang: string | undefined;
  /** The prefix of each spec that the files may contain, by DAG hash. */
  readonly prefixes: ReadonlyMap<string, string>;
  readonly files: RelocatableFiles;
  /** Created by `buildcache create --rel`, removed in Spack 0.20: libraries may not be found. */
  readonly hasRelativeRpaths: boolean;
}

/** The largest build info that is read, in bytes: some 300 000 files. */
export const BUILD_INFO_LIMIT: number = 16 * 1024 * 1024;

/** Reads the build info of an unpacked archive. Throws NOT_FOUND, and as HeldTree.read and parseBuildInfo do. */
export function readBuildInfo(directory: string): BuildInfo {
  using tree = new HeldTree(directory);
  const path = `${directory}/${BUILD_INFO}`;
  const bytes = tree.read(BUILD_INFO, BUILD_INFO_LIMIT);
  if (bytes === undefined) throw new StaveError("NOT_FOUND", `${path} does not exist`, { subject: path });
  return parseBuildInfo(bytes, path);
}

/**
 * Parses a build info of any generation of archives. Throws CONTENT_INVALID naming `source` and the location, and
 * RELOCATION_FAILED for archives of Spack before 0.15, which do not say which spec a prefix belongs to.
 */
export function parseBuildInfo(bytes: Buffer, source: string): BuildInfo {
  const document = parse(bytes, source);
  const reader = new Fields(document, source);
  return {
    root: reader.path("buildpath") ?? reader.missing("buildpath"),
    sbang: reader.path("sbang_install_path"),
    prefixes: reader.prefixes(),
    files: {
      binaries: reader.names("relocate_binaries"),
      links: reader.names("relocate_links"),
      texts: reader.names("relocate_textfiles"),
    },
    hasRelativeRpaths: reader.text("relative_rpaths")?.toLowerCase() === "true",
  };
}

function parse(bytes: Buffer, source: string): YamlNode | undefined {
  try {
    const text = bytes.toString("utf8");
    return readFlowYaml(text, source) ?? parseYaml(text, source, BUILD_INFO_LIMIT);
  } catch (error) {
    if (!isStaveError(error, "CONFIG_INVALID")) throw error;
    throw error.with({ code: "CONTENT_INVALID", subject: source });
  }
}

// Values are taken as written: a file named `1e5` keeps its name even without quotes.
class Fields {
  readonly #document: YamlNode | undefined;
  readonly #source: string;

  constructor(document: YamlNode | undefined, source: string) {
    this.#document = document;
    this.#source = source;
    if (document?.kind !== "map") throw this.#wrong("the document", "a mapping");
  }

  text(key: string): string | undefined {
    const node = nodeAt(this.#document, key);
    if (node === undefined || (node.kind === "scalar" && node.value === null)) return undefined;
    return node.kind === "scalar" ? node.text : this.#fail(key, "a text");
  }

  path(key: string): string | undefined {
    const path = this.text(key);
    if (path !== undefined && !isPath(path)) throw this.#wrong(key, "an absolute path");
    return path;
  }

  missing(key: string): never {
    return this.#fail(key, "an absolute path");
  }

  names(key: string): ByteString[] {
    const node = nodeAt(this.#document, key);
    if (node === undefined || (node.kind === "scalar" && node.value === null)) return [];
    if (node.kind !== "list") throw this.#wrong(key, "a list");
    return node.items.map((item) => {
      if (item.kind !== "scalar" || !isNameBelow(item.text)) throw this.#wrong(key, "paths below the prefix");
      return bytesOfPythonText(item.text);
    });
  }

  // Spack 0.19 and older wrote the map in reverse; if a spec has several prefixes, the last one counts.
  prefixes(): Map<string, string> {
    const forward = this.#pairs("hash_to_prefix");
    if (forward !== undefined) return new Map(forward.map(([hash, prefix]) => [hash, this.#prefix(prefix)]));
    const backward = this.#pairs("prefix_to_hash");
    if (backward !== undefined) return new Map(backward.map(([prefix, hash]) => [hash, this.#prefix(prefix)]));
    throw new StaveError("RELOCATION_FAILED", `${this.#source} does not say which specs the prefixes belong to`, {
      subject: this.#source,
      hint: "the archive was made by a Spack that is too old; push the spec again with a newer one",
    });
  }

  #pairs(key: string): [string, string][] | undefined {
    const node = nodeAt(this.#document, key);
    if (node === undefined) return undefined;
    if (node.kind !== "map") throw this.#wrong(key, "a mapping");
    return Array.from(node.entries, ([name, { value }]) =>
      value.kind === "scalar" ? [name, value.text] : this.#fail(key, "texts"),
    );
  }

  #prefix(path: string): string {
    return isPath(path) ? path : this.#fail("hash_to_prefix", "absolute paths");
  }

  #wrong(key: string, expected: string): StaveError {
    return new StaveError(
      "CONTENT_INVALID",
      `${this.#source} is not valid: ${key} is not what it should be, expected ${expected}`,
      {
        subject: this.#source,
      },
    );
  }

  #fail(key: string, expected: string): never {
    throw this.#wrong(key, expected);
  }
}

function isPath(text: string): boolean {
  return text.startsWith("/") && !text.includes("\0") && !text.split("/").includes("..");
}

function isNameBelow(text: string): boolean {
  return !text.includes("\0") && text.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

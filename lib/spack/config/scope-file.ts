// Reads the files of configuration scopes: a folder with one file per section, or one file with many sections.
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import {
  configError,
  parseYaml,
  wholeFile,
  YAML_LIMIT,
  type YamlEntry,
  type YamlMap,
  type YamlNode,
} from "../text/yaml.ts";

/** The configuration sections of one scope, by name. */
export interface SectionSource {
  /** The section; undefined if this scope lacks it. Throws CONFIG_INVALID, TOO_LARGE, FILE_SYSTEM. */
  section(name: string): YamlEntry | undefined;
  /** The existing files that were read. */
  readonly files: ReadonlySet<string>;
}

/** A scope that is a folder: the section `mirrors` is the key `mirrors`, the only one, of `mirrors.yaml`. */
export function folderSections(folder: string): SectionSource {
  const files = new Set<string>();
  const sections = new Map<string, YamlEntry | undefined>();
  const read = (name: string): YamlEntry | undefined => {
    const file = join(folder, `${name}.yaml`);
    const content = readYamlFile(file);
    if (content === undefined) return undefined;
    files.add(file);
    const map = asMap(content, file);
    for (const [key, { place }] of map?.entries ?? [])
      if (key !== name)
        throw configError(
          place,
          `the key is ${printable(key.slice(0, 80))}, expected ${name}, the only key allowed in ${name}.yaml`,
        );
    return present(map?.entries.get(name));
  };
  return {
    files,
    section: (name) => {
      if (!sections.has(name)) sections.set(name, read(name));
      return sections.get(name);
    },
  };
}

/** A file with many sections, and what stands beside them. */
export interface FileSections extends SectionSource {
  /** What has this name at the top of the file. Throws as `section` does. */
  top(name: string): YamlEntry | undefined;
}

/** A scope that is one file with many sections, below `keys[0]` for an environment's `spack.yaml`. */
export function fileSections(file: string, ...keys: string[]): FileSections {
  const files = new Set<string>();
  let content: { readonly whole: YamlMap | undefined; readonly sections: YamlMap | undefined } | undefined;
  const read = (): NonNullable<typeof content> => {
    const node = readYamlFile(file);
    if (node === undefined) return { whole: undefined, sections: undefined };
    files.add(file);
    const whole = asMap(node, file);
    if (keys.length === 0) return { whole, sections: whole };
    const inner = keys.map((key) => whole?.entries.get(key)?.value).find((value) => value !== undefined);
    return { whole, sections: inner && asMap(inner, file) };
  };
  const once = (): NonNullable<typeof content> => {
    content ??= read();
    return content;
  };
  return {
    files,
    section: (name) => present(once().sections?.entries.get(name)),
    top: (name) => present(once().whole?.entries.get(name)),
  };
}

/** A scope whose text is built in or given on the command line. */
export function textSections(text: string, name: string): SectionSource {
  const content = parseYaml(text, name);
  return { files: new Set(), section: (section) => present(content && asMap(content, name)?.entries.get(section)) };
}

/**
 * Reads a YAML file of at most YAML_LIMIT bytes; undefined if it is missing or empty. Throws CONFIG_INVALID with the
 * place, TOO_LARGE, FILE_SYSTEM.
 */
export function readYamlFile(file: string): YamlNode | undefined {
  const bytes = readFile(file);
  if (bytes === undefined) return undefined;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new StaveError("CONFIG_INVALID", `${file} is not UTF-8 text`, { subject: file, cause });
  }
  return parseYaml(text, file);
}

/**
 * The kind of a path; undefined if nothing is there, or in a folder that this user may not enter, as for Spack's
 * `os.path.exists`: a home that belongs to another user has no configuration for this one. Sockets and pipes are a
 * `file`. Throws FILE_SYSTEM for other failures.
 */
export function pathKind(path: string): "file" | "folder" | undefined {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat && (stat.isDirectory() ? "folder" : "file");
  } catch (error) {
    if (systemCode(error) === "EACCES") return undefined;
    throw fileError(error, "look at", path);
  }
}

function readFile(file: string): Buffer | undefined {
  let handle: number;
  try {
    // Non-blocking: opening a pipe would wait for a writer forever.
    handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
    if (systemCode(error) === "EACCES" && pathKind(file) === undefined) return undefined;
    throw fileError(error, "read", file);
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile())
      throw new StaveError("CONFIG_INVALID", `${file} is not a regular file, expected a configuration file`, {
        subject: file,
      });
    if (stat.size > YAML_LIMIT)
      throw new StaveError("TOO_LARGE", `${file} has ${stat.size} bytes, expected at most ${YAML_LIMIT} for YAML`, {
        subject: file,
      });
    return readFileSync(handle);
  } catch (error) {
    throw fileError(error, "read", file);
  } finally {
    closeSync(handle);
  }
}

// Ignores a key without a value, which Spack would refuse.
function present(entry: YamlEntry | undefined): YamlEntry | undefined {
  return entry?.value.kind === "scalar" && entry.value.value === null ? undefined : entry;
}

function asMap(node: YamlNode, file: string): YamlMap | undefined {
  if (node.kind === "map") return node;
  if (node.kind === "scalar" && node.value === null) return undefined;
  throw configError(
    node.place.line > 0 ? node.place : wholeFile(file),
    `the file contains a ${node.kind}, expected a mapping of sections`,
  );
}

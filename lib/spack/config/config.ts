// The merged configuration: sections and values over all scopes, each with its file and line.

import { type Joining, nodeAt, type Place, type YamlEntry, type YamlMap, type YamlNode } from "../text/yaml.ts";
import type { Host } from "./machine.ts";
import { mergeNodes } from "./merge-values.ts";
import { type ConfigNote, type CustomScope, type EnvironmentScope, type Scope, ScopeStack } from "./scopes.ts";
import { settingNode } from "./setting-line.ts";
import type { Installation, ScopeStyle } from "./spack-installation.ts";
import { canonicalPath, type Substitutions, substitute } from "./substitute.ts";

/** Selects the scopes and settings that are read. */
export interface ConfigurationOptions {
  readonly host: Host;
  readonly installation?: Installation | undefined;
  readonly environment?: (EnvironmentScope & { readonly folder: string }) | undefined;
  /** The scopes of `-C`; the last has the highest precedence. */
  readonly custom?: readonly CustomScope[] | undefined;
  /** Single settings such as `config:install_tree:root:/store`, as for Spack's `-c`. */
  readonly settings?: readonly string[] | undefined;
}

/** Spack's configuration for one host, installation and environment. Files are read on demand. */
export class Configuration {
  readonly context: Substitutions;
  readonly style: ScopeStyle;
  readonly #stack: ScopeStack;
  readonly #merged = new Map<string, YamlNode | undefined>();

  /** Throws CONFIG_INVALID, TOO_LARGE, or FILE_SYSTEM for unreadable includes. */
  constructor(options: ConfigurationOptions) {
    const { host, installation, environment, custom = [], settings = [] } = options;
    this.context = { host, installation, environment: environment?.folder };
    this.style = installation?.style ?? "nested";
    this.#stack = new ScopeStack(this.style, this.context);
    this.#stack.addStandard(installation ? BUILTIN : SHIPPED);
    if (environment) this.#stack.addEnvironment(environment);
    this.#stack.addCustom(custom);
    if (settings.length > 0) this.#addSettings(settings);
  }

  /** The active scopes, highest precedence first. */
  get scopes(): readonly Scope[] {
    return this.#stack.active.toReversed();
  }

  /** Parts of the configuration that are ignored, and why. */
  get notes(): readonly ConfigNote[] {
    return this.#stack.notes;
  }

  /** A section merged over all scopes; undefined if no scope has it. Throws CONFIG_INVALID, TOO_LARGE, FILE_SYSTEM. */
  section(name: string): YamlNode | undefined {
    if (!this.#merged.has(name)) this.#merged.set(name, this.#merge(name));
    return this.#merged.get(name);
  }

  /** The value at `section:key:key`; undefined if unset or null. */
  get(path: string): YamlNode | undefined {
    const [section = "", ...keys] = path.split(":");
    const node = nodeAt(this.section(section), ...keys);
    return node?.kind === "scalar" && node.value === null ? undefined : node;
  }

  /** A configured path made absolute, relative to the file that contains it. */
  path(text: string, place: Place | undefined): string {
    return canonicalPath(text, place, this.context);
  }

  /** A configured text with its variables replaced. */
  substitute(text: string): string {
    return substitute(text, this.context);
  }

  #merge(name: string): YamlNode | undefined {
    let merged: YamlNode | undefined;
    for (const scope of this.#stack.active) {
      const entry = scope.content.section(name);
      if (!entry) continue;
      const value = name === "config" ? modern(entry) : entry.value;
      if (merged) this.#noteMarks(merged, value, scope.kind === "settings");
      merged = mergeNodes(merged, value, entry.joining);
    }
    return merged;
  }

  // Spack's documentation promises `key+:` and `key-:` in files too, but its reader treats them as different keys.
  #noteMarks(lower: YamlNode, higher: YamlNode, isSetting: boolean): void {
    if (isSetting || lower.kind !== "map" || higher.kind !== "map") return;
    for (const [key, { value, place }] of higher.entries) {
      const below = lower.entries.get(key)?.value;
      if (below) this.#noteMarks(below, value, isSetting);
      else if (/[+-]$/.test(key) && lower.entries.has(key.slice(0, -1)))
        this.#stack.notes.push({
          place,
          text: `the key ${key} is ignored: Spack reads \`+:\` and \`-:\` on the command line only`,
        });
    }
  }

  // Each setting is merged with those before it; a scalar for a list setting becomes an item.
  #addSettings(settings: readonly string[]): void {
    let all: YamlNode | undefined;
    const isList = (path: string): boolean =>
      nodeAt(all, ...path.split(":"))?.kind === "list" || this.get(path)?.kind === "list";
    for (const setting of settings) all = together(all, settingNode(setting, isList));
    const entries: ReadonlyMap<string, YamlEntry> = all?.kind === "map" ? all.entries : new Map();
    this.#merged.clear();
    this.#stack.addSettings({ files: new Set(), section: (name) => entries.get(name) });
  }
}

// Unlike scopes, settings keep their given order: the first projection that matches wins.
function together(first: YamlNode | undefined, next: YamlNode, joining: Joining = "merge"): YamlNode {
  if (first?.kind !== "map" || next.kind !== "map" || joining === "override") return mergeNodes(first, next, joining);
  const entries = new Map(first.entries);
  for (const [key, entry] of next.entries)
    entries.set(key, { ...entry, value: together(first.entries.get(key)?.value, entry.value, entry.joining) });
  return { ...next, entries };
}

// Older spellings in `config:` (0.x `schema/config.py`, update): `install_tree: PATH` is its root, and
// `install_path_scheme` the projection for `all`.
function modern(entry: YamlEntry): YamlNode {
  const { value: section } = entry;
  if (section.kind !== "map") return section;
  const scheme = section.entries.get("install_path_scheme");
  const tree = section.entries.get("install_tree");
  const isText = tree?.value.kind === "scalar" && typeof tree.value.value === "string";
  if (!scheme && !isText) return section;
  const map = (key: string, { value, place }: YamlEntry): YamlMap => ({
    kind: "map",
    entries: new Map([[key, { joining: "merge", value, place }]]),
    place,
  });
  let made: YamlNode | undefined = tree && (isText ? map("root", tree) : tree.value);
  if (scheme) made = mergeNodes(made, map("projections", { ...scheme, value: map("all", scheme) }));
  const entries = new Map(section.entries);
  const place = tree?.place ?? scheme?.place ?? section.place;
  if (made) entries.set("install_tree", { joining: tree?.joining ?? "merge", value: made, place });
  return { ...section, entries };
}

// Spack's fallback values if its own defaults lack a setting (`config.py`, CONFIG_DEFAULTS).
const BUILTIN = `
config:
  connect_timeout: 10
  verify_ssl: true
`;

// The relevant part of Spack's etc/spack/defaults, used if no Spack is installed.
const SHIPPED = `
config:
  install_tree:
    projections:
      all: "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}"
  connect_timeout: 30
  verify_ssl: true
  ssl_certs: $SSL_CERT_FILE
  db_lock_timeout: 60
  package_lock_timeout: null
  locks: true
  allow_sgid: true
packages:
  all:
    permissions:
      read: world
      write: user
`;

// The settings of Spack's configuration that stave uses, checked and typed, each with its place.
import { isAbsolute } from "node:path";
import * as z from "zod";
import { withoutTrailing } from "../../util/without-trailing.ts";
import { paddedRoot, systemPadding } from "../store/padding.ts";
import { DEFAULT_PROJECTIONS, type Layout, LEGACY_PROJECTIONS, type Projections } from "../store/projection.ts";
import { checked } from "../text/schema-check.ts";
import { configError, type Place, type YamlMap, type YamlNode } from "../text/yaml.ts";
import type { Configuration } from "./config.ts";
import { unresolved } from "./substitute.ts";

/** A setting and its place. */
export interface Setting<T> {
  readonly value: T;
  readonly place: Place;
}

/** The install root, and how prefixes are named. */
export interface InstallTree extends Layout {
  /** The root with its padding. */
  readonly root: string;
  /** The root as configured; the sbang script is below this one. */
  readonly unpaddedRoot: string;
  readonly place: Place;
}

/** Spack's lock settings. Times are in seconds; undefined means to wait forever. */
export interface LockSettings {
  readonly isEnabled: boolean;
  readonly databaseTimeout: number;
  readonly packageTimeout: number | undefined;
}

/** Network settings. */
export interface NetworkSettings {
  /** `config:connect_timeout` in seconds, 0 for none. */
  readonly connectTimeout: Setting<number> | undefined;
  readonly verifyTls: Setting<boolean> | undefined;
  /** The absolute path of a certificate file or folder. */
  readonly certificates: Setting<string> | undefined;
}

/** Variables to which `<prefix>/<folder>` is prepended if that folder exists; `""` means the prefix itself. */
export interface Inspection {
  readonly folder: string;
  readonly variables: readonly string[];
}

/** Another store whose specs count as installed. */
export interface Upstream {
  readonly name: string;
  readonly root: string;
  readonly place: Place;
}

/** Who a permission is granted to, from narrow to wide. */
export type Audience = "user" | "group" | "world";

/** The read and write permissions of a package's prefix. */
export interface Permissions {
  readonly read: Audience;
  readonly write: Audience;
  readonly group: string | undefined;
  /** True if directories with group access get the set-group-ID bit (`config:allow_sgid`). */
  readonly allowSetgid: boolean;
}

const LEGACY_PADDING = /\$padding(?::(\d{1,5}))?|\$\{padding(?::(\d{1,5}))?\}/;

/**
 * The install tree (Spack `store.py`, parse_install_tree); undefined if no root is configured. Throws CONFIG_INVALID.
 */
export function installTree(config: Configuration): InstallTree | undefined {
  const tree = config.get("config:install_tree");
  if (tree && tree.kind !== "map")
    throw configError(tree.place, `config:install_tree is a ${tree.kind}, expected a mapping`);
  const written = read(config, "config:install_tree:root", z.string().min(1));
  const { installation } = config.context;
  if (!written && !installation) return undefined;
  const place = written?.place ?? { file: "built-in", line: 0, column: 0 };
  const root = config.path((written?.value ?? "$spack/opt/spack").replace(LEGACY_PADDING, ""), place);
  const unknown = unresolved(root);
  if (unknown.length > 0 || !isAbsolute(root))
    throw configError(
      place,
      `config:install_tree:root is ${root}, expected a path without ${unknown.join(" and ") || "a URL"}`,
      "name the store with `store`",
    );
  const unpaddedRoot = withoutTrailing(root, "/") || "/";
  const length = padding(config, written?.value ?? "");
  return { root: paddedRoot(unpaddedRoot, length), unpaddedRoot, ...layout(config), place };
}

/** The layout of prefixes, independent of the root. Throws CONFIG_INVALID. */
export function layout(config: Configuration): Layout {
  return {
    projections: projections(config, config.get("config:install_tree:projections")),
    hashLength: read(config, "config:install_hash_length", z.int().min(1))?.value,
  };
}

// The setting, else `$padding:128` in the root as written by Spack 0.15; without a number, as long as the system
// allows.
function padding(config: Configuration, root: string): number {
  const schema = z.union([z.boolean(), z.int().min(0).max(65536)]);
  const setting = read(config, "config:install_tree:padded_length", schema)?.value;
  const legacy = LEGACY_PADDING.exec(root);
  const length = setting || (legacy !== null && (Number(legacy[1] ?? legacy[2] ?? 0) || true));
  if (typeof length === "number") return length;
  return length ? systemPadding(config.context.host.platform) : 0;
}

function projections(config: Configuration, node: YamlNode | undefined): Projections {
  if (!node) return config.style === "platform" ? LEGACY_PROJECTIONS : DEFAULT_PROJECTIONS;
  return entriesOf(node, "config:install_tree:projections").map(([spec, value]) => {
    const format = checked(z.string().min(1), value, `config:install_tree:projections:${spec}`);
    // An absolute format, or one with `..`, would put prefixes outside the store.
    if (format.startsWith("/") || format.split("/").includes(".."))
      throw configError(
        value.place,
        `config:install_tree:projections:${spec} is "${format}", expected a path below the root, without ".."`,
      );
    return [spec, format] as const;
  });
}

/** Spack's default lock settings. */
export const DEFAULT_LOCKS: LockSettings = { isEnabled: true, databaseTimeout: 120, packageTimeout: undefined };

/** Spack's lock settings (`database.py`, lock_configuration). Throws CONFIG_INVALID. */
export function lockSettings(config: Configuration): LockSettings {
  return {
    isEnabled: read(config, "config:locks", z.boolean())?.value ?? DEFAULT_LOCKS.isEnabled,
    databaseTimeout: read(config, "config:db_lock_timeout", z.int().min(1))?.value ?? DEFAULT_LOCKS.databaseTimeout,
    packageTimeout: read(config, "config:package_lock_timeout", z.int().min(1))?.value ?? DEFAULT_LOCKS.packageTimeout,
  };
}

/** The network settings. As in Spack, a certificate path that is not absolute after variable replacement is ignored. */
export function networkSettings(config: Configuration): NetworkSettings {
  const certificates = read(config, "config:ssl_certs", z.string());
  const path = certificates && config.substitute(certificates.value);
  return {
    connectTimeout: read(config, "config:connect_timeout", z.int().min(0)),
    verifyTls: read(config, "config:verify_ssl", z.boolean()),
    certificates:
      certificates && path !== undefined && isAbsolute(path) ? { value: path, place: certificates.place } : undefined,
  };
}

/** The inspection table of `modules:prefix_inspections`, or Spack's own if not configured (`user_environment.py`). */
export function prefixInspections(config: Configuration): Inspection[] {
  const node = config.get("modules:prefix_inspections");
  if (node?.kind !== "map") return defaultInspections(config.context.host.platform);
  return entriesOf(node, "modules:prefix_inspections").map(([folder, value]) => ({
    folder,
    variables: checked(z.array(z.string().regex(/^[^=\0]+$/)), value, `modules:prefix_inspections:${folder}`),
  }));
}

/** Spack's default inspection table. */
export function defaultInspections(platform: string): Inspection[] {
  const table: [string, string][] = [
    ["bin", "PATH"],
    ["man", "MANPATH"],
    ["share/man", "MANPATH"],
    ["share/aclocal", "ACLOCAL_PATH"],
    ["lib/pkgconfig", "PKG_CONFIG_PATH"],
    ["lib64/pkgconfig", "PKG_CONFIG_PATH"],
    ["share/pkgconfig", "PKG_CONFIG_PATH"],
    ["", "CMAKE_PREFIX_PATH"],
  ];
  if (platform === "darwin") table.push(["lib", "DYLD_FALLBACK_LIBRARY_PATH"], ["lib64", "DYLD_FALLBACK_LIBRARY_PATH"]);
  return table.map(([folder, variable]) => ({ folder, variables: [variable] }));
}

/** The upstream stores in lookup order. Throws CONFIG_INVALID. */
export function upstreams(config: Configuration): Upstream[] {
  const node = config.get("upstreams");
  if (!node) return [];
  return entriesOf(node, "upstreams").map(([name, value]) => {
    const { install_tree } = checked(z.object({ install_tree: z.string().min(1) }), value, `upstreams:${name}`);
    const { place } = value;
    return { name, root: config.path(install_tree, place), place };
  });
}

const Level = z.enum(["user", "group", "world"]);

/**
 * The permissions of a package (Spack `package_prefs.py`): its own settings before those of `all`. Throws
 * CONFIG_INVALID.
 */
export function permissions(config: Configuration, name: string): Permissions {
  const level = (key: string): Setting<Audience> | undefined => setting(key, Level);
  const setting = <T>(key: string, schema: z.ZodType<T>): Setting<T> | undefined => {
    for (const owner of [name, "all"]) {
      const found = readAt(config.section("packages"), [owner, "permissions", key], schema, "packages");
      if (found) return found;
    }
    return undefined;
  };
  const [read_, write] = [level("read"), level("write")];
  const order: readonly Audience[] = ["user", "group", "world"];
  const readable = read_?.value ?? "world";
  if (write && order.indexOf(write.value) > order.indexOf(readable))
    throw configError(
      write.place,
      `packages:${name}:permissions:write is ${write.value}, expected at most the read permission, ${readable}`,
    );
  return {
    read: readable,
    write: write?.value ?? "user",
    group: setting("group", z.string().min(1))?.value,
    allowSetgid: read(config, "config:allow_sgid", z.boolean())?.value ?? true,
  };
}

/** The folder of named environments; undefined if there is no Spack and no setting. Throws CONFIG_INVALID. */
export function environmentsRoot(config: Configuration): string | undefined {
  const root = read(config, "config:environments_root", z.string().min(1));
  if (root) return config.path(root.value, root.place);
  return config.context.installation && config.path("$spack/var/spack/environments", undefined);
}

/** The checked value at `section:key:key`; undefined if unset. Throws CONFIG_INVALID with file, line and key. */
export function read<T>(config: Configuration, path: string, schema: z.ZodType<T>): Setting<T> | undefined {
  const [section = "", ...keys] = path.split(":");
  return readAt(config.section(section), keys, schema, section);
}

function readAt<T>(
  section: YamlNode | undefined,
  keys: readonly string[],
  schema: z.ZodType<T>,
  what: string,
): Setting<T> | undefined {
  let node = section;
  for (const [at, key] of keys.entries()) {
    if (node === undefined) return undefined;
    if (node.kind !== "map")
      throw configError(node.place, `${[what, ...keys.slice(0, at)].join(":")} is a ${node.kind}, expected a mapping`);
    node = node.entries.get(key)?.value;
  }
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return undefined;
  return { value: checked(schema, node, [what, ...keys].join(":")), place: node.place };
}

/** The entries of a mapping, in order. Throws CONFIG_INVALID for other values. */
export function entriesOf(node: YamlNode, what: string): [string, YamlNode][] {
  if (node.kind !== "map") throw configError(node.place, `${what} is a ${node.kind}, expected a mapping`);
  return [...(node satisfies YamlMap).entries].map(([key, { value }]) => [key, value]);
}

// Reads the manifest of an environment, `spack.yaml`: its specs and views. Its configuration sections are a scope
// (scopes.ts). Concrete specs are in `spack.lock`, so matrices and definitions stay unexpanded.
import { realpathSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import * as z from "zod";
import { printable } from "../../printable/printable.ts";
import { checked } from "../text/schema-check.ts";
import { configError, nodeAt, type Place, wholeFile, type YamlNode } from "../text/yaml.ts";
import { Configuration, type ConfigurationOptions } from "./config.ts";
import { expandUser } from "./machine.ts";
import { fileSections, pathKind } from "./scope-file.ts";
import type { CustomScope } from "./scopes.ts";
import { entriesOf, environmentsRoot, read } from "./settings.ts";
import { canonicalPath, type Substitutions } from "./substitute.ts";

/** The location of an environment. */
export interface EnvironmentFolder {
  /** Its name, or its folder if it has none. */
  readonly name: string;
  readonly folder: string;
  /** The paths of `spack.yaml` and `spack.lock`; undefined if missing. At least one exists. */
  readonly manifest: string | undefined;
  readonly lock: string | undefined;
}

/** An entry of a spec list: a spec, a definition's `$name` or `%gcc`, or a product of lists with exclusions. */
export type SpecEntry =
  | string
  | { readonly matrix: readonly (readonly string[])[]; readonly exclude: readonly string[] };

/** A named list of specs, which applies if its condition holds. */
export interface Definition {
  readonly name: string;
  readonly when: string | undefined;
  readonly specs: readonly SpecEntry[];
  readonly place: Place;
}

/** A folder in which installed specs are merged into one tree. */
export interface View {
  readonly name: string;
  readonly root: string;
  /** Which specs: the roots, the roots with run dependencies, or with run and link dependencies. */
  readonly link: "all" | "run" | "roots";
  readonly linkType: "symlink" | "hardlink" | "copy";
  /** Specs to include (all if empty) and to exclude. */
  readonly select: readonly string[];
  readonly exclude: readonly string[];
  readonly projections: readonly (readonly [spec: string, format: string])[];
}

/** The content of `spack.yaml` besides configuration. */
export interface Manifest {
  readonly file: string;
  readonly specs: readonly SpecEntry[];
  /** The folders of environments whose concrete specs are included. */
  readonly includeConcrete: readonly string[];
  /** The section `stave` beside `spack`, unchecked: settings of the environment's image. Spack refuses it. */
  readonly stave: YamlNode | undefined;
}

const names = z.array(z.string());
const SpecList = z.array(
  z.union([z.string(), z.strictObject({ matrix: z.array(names).optional(), exclude: names.optional() }), z.null()]),
);

/** Reads `spack.yaml`. Throws NOT_FOUND if missing, CONFIG_INVALID with the place, TOO_LARGE, FILE_SYSTEM. */
export function readManifest(file: string, context: Substitutions): Manifest {
  const content = fileSections(file, "spack", "env");
  const specs = content.section("specs");
  const include = content.section("include_concrete");
  if (!content.files.has(file))
    throw configError(wholeFile(file), "the environment's manifest does not exist or is empty");
  const root = nodeAt(content.section("config")?.value, "environments_root");
  if (root)
    throw configError(root.place, "config:environments_root is set in an environment, expected in another scope");
  const own: Substitutions = { ...context, environment: resolve(file, "..") };
  return {
    file,
    specs: specs ? specEntries(specs.value, "specs") : [],
    includeConcrete: include
      ? checked(names, include.value, "include_concrete").map((path) => canonicalPath(path, wholeFile(file), own))
      : [],
    stave: content.top("stave")?.value,
  };
}

/** The named spec lists of all scopes, in the order of their concatenation. Throws CONFIG_INVALID. */
export function definitions(config: Configuration): Definition[] {
  const node = config.get("definitions");
  if (!node) return [];
  if (node.kind !== "list") throw configError(node.place, `definitions is a ${node.kind}, expected a list`);
  return node.items.flatMap((item, at) => {
    const what = `definitions[${at}]`;
    const entries = entriesOf(item, what);
    const condition = nodeAt(item, "when");
    const when = condition && checked(z.string(), condition, `${what}:when`);
    return entries
      .filter(([name]) => name !== "when")
      .map(([name, value]) => ({ name, when, specs: specEntries(value, `${what}:${name}`), place: value.place }));
  });
}

/** The views of an environment (Spack `environment.py`, _process_view); by default one below `.spack-env`. */
export function views(config: Configuration, folder: string): View[] {
  const usual = { name: "default", root: join(folder, ".spack-env", "view"), ...PLAIN };
  const node = config.get("view");
  if (node === undefined) return [usual];
  if (node.kind === "scalar") {
    const value = checked(z.union([z.boolean(), z.string().min(1)]), node, "view");
    if (typeof value === "boolean") return value ? [usual] : [];
    return [{ name: "default", root: config.path(value, wholeFile(join(folder, "spack.yaml"))), ...PLAIN }];
  }
  return entriesOf(node, "view").map(([name, value]) => view(name, value, config));
}

const PLAIN = { link: "all", linkType: "symlink", select: [], exclude: [], projections: [] } as const;
// Older names of link types (Spack `filesystem_view.py`).
const LINK_TYPES = {
  symlink: "symlink",
  soft: "symlink",
  hardlink: "hardlink",
  hard: "hardlink",
  copy: "copy",
  relocate: "copy",
  add: "symlink",
} as const;
const Descriptor = z.object({
  root: z.string().min(1),
  link: z.enum(["all", "run", "roots"]).default("all"),
  link_type: z.enum(["symlink", "soft", "hardlink", "hard", "copy", "relocate", "add"]).default("symlink"),
  select: names.default([]),
  exclude: names.default([]),
});

function view(name: string, node: YamlNode, config: Configuration): View {
  const what = `view:${name}`;
  if (node.kind === "scalar") {
    const root = checked(z.string().min(1), node, what);
    return { name, root: config.path(root, node.place), ...PLAIN };
  }
  const { root, link, link_type, select, exclude } = checked(Descriptor, node, what);
  const table = nodeAt(node, "projections");
  const projections = table ? entriesOf(table, `${what}:projections`) : [];
  return {
    name,
    root: config.path(root, nodeAt(node, "root")?.place),
    link,
    linkType: LINK_TYPES[link_type],
    select,
    exclude,
    projections: projections.map(([spec, value]) => [spec, checked(z.string(), value, `${what}:projections:${spec}`)]),
  };
}

/** `concretizer:unify`. Throws CONFIG_INVALID. */
export function unify(config: Configuration): boolean | "when_possible" {
  return read(config, "concretizer:unify", z.union([z.boolean(), z.literal("when_possible")]))?.value ?? false;
}

/**
 * Finds an environment: a named one below `environments_root`, else a folder with `spack.yaml` or `spack.lock`. Without
 * a name, the folder `$SPACK_ENV` if set. Throws CONFIG_INVALID if there is none.
 */
export function findEnvironment(
  named: string | undefined,
  options: ConfigurationOptions,
): EnvironmentFolder | undefined {
  const { host } = options;
  const variable = host.env["SPACK_ENV"];
  if (named === undefined && !variable) return undefined;
  // An environment cannot set the environments folder, so read the configuration without one.
  const root = environmentsRoot(new Configuration({ ...options, environment: undefined }));
  if (named !== undefined && root !== undefined && NAME.test(named) && isFolder(join(root, named)))
    return inFolder(join(root, named), named, `the environment ${named}`);
  const folder = resolve(host.cwd, expandUser(named ?? variable ?? "", host));
  const what = named === undefined ? `$SPACK_ENV, ${printable(folder)},` : printable(named);
  return inFolder(folder, nameOf(folder, root), what);
}

/**
 * Resolves an argument of `-C`: an environment by name or folder, or a folder of configuration files. Throws
 * CONFIG_INVALID.
 */
export function findCustomScope(named: string, options: ConfigurationOptions): CustomScope {
  const { host } = options;
  const root = environmentsRoot(new Configuration({ ...options, environment: undefined, custom: [] }));
  const folder = resolve(host.cwd, expandUser(named, host));
  const isNamed = root !== undefined && NAME.test(named) && isFolder(join(root, named));
  const manifest = join(isNamed ? join(root, named) : folder, "spack.yaml");
  if (isNamed || isFile(manifest)) return { environment: { name: isNamed ? named : folder, manifest } };
  if (isFolder(folder)) return { folder };
  throw configError(
    wholeFile(printable(named)),
    "it is neither a folder nor an environment, expected a configuration scope",
    "name a folder; the scopes of Spack itself (user, site, system, …) are always read",
  );
}

// Letters of any script, digits, `_` and `-`, and slashes for nested folders.
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_/-]*$/u;

function inFolder(folder: string, name: string, what: string): EnvironmentFolder {
  const existing = (file: string): string | undefined => (isFile(join(folder, file)) ? join(folder, file) : undefined);
  const [manifest, lock] = [existing("spack.yaml"), existing("spack.lock")];
  if (manifest === undefined && lock === undefined)
    throw configError(
      wholeFile(what),
      pathKind(folder) === undefined
        ? "there is no environment or folder of this name"
        : "it is not an environment: it has neither spack.yaml nor spack.lock",
      pathKind(folder) === "file"
        ? "it is a file: name its folder with -e"
        : "name an environment or its folder with -e",
    );
  return { name, folder, manifest, lock };
}

// A folder that is a named environment, or linked from one, is called by that name.
function nameOf(folder: string, root: string | undefined): string {
  if (root === undefined) return folder;
  try {
    return realpathSync(join(root, basename(folder))) === realpathSync(folder) ? basename(folder) : folder;
  } catch {
    return folder;
  }
}

function specEntries(node: YamlNode, what: string): SpecEntry[] {
  return checked(SpecList, node, what).flatMap((entry): SpecEntry[] => {
    if (entry === null) return [];
    return [typeof entry === "string" ? entry : { matrix: entry.matrix ?? [], exclude: entry.exclude ?? [] }];
  });
}

const isFolder = (path: string): boolean => pathKind(path) === "folder";
const isFile = (path: string): boolean => pathKind(path) === "file";

// The runtime variables of a set of installed specs, as far as the install tree alone determines them: Spack's
// `user_environment.py`, of recipes only the rules of families. ask-spack.ts asks Spack for what all recipes set.
import { posix } from "node:path";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Inspection } from "../config/settings.ts";
import type { SpecNode } from "../spec/node.ts";
import { environmentOrder } from "../spec/spec-orders.ts";
import {
  applyModifications,
  baseEnvironment,
  type EnvModification,
  isSystemPath,
  normalPath,
} from "./env-modifications.ts";
import { externalModifications } from "./external-environment.ts";
import { familyModifications } from "./recipe-families.ts";
import { inspectionOrder, orderOf, runOrder } from "./use-order.ts";

/** The input of a run environment. */
export interface RunEnvironmentOptions {
  /** The specs to use, in order. */
  readonly roots: readonly SpecNode[];
  /** The recorded prefix of a spec; a spec without one adds nothing. */
  prefixOf(node: SpecNode): string | undefined;
  /** True if a recorded path is a folder; with a sysroot, looks below it. */
  isDirectory(path: string): boolean;
  readonly inspections: readonly Inspection[];
  /** The exact modifications, if Spack was asked; otherwise derived from the install tree. */
  readonly asked?: readonly EnvModification[] | undefined;
  /** The `Env` of the base image. */
  readonly base?: readonly string[] | undefined;
  /** Keep Spack's result unchanged, with the host folders of externals and repeated entries. */
  readonly spackEnv?: boolean | undefined;
  /** The user's own variables, applied last. */
  readonly user?: readonly EnvModification[] | undefined;
  /** Replaces the path of a prefix in a value by its place in a view. */
  readonly project?: ((value: string) => string) | undefined;
  /** Remembers what each prefix adds, by DAG hash; valid for one store and one list of inspections. */
  readonly inspected?: Map<string, readonly EnvModification[]> | undefined;
}

/** The variables in the order of an image's `Env`: `PATH`, those of the base image, then new ones by name. */
export function runEnvironment(options: RunEnvironmentOptions): Map<string, string> {
  const { base, spackEnv = false, user = [] } = options;
  const all = options.asked ?? installedModifications(options);
  if (spackEnv) return applyModifications([...projected(all, options), ...user], baseEnvironment(base), true);
  const modifications = [...projected(withoutHost(all, options), options), ...user];
  const env = applyModifications(modifications, baseEnvironment(base));
  // Hundreds of modifications change the same few variables; repeating this at once changes nothing.
  const separated = new Map<string, string>();
  for (const one of modifications) {
    if (one.op !== "prepend-path" && one.op !== "append-path") continue;
    const value = env.get(one.name);
    if (value === undefined || separated.get(one.name) === one.separator) continue;
    separated.set(one.name, one.separator);
    env.set(one.name, [...new Set(value.split(one.separator))].join(one.separator));
  }
  return env;
}

/** The modifications derived from the install tree, in Spack's order. Throws SPEC_INVALID for a damaged external. */
export function installedModifications(options: RunEnvironmentOptions): EnvModification[] {
  const { roots, prefixOf, isDirectory, inspected } = options;
  const out: EnvModification[] = [];
  const order = orderOf(roots);
  for (const node of inspectionOrder(roots, order)) {
    const found = inspected?.get(node.hash) ?? inspect(node, options);
    inspected?.set(node.hash, found);
    for (const one of found) out.push(one);
  }
  for (const { node, isRun } of runOrder(roots, order)) {
    const prefix = prefixOf(node);
    if (isRun && prefix !== undefined && !isSystemPath(prefix))
      for (const folder of ["bin", "bin64"]) {
        const path = posix.join(prefix, folder);
        if (isDirectory(path)) out.push(prepend("PATH", path));
      }
    if (prefix !== undefined) out.push(...familyModifications({ node, prefix, isDirectory }));
    out.push(...externalModifications(node));
  }
  return out;
}

function inspect(node: SpecNode, options: RunEnvironmentOptions): EnvModification[] {
  const { inspections, prefixOf, isDirectory } = options;
  const prefix = prefixOf(node);
  if (prefix === undefined) return [];
  return inspections.flatMap(({ folder, variables }) => {
    const path = folder.startsWith("/") ? normalPath(folder) : posix.join(prefix, folder);
    if (isSystemPath(path) || !isDirectory(normalPath(path))) return [];
    return variables.map((name) => prepend(name, path));
  });
}

function prepend(name: string, value: string): EnvModification {
  return { op: "prepend-path", name, value, separator: ":" };
}

// Drops entries inside an external's prefix, which is on the pushing host and not in the image.
function withoutHost(modifications: readonly EnvModification[], options: RunEnvironmentOptions): EnvModification[] {
  const { roots, prefixOf } = options;
  const externals = new Map<string, boolean>();
  for (const node of environmentOrder(roots)) {
    const prefix = prefixOf(node);
    if (prefix === undefined) continue;
    const path = normalPath(prefix);
    externals.set(path, node.external !== undefined && (externals.get(path) ?? true));
  }
  if (![...externals.values()].includes(true)) return [...modifications];
  // The nearest enclosing prefix decides: a store may be below an external's prefix.
  const isHost = (value: string): boolean => {
    for (let at = normalPath(value); at.startsWith("/"); at = posix.dirname(at)) {
      const external = externals.get(at);
      if (external !== undefined || at === "/") return external ?? false;
    }
    return false;
  };
  return modifications.filter((one) => {
    if (one.op === "set") return !one.value.split(":").some(isHost);
    return one.op === "prepend-path" || one.op === "append-path" ? !isHost(one.value) : true;
  });
}

function projected(
  modifications: readonly EnvModification[],
  { project }: RunEnvironmentOptions,
): readonly EnvModification[] {
  if (project === undefined) return modifications;
  return modifications.map((one) => ("value" in one ? { ...one, value: project(one.value) } : one));
}

const FORM = /^([^=+^\0]+)(=|\+=|\^=)([^\0]*)$/s;

/**
 * Parses a user's variable: `NAME=VALUE` sets it, `NAME+=FOLDER` appends a folder to the list, `NAME^=FOLDER` prepends
 * one. Throws USAGE.
 */
export function parseUserVariable(text: string): EnvModification {
  const [, name = "", sign, value = ""] = FORM.exec(text) ?? [];
  if (sign === "=") return { op: "set", name, value };
  if (sign !== undefined && value !== "")
    return { op: sign === "+=" ? "append-path" : "prepend-path", name, value, separator: ":" };
  throw new StaveError(
    "USAGE",
    `the variable ${printable(text)} is not valid, expected NAME=VALUE, NAME+=FOLDER (append) or NAME^=FOLDER (prepend)`,
  );
}

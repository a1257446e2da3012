// The variables that a set of installed specs needs at run time, as far as they follow from the install tree alone: Spack's
// `user_environment.py` without the recipes. What recipes set is known to Spack only; ask-spack.ts asks it.
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
import { inspectionOrder, orderOf, runOrder } from "./use-order.ts";

/** What the environment of specs is made from. */
export interface RunEnvironmentOptions {
  /** The specs to be used, in their order. */
  readonly roots: readonly SpecNode[];
  /** The recorded prefix of a spec; undefined when it has none, and then it adds nothing. */
  prefixOf(node: SpecNode): string | undefined;
  /** Tells whether a recorded path is a folder; whoever has a sysroot looks below it. */
  isDirectory(path: string): boolean;
  readonly inspections: readonly Inspection[];
  /** The exact modifications, when Spack was asked for them; else they follow from the install tree. */
  readonly asked?: readonly EnvModification[] | undefined;
  /** The `Env` of the base image. */
  readonly base?: readonly string[] | undefined;
  /** Keep Spack's text as it is: folders of externals on the pushing host, and repeated entries. */
  readonly spackEnv?: boolean | undefined;
  /** The user's own variables, applied last. */
  readonly user?: readonly EnvModification[] | undefined;
}

/** The variables in the order of an image's `Env`: `PATH`, the base image's, new ones by name. */
export function runEnvironment(options: RunEnvironmentOptions): Map<string, string> {
  const { base, spackEnv = false, user = [] } = options;
  const all = options.asked ?? installedModifications(options);
  if (spackEnv) return applyModifications([...all, ...user], baseEnvironment(base), true);
  const modifications = [...withoutHost(all, options), ...user];
  const env = applyModifications(modifications, baseEnvironment(base));
  for (const one of modifications) {
    const value = env.get(one.name);
    if (value !== undefined && (one.op === "prepend-path" || one.op === "append-path"))
      env.set(one.name, [...new Set(value.split(one.separator))].join(one.separator));
  }
  return env;
}

/** The modifications that follow from the install tree, in Spack's order. Throws SPEC_INVALID for a damaged external. */
export function installedModifications(options: RunEnvironmentOptions): EnvModification[] {
  const { roots, inspections, prefixOf, isDirectory } = options;
  const out: EnvModification[] = [];
  const prepend = (name: string, value: string): void =>
    void out.push({ op: "prepend-path", name, value, separator: ":" });
  const order = orderOf(roots);
  for (const node of inspectionOrder(roots, order)) {
    const prefix = prefixOf(node);
    if (prefix === undefined) continue;
    for (const { folder, variables } of inspections) {
      const path = folder.startsWith("/") ? normalPath(folder) : posix.join(prefix, folder);
      if (isSystemPath(path) || !isDirectory(normalPath(path))) continue;
      for (const name of variables) prepend(name, path);
    }
  }
  for (const { node, isRun } of runOrder(roots, order)) {
    const prefix = prefixOf(node);
    if (isRun && prefix !== undefined && !isSystemPath(prefix))
      for (const folder of ["bin", "bin64"]) {
        const path = posix.join(prefix, folder);
        if (isDirectory(path)) prepend("PATH", path);
      }
    out.push(...externalModifications(node));
  }
  return out;
}

// Leaves out what points into an external's prefix, which is a folder of the pushing host and not of the image.
function withoutHost(modifications: readonly EnvModification[], options: RunEnvironmentOptions): EnvModification[] {
  const { roots, prefixOf } = options;
  const externals = new Map<string, boolean>();
  for (const node of environmentOrder(roots)) {
    const prefix = prefixOf(node);
    if (prefix === undefined) continue;
    const path = normalPath(prefix);
    externals.set(path, node.external !== undefined && (externals.get(path) ?? true));
  }
  // The nearest prefix around a path decides: a store may lie below an external's.
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

const FORM = /^([^=+^\0]+)(=|\+=|\^=)([^\0]*)$/s;

/**
 * Reads a variable of the user: `NAME=VALUE` sets it, `NAME+=FOLDER` puts a folder behind the list, `NAME^=FOLDER` in front
 * of it. Throws USAGE.
 */
export function parseUserVariable(text: string): EnvModification {
  const [, name = "", sign, value = ""] = FORM.exec(text) ?? [];
  if (sign === "=") return { op: "set", name, value };
  if (sign !== undefined && value !== "")
    return { op: sign === "+=" ? "append-path" : "prepend-path", name, value, separator: ":" };
  throw new StaveError(
    "USAGE",
    `the variable ${printable(text)} cannot be used, expected NAME=VALUE, NAME+=FOLDER (behind) or NAME^=FOLDER (in front)`,
  );
}

// The runtime variables of a set of installed specs, as far as the install tree alone determines them: Spack's
// `user_environment.py`, and what recipes set as far as they are understood. ask-spack.ts asks Spack for what all
// recipes set.
import { posix } from "node:path";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Inspection } from "../config/settings.ts";
import { LINK, RUN, type SpecNode } from "../spec/node.ts";
import { environmentOrder } from "../spec/spec-orders.ts";
import { edgesOf } from "../spec/traversal.ts";
import {
  applyModifications,
  baseEnvironment,
  type EnvModification,
  isSystemPath,
  normalPath,
} from "./env-modifications.ts";
import { externalModifications } from "./external-environment.ts";
import { extensionRuleOf, extensionRules, packageRule } from "./recipe-families.ts";
import type { RecipeVariables } from "./recipe-variables.ts";
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
  /** Reads what recipes set; without it only the rules of families apply. */
  readonly recipes?: RecipeVariables | undefined;
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
  const used = runOrder(roots, order);
  const dependents = new Dependents(used.map(({ node }) => node));
  // The packages and their extensions for which a recipe was understood, so that no rule is needed.
  const read = new Set<string>();
  for (const { node, isRun } of used) {
    const prefix = prefixOf(node);
    if (isRun && prefix !== undefined && !isSystemPath(prefix))
      for (const folder of ["bin", "bin64"]) {
        const path = posix.join(prefix, folder);
        if (isDirectory(path)) out.push(prepend("PATH", path));
      }
    if (prefix !== undefined)
      for (const one of recipeModifications(node, prefix, options, dependents, read)) out.push(one);
    out.push(...externalModifications(node));
  }
  return out;
}

/**
 * The modifications of the modulefile of one spec, in Spack's order: its own folders, what the recipes of its direct
 * dependencies set for it, and its own recipe. Its dependencies have modulefiles of their own.
 */
export function moduleModifications(node: SpecNode, given: Omit<RunEnvironmentOptions, "roots">): EnvModification[] {
  const options = { ...given, roots: [node] };
  const out = inspect(node, options);
  const prefix = options.prefixOf(node);
  if (prefix === undefined) return out;
  const dependents = new Dependents([node]);
  const read = new Set<string>();
  for (const { child } of edgesOf(node, { types: LINK | RUN }))
    if (options.recipes !== undefined && child.external === undefined)
      out.push(...dependentModifications(child, options.recipes, dependents, read));
  out.push(...recipeModifications(node, prefix, options, new Dependents([]), read), ...externalModifications(node));
  return out;
}

// In Spack's order: what the recipe sets for each dependent, then for the spec itself. The rules of extensions come
// with the extension, which Spack visits after what it extends.
function* recipeModifications(
  node: SpecNode,
  prefix: string,
  { recipes, isDirectory }: RunEnvironmentOptions,
  dependents: Dependents,
  read: Set<string>,
): Iterable<EnvModification> {
  const spec = { node, prefix, isDirectory };
  for (const { extended, modifications } of extensionRules(spec))
    if (!read.has(`${extended} ${node.hash}`)) yield* modifications;
  const rule = packageRule(spec);
  if (recipes === undefined || node.external !== undefined) return yield* rule ?? [];
  yield* dependentModifications(node, recipes, dependents, read);
  const own = recipes.own(node, rule !== undefined);
  yield* own.isWhole || rule === undefined ? own.modifications : rule;
}

function* dependentModifications(
  node: SpecNode,
  recipes: RecipeVariables,
  dependents: Dependents,
  read: Set<string>,
): Iterable<EnvModification> {
  const extension = extensionRuleOf(node.name);
  for (const dependent of extension === "only" ? [] : dependents.of(node)) {
    const effect = recipes.dependent(node, dependent, extension !== undefined);
    if (effect.isWhole) read.add(`${node.name} ${dependent.hash}`);
    // Half of an effect beside a rule would be set twice.
    if (effect.isWhole || extension === undefined) yield* effect.modifications;
  }
}

/** The nodes that need each node for linking or running, among some nodes. */
class Dependents {
  readonly #nodes: readonly SpecNode[];
  #found: Map<string, SpecNode[]> | undefined;

  constructor(nodes: readonly SpecNode[]) {
    this.#nodes = nodes;
  }

  of(node: SpecNode): readonly SpecNode[] {
    if (this.#found === undefined) {
      this.#found = new Map();
      for (const parent of this.#nodes)
        for (const { child } of edgesOf(parent, { types: LINK | RUN })) {
          const known = this.#found.get(child.hash);
          if (known === undefined) this.#found.set(child.hash, [parent]);
          else known.push(parent);
        }
    }
    return this.#found.get(node.hash) ?? [];
  }
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

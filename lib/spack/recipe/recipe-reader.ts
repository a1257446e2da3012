// The variables that the recipes of a store's specs set, read from the copies in their prefixes. Remembers what it
// read, and what it did not understand.
import { kindAt } from "../../util/inspect-path.ts";
import type { RecipeEffect, RecipeVariables, UnreadRecipe } from "../environment/recipe-variables.ts";
import { satisfies } from "../query/satisfies.ts";
import { graphOf } from "../spec/graph.ts";
import type { SpecNode } from "../spec/node.ts";
import { preOrder } from "../spec/traversal.ts";
import type { Store } from "../store/store.ts";
import { NotUnderstood } from "./python-tokens.ts";
import { parseRecipe, type Recipe } from "./recipe.ts";
import { readRecipeCopy } from "./recipe-copy.ts";
import { Evaluator } from "./recipe-evaluator.ts";
import { type MethodReading, readDependentEnvironment, readRunEnvironment } from "./recipe-methods.ts";
import { classNameOf } from "./recipe-scope.ts";
import type { RecipeWorld } from "./spec-questions.ts";

const NOTHING: RecipeEffect = { modifications: [], isWhole: true };
const UNKNOWN: RecipeEffect = { modifications: [], isWhole: false };

/** What is remembered of the copy of a recipe: its text would take 10 kB for each spec of a store. */
interface CopySummary {
  /** Its text may name a method that sets variables. */
  readonly maySetVariables: boolean;
  /** The same for its dependents. */
  readonly maySetForDependents: boolean;
}

/** Reads the recipes of one store. */
export class RecipeReader implements RecipeVariables {
  readonly #store: Store;
  readonly #copies = new Map<string, CopySummary | undefined>();
  readonly #recipes = new Map<string, Recipe | NotUnderstood>();
  /** Effects of recipes that were parsed, by the DAG hash of the spec, and of the dependent. */
  readonly #effects = new Map<string, RecipeEffect>();
  readonly #unread = new Map<string, UnreadRecipe>();
  readonly #worlds = new Map<string, RecipeWorld>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** What was not understood so far, by package. */
  get unread(): UnreadRecipe[] {
    return [...this.#unread.values()].sort((a, b) =>
      a.name < b.name || (a.name === b.name && a.hash < b.hash) ? -1 : 1,
    );
  }

  own(node: SpecNode, hasRule: boolean): RecipeEffect {
    return this.#effect(node, undefined, hasRule, (recipe) => readRunEnvironment(recipe, this.#world(node)));
  }

  dependent(node: SpecNode, dependent: SpecNode, hasRule: boolean): RecipeEffect {
    return this.#effect(node, dependent, hasRule, (recipe) =>
      readDependentEnvironment(recipe, this.#world(node), dependent),
    );
  }

  #effect(
    node: SpecNode,
    dependent: SpecNode | undefined,
    hasRule: boolean,
    read: (recipe: Recipe) => MethodReading,
  ): RecipeEffect {
    const copy = this.#copy(node);
    if (copy === undefined) return UNKNOWN;
    if (!(dependent === undefined ? copy.maySetVariables : copy.maySetForDependents)) return NOTHING;
    // Only here: a store has hundreds of thousands of dependents, and nearly all recipes set nothing for them.
    const key = `${node.hash} ${dependent?.hash ?? ""}`;
    const known = this.#effects.get(key);
    if (known !== undefined) return known;
    const found = this.#read(node, hasRule, read);
    this.#effects.set(key, found);
    return found;
  }

  #read(node: SpecNode, hasRule: boolean, read: (recipe: Recipe) => MethodReading): RecipeEffect {
    const recipe = this.#recipe(node);
    if (recipe === undefined) return UNKNOWN;
    if (recipe instanceof NotUnderstood) return this.#refused(node, hasRule, recipe.line, recipe.message, []);
    const { modifications, refused } = read(recipe);
    if (refused === undefined) return { modifications, isWhole: true };
    return this.#refused(node, hasRule, refused.line, refused.reason, modifications);
  }

  // A rule for the package says what its recipe sets.
  #refused(
    node: SpecNode,
    hasRule: boolean,
    line: number,
    reason: string,
    modifications: RecipeEffect["modifications"],
  ): RecipeEffect {
    const { name, version, hash } = node;
    if (!hasRule && !this.#unread.has(hash)) this.#unread.set(hash, { name, version, hash, line, reason });
    return { modifications, isWhole: false };
  }

  // Undefined if there is none.
  #copy(node: SpecNode): CopySummary | undefined {
    const { hash } = node;
    if (this.#copies.has(hash)) return this.#copies.get(hash);
    const text = this.#text(node);
    const names = (method: string): boolean => typeof text !== "string" || mayName(text, method);
    const copy =
      text === undefined
        ? undefined
        : { maySetVariables: names("_run_environment"), maySetForDependents: names("setup_dependent_run_environment") };
    this.#copies.set(hash, copy);
    return copy;
  }

  #text(node: SpecNode): string | NotUnderstood | undefined {
    const path = node.external === undefined ? this.#store.get(node.hash)?.path : undefined;
    if (path === undefined || path === null) return undefined;
    try {
      return readRecipeCopy(this.#store.locate(path), node);
    } catch (error) {
      if (error instanceof NotUnderstood) return error;
      throw error;
    }
  }

  #recipe(node: SpecNode): Recipe | NotUnderstood | undefined {
    const known = this.#recipes.get(node.hash);
    if (known !== undefined) return known;
    const text = this.#text(node);
    if (text === undefined) return undefined;
    const recipe = typeof text === "string" ? parsed(text) : text;
    this.#recipes.set(node.hash, recipe);
    return recipe;
  }

  #world(node: SpecNode): RecipeWorld {
    const known = this.#worlds.get(node.hash);
    if (known !== undefined) return known;
    const store = this.#store;
    const prefixOf = (one: SpecNode): string | undefined =>
      store.get(one.hash)?.path ?? one.external?.path ?? undefined;
    const nodes = preOrder([node]);
    const world: RecipeWorld = {
      node,
      graph: graphOf(nodes),
      prefixOf,
      // Files of the host are not in an image.
      kindAt: (path) => {
        const isInside = nodes.some((one) => {
          const prefix = one.external === undefined ? prefixOf(one) : undefined;
          return prefix !== undefined && (path === prefix || path.startsWith(`${prefix}/`));
        });
        if (!isInside || path.split("/").includes("..")) throw new NotUnderstood(0, "a file outside the prefixes");
        return kindAt(path, store.sysroot);
      },
      isExtension: (dependent) => this.#isExtension(dependent, node),
    };
    this.#worlds.set(node.hash, world);
    return world;
  }

  // A build system extends its language; other packages say `extends("NAME")`.
  #isExtension(dependent: SpecNode, node: SpecNode): boolean {
    const system = dependent.variants.get("build_system");
    if (typeof system === "string" && EXTENDS.get(system) === node.name) return true;
    const recipe = this.#recipe(dependent);
    if (recipe === undefined) throw new NotUnderstood(0, `whether ${dependent.name} extends ${node.name}`);
    if (recipe instanceof NotUnderstood) throw new NotUnderstood(0, `whether ${dependent.name} extends ${node.name}`);
    const found = recipe.classes.get(classNameOf(dependent.name));
    if (found?.bases?.includes("RPackage") === true && node.name === "r") return true;
    const evaluator = new Evaluator(recipe, this.#world(dependent));
    return (found?.directives ?? []).some(({ name, call, when, line }) => {
      if (name !== "extends") return false;
      evaluator.line = line;
      const [first] = call.args;
      const text = first === undefined ? undefined : evaluator.value(first, new Map());
      if (when === undefined || typeof text !== "string")
        throw new NotUnderstood(0, `whether ${dependent.name} extends ${node.name}`);
      const condition = call.keywords.get("when");
      const conditions = condition === undefined ? when : [...when, condition];
      const query = evaluator.specs.query(text);
      if (query.name !== node.name || !conditions.every((one) => evaluator.isWhen(one))) return false;
      return satisfies(node, this.#world(node).graph, query);
    });
  }
}

const EXTENDS: ReadonlyMap<string, string> = new Map([
  ["python_pip", "python"],
  ["sip", "python"],
  ["perl", "perl"],
  ["r", "r"],
  ["ruby", "ruby"],
  ["lua", "lua"],
  ["octave", "octave"],
  ["racket", "racket"],
]);

function parsed(text: string): Recipe | NotUnderstood {
  try {
    return parseRecipe(text);
  } catch (error) {
    if (error instanceof NotUnderstood) return error;
    throw error;
  }
}

// Nearly all recipes set nothing, and are not parsed: no method of that name, no base class that could have it.
function mayName(text: string, method: string): boolean {
  return text.includes(method) || FOREIGN_BASE.test(text);
}

const FOREIGN_BASE = /spack_repo\.(?!builtin\.build_systems\b)|spack\.pkg\.|[oO]ne[aA][pP][iI]|^[ \t]*from \./m;

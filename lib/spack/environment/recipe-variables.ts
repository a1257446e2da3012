// What the rest of the run environment needs of a reader of recipes.
import type { SpecNode } from "../spec/node.ts";
import type { EnvModification } from "./env-modifications.ts";

/** What one method of a recipe does to variables. */
export interface RecipeEffect {
  readonly modifications: readonly EnvModification[];
  /** False if there is more that was not understood, or no copy of the recipe. */
  readonly isWhole: boolean;
}

/** A recipe that was not understood, and the first place. */
export interface UnreadRecipe {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** The line of the recipe, counted from 1. */
  readonly line: number;
  readonly reason: string;
}

/** Tells what recipes set; `hasRule` if a rule replaces what is not understood. */
export interface RecipeVariables {
  /** What a spec's recipe sets for itself. */
  own(node: SpecNode, hasRule: boolean): RecipeEffect;
  /** What a spec's recipe sets for a spec that depends on it. */
  dependent(node: SpecNode, dependent: SpecNode, hasRule: boolean): RecipeEffect;
}

// What the directives of a recipe say about a spec: license, homepage, where its sources come from and their checksums.
// Only what is written out is taken; nothing is guessed.
import { isStaveError } from "../../errors.ts";
import type { Expression } from "./python-expression.ts";
import { NotUnderstood } from "./python-tokens.ts";
import type { Directive, Recipe, RecipeClass } from "./recipe.ts";
import { Evaluator } from "./recipe-evaluator.ts";
import { classNameOf } from "./recipe-scope.ts";
import type { Value } from "./recipe-values.ts";
import type { RecipeWorld } from "./spec-questions.ts";

/** A checksum of a source archive, as a recipe has it. */
export interface SourceChecksum {
  readonly algorithm: "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512";
  /** In lower-case hex. */
  readonly value: string;
}

/** What a recipe says about the sources of a version. */
export interface SourceFacts {
  /** Where the archive is, if it is written out for this very version. */
  readonly url: string | undefined;
  readonly checksums: readonly SourceChecksum[];
  /** The repository, and what is checked out of it. */
  readonly git:
    | { readonly repository: string; readonly commit: string | undefined; readonly tag: string | undefined }
    | undefined;
}

/** What a recipe says about a spec. */
export interface RecipeFacts {
  /** The text of the license that applies, usually an SPDX expression; undefined if unknown. */
  readonly license: string | undefined;
  /** Why the license is unknown. */
  readonly licenseProblem: string | undefined;
  readonly homepage: string | undefined;
  readonly source: SourceFacts;
}

/** The facts of a spec without a recipe. */
export function noFacts(problem: string): RecipeFacts {
  const source = { url: undefined, checksums: [], git: undefined };
  return { license: undefined, licenseProblem: problem, homepage: undefined, source };
}

/** Reads the facts of a spec from its recipe. */
export function readRecipeFacts(recipe: Recipe, world: RecipeWorld): RecipeFacts {
  const name = classNameOf(world.node.name);
  const found = recipe.classes.get(name);
  if (found === undefined) return noFacts(`the recipe has no class ${name}`);
  const reader = new FactsReader(recipe, world, classesOf(recipe, found));
  return { ...reader.license(), homepage: reader.constant("homepage"), source: reader.source() };
}

// A class and its bases in the same file; directives of bases apply, too.
function classesOf(recipe: Recipe, start: RecipeClass): RecipeClass[] {
  const found = new Set([start]);
  for (const one of found)
    for (const base of one.bases ?? []) {
      const local = recipe.classes.get(base);
      if (local !== undefined) found.add(local);
    }
  return [...found];
}

const TEXT_LIMIT = 2000;
const ALGORITHMS = { md5: 32, sha1: 40, sha224: 56, sha256: 64, sha384: 96, sha512: 128 } as const;

class FactsReader {
  readonly #evaluator: Evaluator;
  readonly #world: RecipeWorld;
  readonly #classes: readonly RecipeClass[];

  constructor(recipe: Recipe, world: RecipeWorld, classes: readonly RecipeClass[]) {
    this.#evaluator = new Evaluator(recipe, world);
    this.#world = world;
    this.#classes = classes;
  }

  license(): Pick<RecipeFacts, "license" | "licenseProblem"> {
    const unknown = (licenseProblem: string) => ({ license: undefined, licenseProblem });
    const all = this.#directives("license");
    if (all.length === 0) return unknown("the recipe names none");
    const texts = new Set<string>();
    for (const one of all) {
      const applies = this.#applies(one);
      if (applies === false) continue;
      const text = this.#text(one.call.args[0]);
      if (applies === undefined || text === undefined || text === "")
        return unknown(`line ${one.line} of the recipe is not understood`);
      texts.add(text);
    }
    const [text, ...others] = texts;
    if (text === undefined) return unknown("no license of the recipe applies to this spec");
    if (others.length > 0) return unknown("several licenses of the recipe apply to this spec");
    return /^unknown$/i.test(text) ? unknown("the recipe says so") : { license: text, licenseProblem: undefined };
  }

  /** A text that the class assigns, such as its homepage. */
  constant(name: string): string | undefined {
    for (const { constants, unknown, methods } of this.#classes) {
      if (unknown.has(name) || methods.some((method) => method.name === name)) return undefined;
      const line = constants.get(name);
      if (line === undefined) continue;
      const value = this.#try(() => this.#evaluator.constant(line, new Map()));
      return typeof value === "string" && value.length <= TEXT_LIMIT ? value : undefined;
    }
    return undefined;
  }

  source(): SourceFacts {
    const { version } = this.#world.node;
    const own = this.#directives("version").filter(({ call }) => this.#text(call.args[0]) === version);
    const [only] = own;
    // Without the directive, or with two, nothing is known about the archive.
    if (only === undefined || own.length > 1) return { url: undefined, checksums: [], git: undefined };
    const keyword = (name: string): string | undefined => this.#text(only.call.keywords.get(name));
    const checksums = Object.entries(ALGORITHMS).flatMap(([algorithm, length]): SourceChecksum[] => {
      const value = keyword(algorithm)?.toLowerCase();
      const isOne = value !== undefined && value.length === length && /^[0-9a-f]+$/.test(value);
      return isOne ? [{ algorithm: algorithm as SourceChecksum["algorithm"], value }] : [];
    });
    const { keywords } = only.call;
    const isGit = ["git", "commit", "tag", "branch"].some((name) => keywords.has(name));
    if (!isGit) return { url: keyword("url") ?? this.#urlOfClass(version), checksums, git: undefined };
    const repository = keyword("git") ?? (keywords.has("git") ? undefined : this.constant("git"));
    const [commit, tag] = [keyword("commit"), keyword("tag")];
    return { url: undefined, checksums, git: repository === undefined ? undefined : { repository, commit, tag } };
  }

  // The class names the archive of one version; for other versions Spack derives the place from it.
  #urlOfClass(version: string): string | undefined {
    if (this.#classes.some(({ methods }) => methods.some(({ name }) => name === "url_for_version"))) return undefined;
    const url = this.constant("url");
    const escaped = version.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const whole = new RegExp(`(?<![0-9.])${escaped}(?=\\.(?:tar(?:\\.\\w+)?|tgz|tbz2?|txz|zip|jar|whl)$)`);
    return url !== undefined && whole.test(url) ? url : undefined;
  }

  #directives(name: string): Directive[] {
    return this.#classes.flatMap(({ directives }) => directives.filter((one) => one.name === name));
  }

  #applies({ call, when, line }: Directive): boolean | undefined {
    if (when === undefined) return undefined;
    this.#evaluator.line = line;
    const condition = call.keywords.get("when");
    const all = condition === undefined ? when : [...when, condition];
    return this.#try(() => all.every((one) => this.#evaluator.isWhen(one)));
  }

  #text(expression: Expression | undefined): string | undefined {
    if (expression === undefined) return undefined;
    const value: Value | undefined = this.#try(() => this.#evaluator.value(expression, new Map()));
    return typeof value === "string" && value.length <= TEXT_LIMIT ? value.trim() : undefined;
  }

  #try<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof NotUnderstood || isStaveError(error)) return undefined;
      throw error;
    }
  }
}

// Computes the environment variables of images, for any set of specs of a store.
import type { BaseImage } from "../../image/base-image-reader.ts";
import { type EnvModification, envList } from "../../spack/environment/env-modifications.ts";
import type { UnreadRecipe } from "../../spack/environment/recipe-variables.ts";
import { type RunEnvironmentOptions, runEnvironment } from "../../spack/environment/run-environment.ts";
import { RecipeReader } from "../../spack/recipe/recipe-reader.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** Of how many folders to remember whether they exist: each takes 150 bytes, and each prefix has a dozen. */
const FOLDERS_REMEMBERED = 10_000;

/** Computes the `Env` of images; caches which folders exist. */
export class ImageEnvironment {
  readonly #store: Store;
  readonly #settings: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user">;
  readonly #folders = new Map<string, boolean>();
  readonly #inspected = new Map<string, readonly EnvModification[]>();
  readonly #recipes: RecipeReader;

  constructor(store: Store, settings: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user">) {
    this.#store = store;
    this.#settings = settings;
    this.#recipes = new RecipeReader(store);
  }

  /** The recipes that were not understood. */
  get notUnderstood(): readonly UnreadRecipe[] {
    return this.#recipes.unread;
  }

  /**
   * The variables for specs that are used together; `asked` is what Spack reported for them, `project` replaces
   * prefixes by their places in a view.
   */
  of(
    roots: readonly SpecNode[],
    base: BaseImage | undefined,
    asked: readonly EnvModification[] | undefined,
    project?: (value: string) => string,
  ): string[] {
    const store = this.#store;
    return envList(
      runEnvironment({
        ...this.#settings,
        roots,
        asked,
        project,
        recipes: this.#recipes,
        base: base?.env,
        inspected: this.#inspected,
        prefixOf: (node) => store.get(node.hash)?.path ?? node.external?.path ?? undefined,
        isDirectory: (path) => this.#isDirectory(path),
      }),
    );
  }

  #isDirectory(path: string): boolean {
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const found = kindAt(path, this.#store.sysroot) === "folder";
    if (this.#folders.size === FOLDERS_REMEMBERED) this.#folders.clear();
    this.#folders.set(path, found);
    return found;
  }
}

/** The folders that the variables of an image add to those in which its base looks for libraries. */
export function addedLibraryFolders(env: readonly string[], base: BaseImage | undefined): string[] {
  const foldersOf = (entries: readonly string[]): string[] => {
    const entry = entries.find((one) => one.startsWith(LIBRARY_PATH)) ?? "";
    return entry
      .slice(LIBRARY_PATH.length)
      .split(":")
      .filter((folder) => folder !== "");
  };
  const known = foldersOf(base?.env ?? []);
  return foldersOf(env).filter((folder) => !known.includes(folder));
}

const LIBRARY_PATH = "LD_LIBRARY_PATH=";

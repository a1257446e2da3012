// Computes the environment variables of images, for any set of specs of a store.
import type { BaseImage } from "../../image/base-image-reader.ts";
import { type EnvModification, envList } from "../../spack/environment/env-modifications.ts";
import { type RunEnvironmentOptions, runEnvironment } from "../../spack/environment/run-environment.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** Computes the `Env` of images; caches which folders exist. */
export class ImageEnvironment {
  readonly #store: Store;
  readonly #settings: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user">;
  readonly #folders = new Map<string, boolean>();
  readonly #inspected = new Map<string, readonly EnvModification[]>();

  constructor(store: Store, settings: Pick<RunEnvironmentOptions, "inspections" | "spackEnv" | "user">) {
    this.#store = store;
    this.#settings = settings;
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
    this.#folders.set(path, found);
    return found;
  }
}

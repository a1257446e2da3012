// `view`: one tree of links to the files of several prefixes (Spack `filesystem_view.py` and `llnl/util/link_tree.py`).
import type { SpecNode } from "../../spack/spec/node.ts";
import { environmentOrder } from "../../spack/spec/spec-orders.ts";
import type { Store } from "../../spack/store/store.ts";
import { bytesOfText } from "../../util/byte-string.ts";
import { ViewFolder, type ViewKind } from "./view-folder.ts";
import { conflict, mergeMetadata, mergeView, shownConflict, type ViewConflict } from "./view-merge.ts";

/** The options of a view. */
export interface ViewOptions {
  readonly store: Store;
  /** The folder of the view; created if it does not exist. */
  readonly directory: string;
  /** The specs, in order of precedence. */
  readonly roots: readonly SpecNode[];
  /** Include link and run dependencies. */
  readonly dependencies: boolean;
  readonly kind: ViewKind;
  /** Fail if two specs have a file at the same path; otherwise the first one wins. */
  readonly strict: boolean;
  /** Report what would be linked, and write nothing. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The report of `view`. */
export interface ViewReport {
  readonly directory: string;
  /** DAG hashes, dependents first. */
  readonly specs: readonly string[];
  /** How many links the view has, and how many of them are new. */
  readonly links: number;
  readonly made: number;
  readonly conflicts: readonly ViewConflict[];
}

/**
 * Makes or updates a view. Existing files stay, except links into the store. Throws CONFLICT, before it creates
 * anything, for two specs of one name, for a file where another prefix has a folder, for other files in the way, and
 * with `strict` for two files at the same path; SPEC_NOT_INSTALLED, FILE_SYSTEM.
 */
export async function view(options: ViewOptions): Promise<ViewReport> {
  const { store, directory, roots, kind, strict, signal } = options;
  const order = options.dependencies ? environmentOrder(roots) : [...roots];
  const nodes = order.filter((node) => node.external === undefined);
  const specs = nodes.map((node) => ({ node, at: "" }));
  const merge = mergeView(store, specs);
  mergeMetadata(store, merge, specs);
  if (strict && merge.conflicts.length > 0) throw conflict(merge.conflicts);
  const target = new ViewFolder(directory, bytesOfText(store.root), kind);
  const todo = target.plan(merge);
  let links = 0;
  for (const { isFolder } of merge.entries.values()) if (!isFolder) links++;
  if (!options.dryRun) await target.prepare();
  for (const step of options.dryRun ? [] : todo) {
    signal?.throwIfAborted();
    await target.make(step);
  }
  const made = todo.filter(({ entry }) => !entry.isFolder).length;
  const conflicts = merge.conflicts.map(shownConflict);
  return { directory, specs: nodes.map(({ hash }) => hash), links, made, conflicts };
}

// Which specs a view has, and in which of its folders their files are (Spack `environment.py`, ViewDescriptor).
import type { View } from "../config/spack-yaml.ts";
import { compareConcrete } from "../query/version-range.ts";
import { LINK, RUN, type SpecNode } from "../spec/node.ts";
import { formatPath } from "../spec/spec-format.ts";
import { environmentOrder } from "../spec/spec-orders.ts";
import { edgesOf, topological } from "../spec/traversal.ts";
import type { Satisfies } from "../store/projection.ts";

/** The rules of a view. */
export type ViewRules = Pick<View, "link" | "select" | "exclude" | "projections">;

/** The rules without any declaration: all link and run dependencies, in one folder. */
export const ALL_IN_ONE: ViewRules = { link: "all", select: [], exclude: [], projections: [] };

/** A spec of a view. */
export interface ViewedSpec {
  readonly node: SpecNode;
  /** The folder of its files in the view, as its projection says; empty for the view itself. */
  readonly at: string;
}

/** The specs of a view, in order of precedence: dependents first, without externals. */
export function viewSpecs(rules: ViewRules, roots: readonly SpecNode[], satisfies: Satisfies): ViewedSpec[] {
  const { link, select, exclude } = rules;
  const isWanted = (node: SpecNode): boolean =>
    node.external === undefined &&
    (select.length === 0 || select.some((query) => satisfies(node, query))) &&
    !exclude.some((query) => satisfies(node, query));
  const nodes = reached(roots, link).filter(isWanted);
  return withoutOldRuntimes(nodes).map((node) => ({ node, at: placeOf(node, rules, satisfies) }));
}

function reached(roots: readonly SpecNode[], link: ViewRules["link"]): SpecNode[] {
  if (link === "all") return environmentOrder(roots);
  if (link === "run") return topological(roots, { types: RUN });
  return [...new Map(roots.map((node) => [node.hash, node])).values()];
}

// Of the runtime libraries of a compiler, a view has the newest: programs built with older ones run with it.
const RUNTIMES: ReadonlySet<string> = new Set(["gcc-runtime", "intel-oneapi-runtime", "llvm-runtime"]);

function withoutOldRuntimes(nodes: readonly SpecNode[]): SpecNode[] {
  const newest = new Map<string, SpecNode>();
  for (const node of nodes) {
    const other = newest.get(node.name);
    if (!RUNTIMES.has(node.name)) continue;
    if (other === undefined || compareConcrete(node.version, other.version) > 0) newest.set(node.name, node);
  }
  return nodes.filter((node) => !RUNTIMES.has(node.name) || newest.get(node.name) === node);
}

function placeOf(node: SpecNode, { projections }: ViewRules, satisfies: Satisfies): string {
  if (projections.length === 0) return "";
  // An extension is where the package that it extends is.
  const placed = extended(node) ?? node;
  const [, format] =
    projections.find(([query]) => query !== "all" && satisfies(placed, query)) ??
    projections.find(([query]) => query === "all") ??
    [];
  return format === undefined ? "" : formatPath(placed, format);
}

const EXTENDED: ReadonlyMap<string, string> = new Map([
  ["python_pip", "python"],
  ["perl", "perl"],
  ["r", "r"],
  ["ruby", "ruby"],
  ["lua", "lua"],
]);

function extended(node: SpecNode): SpecNode | undefined {
  const buildSystem = node.variants.get("build_system");
  const name = typeof buildSystem === "string" ? EXTENDED.get(buildSystem) : undefined;
  if (name === undefined || name === node.name) return undefined;
  return edgesOf(node, { types: LINK | RUN }).find(({ child }) => child.name === name)?.child;
}

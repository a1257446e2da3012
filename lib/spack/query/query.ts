// A query is the parsed form of a spec text. Parsing is in spec-parser.ts, matching in satisfies.ts.
import { BUILD, LINK, RUN, type SpecNode, TEST } from "../spec/node.ts";
import { printVersions, type VersionList } from "./version-range.ts";

/** The machine, in Spack's terms. */
export interface QueryHost {
  readonly platform: string;
  readonly os?: string | undefined;
  readonly target?: string | undefined;
}

/** The requirement on one variant. */
export interface VariantQuery {
  /** A boolean, or values that must all be present; undefined if any value will do. */
  readonly value: boolean | readonly string[] | undefined;
  /** True if no other values are allowed (`:=`). */
  readonly exact: boolean;
  /** True if it applies to every node of the DAG that has the variant (`++`, `==`). */
  readonly propagated: boolean;
}

/** The compiler flags of one assignment. */
export interface FlagsQuery {
  readonly text: string;
  readonly propagated: boolean;
}

/** The requirements of a spec text; undefined and empty parts require nothing. */
export interface SpecQuery {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  /** A spec file in place of its concrete spec; `resolveFiles` replaces it with the hash. */
  readonly file: string | undefined;
  readonly versions: VersionList | undefined;
  readonly variants: ReadonlyMap<string, VariantQuery>;
  /** By kind: `cflags`, … */
  readonly flags: ReadonlyMap<string, readonly FlagsQuery[]>;
  readonly platform: string | undefined;
  readonly os: string | undefined;
  /** A name, a range `low:high`, or a comma-separated list of these. */
  readonly target: string | undefined;
  /** The first characters of the DAG hash. */
  readonly hash: string | undefined;
  readonly edges: readonly QueryEdge[];
}

/** The requirement on a dependency. */
export interface QueryEdge {
  /** True for `%`, an edge of the parent itself; false for `^`, anywhere below it. */
  readonly direct: boolean;
  /** True for `%%`, which adds nothing for concrete specs. */
  readonly propagated: boolean;
  readonly virtuals: readonly string[];
  /** The types that the edge must have (LINK | RUN | …); 0 for any. */
  readonly types: number;
  /** The edge is required only if the parent satisfies this. */
  readonly when: SpecQuery | undefined;
  readonly child: SpecQuery;
}

/** The query that every spec satisfies. */
export const ANY: SpecQuery = {
  name: undefined,
  namespace: undefined,
  file: undefined,
  versions: undefined,
  variants: new Map(),
  flags: new Map(),
  platform: undefined,
  os: undefined,
  target: undefined,
  hash: undefined,
  edges: [],
};

/** Replaces the spec files in a query with their specs, which `read` returns. */
export async function resolveFiles(query: SpecQuery, read: (path: string) => Promise<SpecNode>): Promise<SpecQuery> {
  if (query.file !== undefined) return { ...ANY, hash: (await read(query.file)).hash };
  const edges: QueryEdge[] = [];
  for (const edge of query.edges) edges.push({ ...edge, child: await resolveFiles(edge.child, read) });
  return { ...query, edges };
}

const TYPE_NAMES: readonly (readonly [string, number])[] = [
  ["link", LINK],
  ["run", RUN],
  ["build", BUILD],
  ["test", TEST],
];

/** Prints a query in a form that parses back to it. */
export function printQuery(query: SpecQuery): string {
  const last: string[] = [];
  const edges = query.edges.map((edge) => printEdge(edge, last));
  const text = [printNode(query), ...edges, ...last].filter((part) => part !== "").join(" ");
  return text === "" ? "*" : text;
}

function printNode(query: SpecQuery): string {
  if (query.file !== undefined) return query.file;
  const { name, namespace, versions, platform, os, target, hash } = query;
  // `namespace=` takes any text; only what looks like a name can stand before the dot.
  const dotted = name !== undefined && namespace !== undefined && NAMESPACE.test(namespace);
  let text = dotted ? `${namespace}.${name}` : (name ?? "");
  if (versions) text += `@${printVersions(versions)}`;
  const variants = [...query.variants].toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
  for (const [key, { value, propagated }] of variants) {
    if (typeof value !== "boolean") continue;
    const sign = value ? "+" : "~";
    text += `${propagated ? sign : ""}${sign}${key}`;
  }
  const pairs: string[] = [];
  for (const [kind, flags] of query.flags)
    for (const flag of flags) pairs.push(`${kind}${flag.propagated ? "==" : "="}${quote(flag.text, flag.propagated)}`);
  for (const [key, { value, exact, propagated }] of variants)
    if (typeof value !== "boolean")
      pairs.push(`${key}${exact ? ":" : ""}${propagated ? "==" : "="}${quote(value?.join(",") ?? "*", propagated)}`);
  if (platform !== undefined) pairs.push(`platform=${quote(platform, false)}`);
  if (os !== undefined) pairs.push(`os=${quote(os, false)}`);
  if (target !== undefined) pairs.push(`target=${quote(target, false)}`);
  if (namespace !== undefined && !dotted) pairs.push(`namespace=${quote(namespace, false)}`);
  if (hash !== undefined) pairs.push(`/${hash}`);
  return [text, ...pairs].join(" ").trim();
}

// What must come after all other edges is added to `last`.
function printEdge(edge: QueryEdge, last: string[]): string {
  const { direct, propagated, virtuals, types, when, child } = edge;
  const short = child.name !== undefined && virtuals.length > 0;
  const attributes: string[] = [];
  const common: string[] = [];
  if (types !== 0) {
    const names = TYPE_NAMES.filter(([, type]) => (types & type) !== 0).map(([name]) => name);
    common.push(`deptypes=${names.join(",")}`);
  }
  attributes.push(...common);
  if (virtuals.length > 0 && !short) attributes.push(`virtuals=${virtuals.join(",")}`);
  const condition = when && `when='${printQuery(when).replaceAll("'", "\\'").replace(/\\$/, "\\ ")}'`;
  if (condition) for (const list of [attributes, common]) list.push(condition);
  const percent = propagated ? "%%" : "%";
  const sign = direct ? percent : "^";
  // A name or star prevents `key=value` of a nameless dependency from being read as virtuals.
  const node = child.name === undefined && child.file === undefined ? `* ${printNode(child)}`.trim() : printNode(child);
  let nested = child.edges.map((one) => ` ${printEdge(one, last)}`).join("");
  if (nested !== "" && direct && child.name !== undefined) {
    // What follows a direct dependency belongs to the node before it, so the dependency is named again.
    last.push(`^${common.length > 0 ? `[${common.join(" ")}] ` : ""}${child.name}${nested}`);
    nested = "";
  }
  const head = attributes.length > 0 ? `${sign}[${attributes.join(" ")}]${short ? " " : ""}` : sign;
  return `${head}${short ? `${virtuals.join(",")}=` : ""}${node}${nested}`;
}

const NAMESPACE = /^[a-zA-Z_0-9][a-zA-Z_0-9-]*(?:\.[a-zA-Z_0-9][a-zA-Z_0-9-]*)*$/;
const BARE = /^[a-zA-Z_0-9\-+*.,:=%^~/\\]+$/;

// A value after a single equals sign must not start with another one.
function quote(value: string, propagated: boolean): string {
  if (BARE.test(value) && (propagated || !value.startsWith("="))) return value;
  return `'${value.replaceAll("'", "\\'")}'`;
}

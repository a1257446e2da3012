// The query: what a spec text asks for, as data. Reading is in spec-parser.ts, deciding in satisfies.ts.
import { BUILD, LINK, RUN, type SpecNode, TEST } from "../spec/node.ts";
import { printVersions, type VersionList } from "./version-range.ts";

/** The machine, by Spack's names. */
export interface QueryHost {
  readonly platform: string;
  readonly os?: string | undefined;
  readonly target?: string | undefined;
}

/** What is asked of one variant. */
export interface VariantQuery {
  /** True or false; values, of which each must be there; undefined when any value will do. */
  readonly value: boolean | readonly string[] | undefined;
  /** Exactly these values (`:=`). */
  readonly exact: boolean;
  /** Asked of every node of the DAG that has the variant (`++`, `==`). */
  readonly propagated: boolean;
}

/** Compiler flags as they were given in one assignment. */
export interface FlagsQuery {
  readonly text: string;
  readonly propagated: boolean;
}

/** What a spec text asks for; parts that are undefined or empty ask nothing. */
export interface SpecQuery {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  /** A spec file that stands for its concrete spec; `resolveFiles` replaces it by the hash. */
  readonly file: string | undefined;
  readonly versions: VersionList | undefined;
  readonly variants: ReadonlyMap<string, VariantQuery>;
  /** By kind: `cflags`, … */
  readonly flags: ReadonlyMap<string, readonly FlagsQuery[]>;
  readonly platform: string | undefined;
  readonly os: string | undefined;
  /** A name, a range `low:high`, or several of these with commas. */
  readonly target: string | undefined;
  /** The first characters of the DAG hash. */
  readonly hash: string | undefined;
  readonly edges: readonly QueryEdge[];
}

/** What is asked of a dependency. */
export interface QueryEdge {
  /** `%`: an edge of the parent itself; otherwise `^`: anywhere below it. */
  readonly direct: boolean;
  /** `%%`; asks nothing more of concrete specs. */
  readonly propagated: boolean;
  readonly virtuals: readonly string[];
  /** The types that the edge must have (LINK | RUN | …); 0 for any. */
  readonly types: number;
  /** The edge is asked for only where the parent satisfies this. */
  readonly when: SpecQuery | undefined;
  readonly child: SpecQuery;
}

/** The query that everything satisfies. */
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

/** Replaces the spec files of a query by the specs that they hold, which `read` returns. */
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

/** Prints a query so that parsing gives it back. */
export function printQuery(query: SpecQuery): string {
  const edges = query.edges.map(printEdge);
  const text = [printNode(query), ...edges].filter((part) => part !== "").join(" ");
  return text === "" ? "*" : text;
}

function printNode(query: SpecQuery): string {
  if (query.file !== undefined) return query.file;
  const { name, namespace, versions, platform, os, target, hash } = query;
  let text = name === undefined ? "" : `${namespace === undefined ? "" : `${namespace}.`}${name}`;
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
  if (namespace !== undefined && name === undefined) pairs.push(`namespace=${quote(namespace, false)}`);
  if (hash !== undefined) pairs.push(`/${hash}`);
  return [text, ...pairs].join(" ").trim();
}

function printEdge(edge: QueryEdge): string {
  const { direct, propagated, virtuals, types, when, child } = edge;
  const short = child.name !== undefined && virtuals.length > 0;
  const attributes: string[] = [];
  if (types !== 0) {
    const names = TYPE_NAMES.filter(([, type]) => (types & type) !== 0).map(([name]) => name);
    attributes.push(`deptypes=${names.join(",")}`);
  }
  if (virtuals.length > 0 && !short) attributes.push(`virtuals=${virtuals.join(",")}`);
  if (when) attributes.push(`when='${printQuery(when).replaceAll("'", "\\'").replace(/\\$/, "\\ ")}'`);
  const sign = direct ? (propagated ? "%%" : "%") : "^";
  // A name, or a star, keeps `key=value` of a nameless dependency from being read as virtuals.
  const node = child.name === undefined && child.file === undefined ? `* ${printNode(child)}`.trim() : printNode(child);
  const nested = child.edges.map((inner) => ` ${printEdge(inner)}`).join("");
  const head = attributes.length > 0 ? `${sign}[${attributes.join(" ")}]${short ? " " : ""}` : sign;
  return `${head}${short ? `${virtuals.join(",")}=` : ""}${node}${nested}`;
}

const BARE = /^[a-zA-Z_0-9\-+*.,:=%^~/\\]+$/;

// A value behind a single equals sign must not begin with another one.
function quote(value: string, propagated: boolean): string {
  if (BARE.test(value) && (propagated || !value.startsWith("="))) return value;
  return `'${value.replaceAll("'", "\\'")}'`;
}

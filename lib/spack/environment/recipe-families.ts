// The variables that families of recipes set, as far as they follow from the spec and the folders of its prefix: those
// of language extensions, compilers, MPI and Java. They stand in for recipes that are not there or not understood.
import { posix } from "node:path";
import type { SpecNode } from "../spec/node.ts";
import { LINK, RUN } from "../spec/node.ts";
import { edgesOf } from "../spec/traversal.ts";
import type { EnvModification } from "./env-modifications.ts";

/** A spec that is used, and its prefix. */
export interface UsedSpec {
  readonly node: SpecNode;
  readonly prefix: string;
  /** True if a recorded path is a folder. */
  isDirectory(path: string): boolean;
}

type Rule = (spec: UsedSpec) => EnvModification[];

/** A rule for the extensions of a package: what the package's recipe sets for them. */
export interface ExtensionRule {
  /** The package that is extended. */
  readonly extended: string;
  readonly modifications: readonly EnvModification[];
}

/** What the packages that a spec extends set for it, by the rules of their families. */
export function extensionRules(spec: UsedSpec): ExtensionRule[] {
  const { node } = spec;
  // An external's prefix is not in the image.
  if (node.external !== undefined) return [];
  const buildSystem = node.variants.get("build_system");
  const extended = typeof buildSystem === "string" && BY_BUILD_SYSTEM.has(buildSystem) ? buildSystem : undefined;
  const modifications = extended === undefined ? undefined : BY_BUILD_SYSTEM.get(extended)?.(spec);
  return [
    ...(isPythonExtension(node) ? [{ extended: "python", modifications: pythonPath(spec) }] : []),
    ...(extended === undefined || modifications === undefined ? [] : [{ extended, modifications }]),
  ];
}

/**
 * What rules say about a package's effect on those that depend on it: `only` if its recipe need not be read, `also` if
 * they stand in for a recipe that is not understood.
 */
export function extensionRuleOf(name: string): "only" | "also" | undefined {
  // The two share the work, and only one of their recipes can be read.
  if (name === "python" || name === "python-venv") return "only";
  return BY_BUILD_SYSTEM.has(name) ? "also" : undefined;
}

/** What a spec's recipe sets by the rule for its package; undefined without such a rule. */
export function packageRule(spec: UsedSpec): EnvModification[] | undefined {
  return spec.node.external === undefined ? BY_NAME.get(spec.node.name)?.(spec) : undefined;
}

// The names of these build systems are those of the packages that they extend.
const BY_BUILD_SYSTEM: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["perl", (spec) => folders(spec, "PERL5LIB", "lib/perl5")],
  ["r", (spec) => folders(spec, "R_LIBS", "rlib/R/library")],
  ["ruby", ({ prefix }) => [prepend("GEM_PATH", prefix)]],
  ["lua", luaPaths],
]);

const JAVA: Rule = (spec) => (has(spec, "bin") ? [set("JAVA_HOME", spec.prefix)] : []);
const MPICH = { MPICC: "mpicc", MPICXX: "mpicxx", MPIF77: "mpif77", MPIF90: "mpif90" };
const OPENMPI = { MPICC: "mpicc", MPICXX: "mpic++", MPIF77: "mpif77", MPIF90: "mpif90" };

const BY_NAME: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  [
    "r",
    (spec) => [
      ...(has(spec, "rlib/R") ? [set("R_HOME", posix.join(spec.prefix, "rlib/R"))] : []),
      ...folders(spec, "PKG_CONFIG_PATH", "rlib/pkgconfig"),
    ],
  ],
  ["lua", luaPaths],
  ["openjdk", JAVA],
  ["jdk", JAVA],
  ["icedtea", JAVA],
  ["mpich", (spec) => programs(spec, MPICH)],
  ["mvapich", (spec) => programs(spec, MPICH)],
  ["mvapich2", (spec) => programs(spec, MPICH)],
  ["openmpi", (spec) => programs(spec, isBefore(spec.node.version, 1, 7) ? OPENMPI : { ...OPENMPI, MPIFC: "mpifort" })],
  ["gcc", gccPrograms],
]);

// Spack's `extends("python")` adds the edge to python-venv; before that, extensions have only the build system.
function isPythonExtension(node: SpecNode): boolean {
  const needs = edgesOf(node, { types: LINK | RUN });
  const isPip = node.variants.get("build_system") === "python_pip";
  return node.name === "python-venv" || isPip || needs.some(({ child }) => child.name === "python-venv");
}

function pythonPath(spec: UsedSpec): EnvModification[] {
  const version = shortVersionOf(spec.node, "python");
  if (version === undefined) return [];
  const below = [`lib64/python${version}/site-packages`, `lib/python${version}/site-packages`];
  return below.flatMap((folder) => folders(spec, "PYTHONPATH", folder));
}

function luaPaths(spec: UsedSpec): EnvModification[] {
  const version = spec.node.name === "lua" ? twoParts(spec.node.version) : shortVersionOf(spec.node, "lua");
  if (version === undefined) return [];
  const share = posix.join("share/lua", version);
  const paths: EnvModification[] = [];
  if (has(spec, share))
    for (const file of ["?.lua", "?/init.lua"])
      paths.push(prepend("LUA_PATH", posix.join(spec.prefix, share, file), ";"));
  for (const folder of ["lib", "lib64"]) {
    const library = posix.join(folder, "lua", version);
    if (has(spec, library)) paths.push(prepend("LUA_CPATH", posix.join(spec.prefix, library, "?.so"), ";"));
  }
  return paths;
}

const LANGUAGES: readonly (readonly [language: string, programs: Readonly<Record<string, string>>])[] = [
  ["c", { CC: "gcc" }],
  ["c++", { CXX: "g++" }],
  ["fortran", { FC: "gfortran", F77: "gfortran" }],
];

function gccPrograms(spec: UsedSpec): EnvModification[] {
  const value = spec.node.variants.get("languages");
  // A variant of several values is a list, and a text in old documents.
  const languages = Array.isArray(value) ? value : String(value ?? "").split(",");
  return LANGUAGES.flatMap(([language, names]) => (languages.includes(language) ? programs(spec, names) : []));
}

function programs(spec: UsedSpec, names: Readonly<Record<string, string>>): EnvModification[] {
  if (!has(spec, "bin")) return [];
  return Object.entries(names).map(([name, program]) => set(name, posix.join(spec.prefix, "bin", program)));
}

function folders(spec: UsedSpec, name: string, folder: string): EnvModification[] {
  return has(spec, folder) ? [prepend(name, posix.join(spec.prefix, folder))] : [];
}

function has({ prefix, isDirectory }: UsedSpec, folder: string): boolean {
  return isDirectory(posix.join(prefix, folder));
}

// The first two parts of the version of a dependency: a direct one, or one of python-venv.
function shortVersionOf(node: SpecNode, name: string): string | undefined {
  const needs = edgesOf(node, { types: LINK | RUN }).map(({ child }) => child);
  const direct = needs.find((child) => child.name === name);
  if (direct !== undefined) return twoParts(direct.version);
  const between = needs.find((child) => child.name === "python-venv");
  return between === undefined ? undefined : shortVersionOf(between, name);
}

function twoParts(version: string): string | undefined {
  return /^\d{1,4}\.\d{1,4}(?=\.|$)/.exec(version)?.[0];
}

function isBefore(version: string, major: number, minor: number): boolean {
  const [one = 0, two = 0] = version.split(".").map(Number);
  return one < major || (one === major && two < minor);
}

function set(name: string, value: string): EnvModification {
  return { op: "set", name, value };
}

function prepend(name: string, value: string, separator = ":"): EnvModification {
  return { op: "prepend-path", name, value, separator };
}

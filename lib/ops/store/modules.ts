// `module`: writes modulefiles of installed specs in the folders of Spack's default configuration (Spack
// `modules/common.py`, `tcl.py`, `lmod.py`).
import { join } from "node:path";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Inspection } from "../../spack/config/settings.ts";
import { isSystemPath } from "../../spack/environment/env-modifications.ts";
import type { UnreadRecipe } from "../../spack/environment/recipe-variables.ts";
import { moduleModifications } from "../../spack/environment/run-environment.ts";
import { RecipeReader } from "../../spack/recipe/recipe-reader.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { findDependency, formatPath, formatSpec, politeFileName } from "../../spack/spec/spec-format.ts";
import { edgesOf, postOrder } from "../../spack/spec/traversal.ts";
import type { Store } from "../../spack/store/store.ts";
import { bytesOfText } from "../../util/byte-string.ts";
import { makeFolder } from "../../util/folder.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { specDescription } from "./descriptions.ts";
import { type ModuleKind, type ModuleServices, moduleText } from "./modulefile.ts";

/** The modulefiles to write. */
export interface ModuleOptions {
  readonly store: Store;
  readonly kind: ModuleKind;
  readonly roots: readonly SpecNode[];
  /** Also write those of link and run dependencies, which the others load. */
  readonly dependencies: boolean;
  readonly inspections: readonly Inspection[];
  /** The folder of the modulefiles. */
  readonly directory: string;
  /** Replace files of other content. */
  readonly force: boolean;
  /** Report what would be written, and write nothing. */
  readonly dryRun: boolean;
}

/** One modulefile. */
export interface WrittenModule {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  /** The name to load it by. */
  readonly module: string;
  /** The file, relative to the folder. */
  readonly path: string;
  /** `differs`: a file of other content is in its place, and stays. */
  readonly outcome: "written" | "same" | "differs";
}

/** The report of `module`. */
export interface ModuleReport {
  readonly store: string;
  readonly directory: string;
  readonly kind: ModuleKind;
  readonly modules: readonly WrittenModule[];
  /** The folders to pass to `module use`. */
  readonly use: readonly string[];
  /** Recipes that set more than was understood. */
  readonly notUnderstood: readonly UnreadRecipe[];
}

/** A modulefile is text of a few kilobytes; a larger file in its place is another file. */
const MODULEFILE_LIMIT = 1024 * 1024;

/**
 * Writes modulefiles. A file of other content stays, unless `force` is given. Links below the folder are not followed:
 * another user may have made them. Throws FILE_SYSTEM, also for such a link, and SPEC_INVALID for a variable that no
 * shell supports.
 */
export async function writeModules(options: ModuleOptions): Promise<ModuleReport> {
  const { store, kind, roots, directory, force, dryRun } = options;
  const recipes = new RecipeReader(store);
  const nodes = options.dependencies ? postOrder(roots, { types: LINK | RUN }) : roots;
  const modules: WrittenModule[] = [];
  const use = new Set<string>();
  if (!dryRun) makeFolder(directory);
  using tree = dryRun && kindAt(directory) !== "folder" ? undefined : new HeldTree(directory);
  for (const node of nodes) {
    const { name, version, hash } = node;
    const place = placeOf(kind, node);
    const path = join(place.folder, place.file);
    const text = textFor(node, options, recipes);
    const before = tree && contentOf(tree, path);
    const isFree = before === undefined || force;
    const changed = isFree ? "written" : "differs";
    const outcome = before === text ? "same" : changed;
    if (outcome === "written" && !dryRun && tree) write(tree, path, text);
    modules.push({ name, version, hash, module: place.module, path, outcome });
    use.add(join(directory, place.folder));
  }
  return { store: store.root, directory, kind, modules, use: [...use].toSorted(), notUnderstood: recipes.unread };
}

// Empty for what is no modulefile: a folder, a link, a file that is too large.
function contentOf(tree: HeldTree, path: string): string | undefined {
  return within(tree, path, () => {
    try {
      const stats = tree.stats(bytesOfText(path));
      if (stats === undefined) return undefined;
      return stats.isFile() ? tree.read(bytesOfText(path), MODULEFILE_LIMIT)?.toString("utf8") : "";
    } catch (error) {
      if (isStaveError(error, "TOO_LARGE")) return "";
      throw error;
    }
  });
}

function write(tree: HeldTree, path: string, text: string): void {
  within(tree, path, () => {
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1))
      tree.makeFolder(bytesOfText(path.slice(0, at)));
    tree.write(bytesOfText(path), text);
  });
}

function within<T>(tree: HeldTree, path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!isStaveError(cause, "ARCHIVE_UNSAFE")) throw cause;
    const file = join(tree.directory, path);
    throw new StaveError(
      "FILE_SYSTEM",
      `cannot write ${file}: a link, or another thing that is no file, is in its way`,
      {
        subject: file,
        hint: "remove it, or name another folder",
        cause,
      },
    );
  }
}

interface Place {
  /** The folder for `module use`, relative to the root. */
  readonly folder: string;
  readonly file: string;
  readonly module: string;
}

function placeOf(kind: ModuleKind, node: SpecNode): Place {
  const projection = kind === "tcl" ? "{name}/{version}-{compiler.name}-{compiler.version}" : "{name}/{version}";
  const module = `${formatPath(node, projection)}-${node.hash.slice(0, 7)}`;
  if (kind === "tcl") return { folder: politeFileName(formatSpec(node, "{architecture}")), file: module, module };
  const parts = requirements(node).map(([service, provider]) => servicePath(service, provider));
  return { folder: join(familyFolder(node), ...parts), file: `${module}.lua`, module };
}

const familyFolder = (node: SpecNode): string => politeFileName(formatSpec(node, "{platform}-{os}-{target.family}"));

// The hierarchy of Spack's default configuration: first the MPI library that is used, then the compiler.
function requirements(node: SpecNode): (readonly ["mpi" | "compiler", SpecNode | undefined])[] {
  const compiler = compilerIn(node);
  if (compiler === undefined) return [["compiler", undefined]];
  const mpi = providesMpi(node) ? undefined : mpiOf(node);
  return [...(mpi === undefined ? [] : [["mpi", mpi] as const]), ["compiler", compiler]];
}

// The C compiler of the spec, or else of what it links or runs.
function compilerIn(node: SpecNode): SpecNode | undefined {
  const order = postOrder([node], { types: LINK | RUN }).toReversed();
  for (const one of order) for (const { child, virtuals } of one.edges) if (virtuals.includes("c")) return child;
  return undefined;
}

const mpiOf = (node: SpecNode): SpecNode | undefined => {
  const found = findDependency(node, "mpi");
  return found === node ? undefined : found;
};

const MPI = new Set([
  "openmpi",
  "mpich",
  "mvapich",
  "mvapich2",
  "intel-oneapi-mpi",
  "cray-mpich",
  "mpt",
  "spectrum-mpi",
]);
const providesMpi = ({ name }: SpecNode): boolean => MPI.has(name);

// Compilers of the system, and specs without a compiler, are at the top.
function servicePath(service: "mpi" | "compiler", provider: SpecNode | undefined): string {
  if (provider === undefined) return "Core";
  const { name, version, external, hash } = provider;
  const path = `${politeFileName(name)}/${politeFileName(version)}`;
  if (service === "mpi") return `${path}-${hash.slice(0, 7)}`;
  return typeof external?.path === "string" && isSystemPath(external.path) ? "Core" : path;
}

const COMPILERS: ReadonlyMap<string, string> = new Map([
  ...["gcc", "aocc", "cce", "nag", "fj", "xl", "arm"].map((name) => [name, name] as const),
  ["llvm", "clang"],
  ["llvm-amdgpu", "rocmcc"],
  ["acfl", "arm"],
  ["apple-clang", "apple-clang"],
  ["intel-oneapi-compilers", "oneapi"],
  ["intel-oneapi-compilers-classic", "intel"],
  ["nvhpc", "nvhpc"],
]);

function servicesOf(node: SpecNode, directory: string): ModuleServices | undefined {
  const base = join(directory, familyFolder(node));
  const { name, version, hash } = node;
  const compiler = COMPILERS.get(name);
  if (compiler !== undefined) {
    const own = servicePath("compiler", { ...node, name: compiler });
    return { names: ["compiler"], paths: [join(base, own)], version: undefined };
  }
  if (!providesMpi(node)) return undefined;
  const parts = [servicePath("mpi", node), ...requirements(node).map(([service, one]) => servicePath(service, one))];
  return { names: ["mpi"], paths: [join(base, ...parts)], version: `${version}-${hash.slice(0, 7)}` };
}

function textFor(
  node: SpecNode,
  { store, kind, inspections, directory }: ModuleOptions,
  recipes: RecipeReader,
): string {
  const prefix = store.get(node.hash)?.path ?? node.external?.path ?? undefined;
  const modifications = moduleModifications(node, {
    recipes,
    inspections,
    prefixOf: (one) => store.get(one.hash)?.path ?? one.external?.path ?? undefined,
    isDirectory: (path) => kindAt(path, store.sysroot) === "folder",
  });
  return moduleText(kind, {
    name: node.name,
    version: node.version,
    target: node.target,
    spec: formatSpec(node, SPEC_LINE),
    description: node.external === undefined && prefix !== undefined ? specDescription(node, store, prefix) : [],
    autoload: edgesOf(node, { types: LINK | RUN }).map(({ child }) => placeOf(kind, child).module),
    modifications,
    provides: kind === "lmod" ? servicesOf(node, directory) : undefined,
  });
}

const SPEC_LINE =
  "{name}{@version}{variants}{ platform=architecture.platform}{ os=architecture.os}{ target=architecture.target}{/hash:7}";

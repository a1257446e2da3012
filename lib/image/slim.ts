// What a slim image leaves out of each package: the kinds of files that running programs do not need, unless the caller
// keeps them, and nothing of packages whose work is to build others. Pure.
import { StaveError } from "../errors.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { isNear } from "../util/typo.ts";
import { type ContentKind, DISPENSABLE } from "./content-kind.ts";

/** How to make an image slim. */
export interface SlimSettings {
  /** Kinds of files to keep in all packages. */
  readonly keep?: readonly string[] | undefined;
  /** Kinds of files to keep in single packages, by name; `all` keeps everything. */
  readonly packages?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** Compilers and build tools: their headers, modules and object files are what they work with. */
export const KEPT_WHOLE: readonly string[] = [
  ...[
    "aocc",
    "autoconf",
    "autoconf-archive",
    "automake",
    "binutils",
    "bison",
    "cmake",
    "cuda",
    "extra-cmake-modules",
    "gcc",
  ],
  ...["ghc", "go", "hip", "intel-oneapi-compilers", "intel-oneapi-compilers-classic", "julia", "libtool", "llvm"],
  ...["llvm-amdgpu", "m4", "meson", "nvhpc", "ocaml", "pkg-config", "pkgconf", "rust", "swig", "tcc"],
  // These compile for what they run on while they run.
  ...["py-cppyy-cling", "py-cupy", "py-torch", "py-triton", "pocl", "root"],
];

/** Grows when the meaning of the kinds changes, so that slim layers of before are made again. */
const VERSION = 1;
const KINDS: readonly string[] = [...DISPENSABLE];

/** Which kinds of files an image is without. */
export class SlimRules {
  readonly #keep: ReadonlySet<string>;
  readonly #packages: ReadonlyMap<string, readonly string[]>;
  /** Identifies the rules: layers made by the same ones may be used again. */
  readonly id: string;

  readonly #strips: boolean;

  /** `strips` removes debug sections, too. Throws USAGE for a kind that does not exist. */
  constructor({ keep = [], packages = {} }: SlimSettings, strips = false) {
    for (const kind of keep) checkKind(kind, KINDS);
    for (const kind of Object.values(packages).flat()) checkKind(kind, [...KINDS, "all"]);
    this.#keep = new Set(keep);
    this.#packages = new Map(Object.entries(packages));
    this.#strips = strips;
    const kept = [...this.#packages].sort(([a], [b]) => (a < b ? -1 : 1));
    const said = [VERSION, [...this.#keep].sort(), kept, ...(strips ? ["stripped"] : [])];
    this.id = hexOf(digestOf(JSON.stringify(said))).slice(0, 16);
  }

  /** True if debug sections are removed from the programs and libraries of a package. */
  stripsOf(name: string): boolean {
    return this.#strips && this.#packages.get(name)?.includes("all") !== true;
  }

  /** The kinds of files that a package is without; none if it is kept whole. */
  omittedOf(name: string): ContentKind[] {
    const kept = this.#packages.get(name);
    if (kept === undefined && KEPT_WHOLE.includes(name)) return [];
    if (kept?.includes("all")) return [];
    return [...DISPENSABLE].filter((kind) => !this.#keep.has(kind) && !kept?.includes(kind));
  }
}

function checkKind(kind: string, known: readonly string[]): void {
  if (known.includes(kind)) return;
  const near = known.find((other) => isNear(kind, other));
  throw new StaveError("USAGE", `a slim image has no kind of files ${printable(JSON.stringify(kind))}`, {
    hint: near === undefined ? `the kinds are ${known.join(", ")}` : `did you mean ${near}?`,
  });
}

// Creates an install database of any size for benchmarks and tests: realistic names, a compiler and its runtime,
// externals, about fifteen dependencies each, and true DAG hashes. The same seed gives the same bytes.
// usage: tsx scripts/make-database.ts DIR [INSTALLS] [SEED]
import { mkdirSync, writeFileSync } from "node:fs";
import { digestOf, hexOf } from "../lib/oci/digest.ts";
import { base32Hash } from "../lib/spack/spec/dag-hash.ts";
import { writeJson } from "../lib/spack/text/json.ts";
import type { JsonObject } from "../lib/spack/text/json-value.ts";
import { dice } from "./dice.ts";
import { isMain } from "./is-main.ts";

export interface DatabaseOptions {
  /** How many records, externals included. */
  installs: number;
  seed: number;
  /** The root of the recorded paths. */
  root: string;
  /** The number of consecutive specs that depend only on each other and on externals; default: on all earlier ones. */
  stack?: number | undefined;
  /** The share of specs that are installed; default: 0.97. */
  installed?: number | undefined;
  /** The number of patches of each spec, 67 bytes each; default: none. */
  patches?: number;
}

interface Made {
  name: string;
  hash: string;
  path: string;
  spec: JsonObject;
  children: Made[];
  refCount: number;
  installed: boolean;
}
type Wanted = [child: Made, types: string[], virtuals: string[]];

// Packages that much software depends on, most used first; then the parts of invented names.
const BASE =
  "zlib-ng pkgconf ncurses readline openssl bzip2 xz zstd libiconv libxml2 perl python cmake ninja m4 autoconf automake libtool gettext diffutils findutils tar curl expat sqlite libffi gdbm berkeley-db util-linux-uuid openblas openmpi hdf5 netcdf-c netcdf-fortran fftw gsl boost eigen hwloc libevent pmix prrte numactl libfabric ucx rdma-core slurm parallel-netcdf py-setuptools py-pip py-wheel py-numpy py-cython py-scipy py-mpi4py py-h5py llvm cuda hip kokkos trilinos petsc slepc hypre metis parmetis scotch superlu-dist mumps sundials adios2 vtk paraview lammps gromacs quantum-espresso cp2k namd openfoam root geant4 clhep gdal proj geos"
    .split(" ")
    .map((name) => name.trim());
const PREFIXES = ["py-", "py-", "py-", "r-", "r-", "perl-", "lib", "xorg-", "go-", "rust-", ""];
const STEMS =
  "array async atlas audio auth batch bind block broker bundle byte cache calc chem cloud cluster codec color config core cosmo crypt curve data date decor delta dense diff disk dist dom draw edge elastic event fast field file filter flow font form frame fuzzy gene geo graph grid hash heap host http image index input iter json kernel lattice layer lazy linear link list load log loop map mark mass mat mesh meta mini mixed mock model mol multi net node notebook num object optim orbit pack page param parse path peak phys pipe pixel plan plot pool port proc proto pulse quad query queue quick rand range raster ray region render ring route rule sample scan schema scope seq series shape shell signal simple sky soft solve sort space sparse spec spin stack stat stream string style sym sync table tensor test text thread tick time token tool topo trace track tree type unit util value vector view wave web wide window word xray yaml zone".split(
    " ",
  );
const TARGETS: JsonObject[] = [
  [
    "zen3",
    "AuthenticAMD",
    ["zen2"],
    "abm aes avx avx2 bmi1 bmi2 clflushopt clwb clzero cx16 f16c fma fsgsbase mmx movbe pclmulqdq pku popcnt rdseed sse sse2 sse3 sse4_1 sse4_2 sse4a ssse3 vaes vpclmulqdq xsave xsavec xsaveopt",
  ],
  [
    "icelake",
    "GenuineIntel",
    ["cascadelake", "cannonlake"],
    "abm adx aes avx avx2 avx512_bitalg avx512_vbmi2 avx512_vnni avx512_vpopcntdq avx512bw avx512cd avx512dq avx512f avx512ifma avx512vbmi avx512vl bmi1 bmi2 clflushopt clwb cx16 f16c fma gfni lahf_lm mmx movbe pclmulqdq popcnt rdpid rdrand rdseed sha_ni sse sse2 sse3 sse4_1 sse4_2 ssse3 vaes vpclmulqdq xsave xsavec xsaveopt",
  ],
].map(([name, vendor, parents, features]) => ({
  name: String(name),
  vendor: String(vendor),
  features: String(features).split(" "),
  generation: 0,
  parents: [parents].flat().map(String),
  cpupart: "",
}));
const VARIANTS = [
  "cxx",
  "debug",
  "doc",
  "fortran",
  "hl",
  "ipo",
  "java",
  "mpi",
  "pic",
  "shared",
  "static",
  "threads",
  "tools",
  "x",
];
/** Dependency types, each with the share of edges that have it or one before it. */
const TYPES: readonly (readonly [share: number, types: string[]])[] = [
  [0.2, ["build"]],
  [0.75, ["build", "link"]],
  [0.9, ["link", "run"]],
];
const VIRTUALS = new Map([
  ["openmpi", ["mpi"]],
  ["openblas", ["blas", "lapack"]],
  ["zlib-ng", ["zlib-api"]],
  ["pkgconf", ["pkgconfig"]],
  ["libiconv", ["iconv"]],
]);
const FLAGS = { cflags: [], cppflags: [], cxxflags: [], fflags: [], ldflags: [], ldlibs: [] };

function packageNames(count: number, random: () => number): string[] {
  const names = new Set(BASE);
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)] ?? "";
  while (names.size < count) names.add(`${pick(PREFIXES)}${pick(STEMS)}-${pick(STEMS)}`);
  return [...names].slice(0, count);
}

function patchesOf(name: string, count: number): string[] {
  const rest = hexOf(digestOf(name)).slice(8);
  return Array.from({ length: count }, (_, at) => `${at.toString(16).padStart(8, "0")}${rest}`);
}

/** Creates the text of an `index.json` of version 8. */
export function makeDatabase(options: DatabaseOptions): string {
  const { installs, seed, root, stack = Number.POSITIVE_INFINITY, patches = 0, installed = 0.97 } = options;
  const random = dice(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const made: Made[] = [];
  const byPackage = new Map<string, Made[]>();

  const add = (
    name: string,
    version: string,
    target: JsonObject | "x86_64",
    wanted: Wanted[],
    external?: string,
  ): Made => {
    const variants = VARIANTS.filter(() => random() < 0.35).map((variant): [string, boolean] => [
      variant,
      random() < 0.5,
    ]);
    const dependencies = wanted
      .toSorted(([a], [b]) => (a.name < b.name ? -1 : 1))
      .map(([{ name, hash }, deptypes, virtuals]) => ({ name, hash, parameters: { deptypes, virtuals } }));
    const spec: JsonObject = {
      name,
      version,
      arch: { platform: "linux", platform_os: "rhel9", target },
      namespace: "builtin",
      parameters: {
        build_system: "generic",
        ...Object.fromEntries(variants),
        ...(patches === 0 ? {} : { patches: patchesOf(name, patches) }),
        ...FLAGS,
      },
      ...(external === undefined ? {} : { external: { path: external, module: null, extra_attributes: {} } }),
      package_hash: `${base32Hash(`${name} ${version}`)}${base32Hash(version).slice(0, 20)}====`,
      ...(dependencies.length === 0 ? {} : { dependencies }),
      annotations: { original_specfile_version: 5 },
    };
    const hash = base32Hash(writeJson(spec));
    spec["hash"] = hash;
    const folder = `${root}/linux-${typeof target === "string" ? target : target["name"]}`;
    const path = external ?? `${folder}/${name}-${version}-${hash}`;
    const children = wanted.map(([child]) => child);
    for (const child of children) child.refCount++;
    const one: Made = {
      name,
      hash,
      path,
      spec,
      children,
      refCount: 0,
      installed: random() < installed || external !== undefined,
    };
    made.push(one);
    const same = byPackage.get(name);
    if (same) same.push(one);
    else byPackage.set(name, [one]);
    return one;
  };

  const glibc = add("glibc", "2.34", "x86_64", [], "/usr");
  const gmake = add("gmake", "4.3", "x86_64", [], "/usr");
  const gccs = ["11.4.1", "13.2.0", "14.2.0"].map((version) =>
    add("gcc", version, "x86_64", [], `/opt/gcc/${version}`),
  );
  const wrapper = add("compiler-wrapper", "1.1.0", "x86_64", []);
  const runtimes = gccs.map((gcc) =>
    add("gcc-runtime", String(gcc.spec["version"]), "x86_64", [
      [gcc, ["build"], []],
      [glibc, ["link"], ["libc"]],
    ]),
  );

  const all = packageNames(Math.max(BASE.length, Math.ceil(installs / 12)), random);
  let names = all;
  const seen = new Set(made.map((one) => one.hash));
  for (let at = 0; made.length < installs; at++) {
    if (at % stack === 0) {
      // Widely used packages are in every stack, others are not.
      byPackage.clear();
      names = all.map((name, rank) => (2 * rank < stack ? name : (all[below(all.length)] ?? name))).slice(0, stack);
    }
    const rank = at % stack < names.length ? at % stack : below(names.length);
    const name = names[rank] ?? "zlib-ng";
    const compiler = below(gccs.length);
    const [gcc, runtime] = [gccs[compiler], runtimes[compiler]];
    if (!gcc || !runtime) continue;
    const wanted: Wanted[] = [
      [wrapper, ["build"], []],
      [gcc, ["build"], name.startsWith("py-") ? ["c"] : ["c", "cxx"]],
      [runtime, ["link"], []],
      [glibc, ["link"], ["libc"]],
      [gmake, ["build"], []],
    ];
    // Popular packages, early in the list, have more dependents.
    const children = new Set(
      Array.from({ length: Math.min(rank, 4 + below(14)) }, () => names[Math.floor(random() ** 2.5 * rank)]),
    );
    for (const child of children) {
      const offered = child === undefined ? undefined : byPackage.get(child);
      const chosen = offered?.[below(offered.length)];
      if (chosen === undefined) continue;
      const kind = random();
      const types = TYPES.find(([share]) => kind < share)?.[1] ?? ["build", "run"];
      wanted.push([chosen, types, VIRTUALS.get(chosen.name) ?? []]);
    }
    const version = `${below(12)}.${below(30)}.${below(10)}`;
    const one = add(name, version, TARGETS[below(TARGETS.length)] ?? "x86_64", wanted);
    if (seen.has(one.hash)) throw new Error(`the dice gave the same spec twice: ${one.hash}`);
    seen.add(one.hash);
  }

  const records = made.map(
    ({ hash, spec, refCount, path, installed }, at) =>
      `"${hash}":${writeJson({
        spec,
        ref_count: refCount,
        path,
        installed,
        explicit: refCount === 0 || at % 17 === 0,
        installation_time: 1_760_000_000 + at * 7 + ((at * 7919) % 1_000_000) / 1_000_000 + 0.000001,
        deprecated_for: null,
      })}`,
  );
  return `{"database":{"version":"8","installs":{${records.join(",")}}}}`;
}

/** Writes a store that contains only its database into a folder. */
export function writeStore(folder: string, options: DatabaseOptions): void {
  mkdirSync(`${folder}/.spack-db`, { recursive: true });
  writeFileSync(`${folder}/.spack-db/index.json`, makeDatabase(options));
  writeFileSync(`${folder}/.spack-db/index_verifier`, "00000000-0000-4000-8000-000000000000");
  writeFileSync(`${folder}/.spack-db/lock`, "");
}

if (isMain(import.meta)) {
  const [folder, installs = "20000", seed = "1"] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: tsx scripts/make-database.ts DIR [INSTALLS] [SEED]");
  writeStore(folder, { installs: Number(installs), seed: Number(seed), root: folder });
}

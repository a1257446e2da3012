// Builds a real environment by hand: this machine's Python with an extension in C and the libraries that they need,
// each in a prefix of its own with search paths as Spack writes them, and base images from folders.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { digestOf } from "../lib/oci/digest.ts";
import { goArchitecture } from "../lib/oci/platform.ts";
import { writeLayout } from "./make-base.ts";
import { type MadeSpec, makeEnvironment } from "./make-environment.ts";
import { findProgram } from "./peers.ts";

const NEEDED = ["python3", "gcc", "patchelf", "ldd", "strip", "buildah"];

/** What building and running it lacks on this machine; undefined if nothing. */
export function lackingForRealPython(): string | undefined {
  const missing = NEEDED.filter((program) => findProgram(program) === undefined);
  if (missing.length > 0) return `missing: ${missing.join(", ")}`;
  const { include } = findPython();
  return existsSync(join(include, "Python.h")) ? undefined : `python3 has no ${join(include, "Python.h")}`;
}

/** What the console script of the environment prints when all of it works. */
export const GREETING: RegExp = /^hello 42 from Python 3\.\d+\.\d+ with zlib [\d.]+\n$/;

/** Libraries of glibc, which the base image provides. */
const GLIBC = /^(?:ld-linux.*|linux-vdso|lib(?:c|m|dl|rt|pthread|util|resolv|anl|nsl|BrokenLocale))\.so[.\d]*$/;

const EXTENSION = `#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong((long)sqrt(1764.0)); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_greeting", "", -1, methods};
PyMODINIT_FUNC PyInit__greeting(void) { return PyModule_Create(&module); }
`;
const MODULE = `import sys, zlib, _greeting

def main():
    version = ".".join(map(str, sys.version_info[:3]))
    print("hello", _greeting.answer(), "from Python", version, "with zlib", zlib.ZLIB_RUNTIME_VERSION)
`;

interface Python {
  readonly version: string;
  readonly short: string;
  readonly program: string;
  readonly stdlib: string;
  readonly include: string;
  /** The shared library, if the program is linked with it. */
  readonly library: string | undefined;
}

function findPython(): Python {
  const script = `import sys, sysconfig, json
print(json.dumps([sys.version.split()[0], sys.executable, sysconfig.get_path("stdlib"), sysconfig.get_path("include")]))`;
  const said = JSON.parse(execFileSync("python3", ["-c", script], { encoding: "utf8" })) as string[];
  const [version = "", executable = "", stdlib = "", include = ""] = said;
  const program = realpathSync(executable);
  const library = [...librariesOf(program)].find(([name]) => name.startsWith("libpython"))?.[1];
  return { version, short: version.split(".").slice(0, 2).join("."), program, stdlib, include, library };
}

/** The libraries that a file needs, all the way down, and where they are: by name. */
function librariesOf(path: string): Map<string, string> {
  const said = execFileSync("ldd", [path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const found = new Map<string, string>();
  for (const [, name = "", place = ""] of said.matchAll(/^\s*(\S+)(?: => (\/\S+))? \(0x/gm)) {
    if (place !== "") found.set(name, place);
    else if (name.startsWith("/")) found.set(basename(name), name);
  }
  return found;
}

/** A store with the environment. */
export interface RealEnvironment {
  readonly root: string;
  /** The spec to push. */
  readonly spec: string;
  /** The libraries of this machine's glibc that it needs, by their paths. */
  readonly glibc: readonly string[];
}

/** Writes the store into a folder. */
export function makeRealEnvironment(root: string): RealEnvironment {
  const python = findPython();
  const modules = globSync(join(python.stdlib, "lib-dynload/{_bisect,_struct,math,zlib,_ctypes,_ssl,_hashlib}.*.so"));
  const files = [python.program, ...(python.library === undefined ? [] : [python.library]), ...modules];
  const needed = new Map(files.flatMap((file) => [...librariesOf(file)]));
  const glibc = [...needed].filter(([name]) => GLIBC.test(name)).map(([, path]) => path);
  const own = [...needed].filter(([name]) => !GLIBC.test(name) && !name.startsWith("libpython"));
  const spec = (name: string, needs: readonly string[], version = "1.0"): MadeSpec => ({
    ...{ id: name, name, size: 0, needs, version },
  });
  const nameOf = (library: string): string =>
    library
      .replace(/\.so.*/, "")
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-");
  const libraries = own.map(([name, path]) => {
    const below = [...librariesOf(path).keys()].filter(
      (other) => other !== name && needed.has(other) && !GLIBC.test(other),
    );
    return { name: nameOf(name), file: name, path, needs: below.map(nameOf) };
  });
  const ordered = libraries.toSorted((a, b) => a.needs.length - b.needs.length);
  const all = ordered.map(({ name }) => name);
  const specs = [
    ...ordered.map(({ name, needs }) => spec(name, needs)),
    spec("python", all, python.version),
    spec("python-venv", ["python"]),
    spec("py-greeting", ["python", "python-venv"]),
  ];
  const hashes = makeEnvironment(root, specs, 0);
  const prefixOf = (name: string): string => {
    const { version = "1.0" } = specs.find((one) => one.name === name) ?? {};
    return join(root, "linux-x86_64", `${name}-${version}-${hashes.get(name)}`);
  };
  for (const { name } of specs)
    for (const part of ["bin", "share"]) rmSync(join(prefixOf(name), part), { recursive: true });
  const rpath = [...all, "python"].map((name) => join(prefixOf(name), "lib")).join(":");
  const place = (from: string, to: string): void => {
    mkdirSync(dirname(to), { recursive: true });
    cpSync(realpathSync(from), to);
    execFileSync("patchelf", ["--force-rpath", "--set-rpath", rpath, to]);
  };
  for (const { name, file, path } of ordered) place(path, join(prefixOf(name), "lib", file));
  const home = prefixOf("python");
  const program = join(home, `bin/python${python.short}`);
  place(python.program, program);
  if (python.library !== undefined) place(python.library, join(home, "lib", basename(python.library)));
  const stdlib = join(home, `lib/python${python.short}`);
  const isKept = (path: string): boolean =>
    !/\/(?:site-packages|dist-packages|test|tests|idlelib|tkinter|lib2to3|ensurepip|config-[^/]*|lib-dynload\/.*\.so)$/.test(
      path,
    );
  cpSync(python.stdlib, stdlib, { recursive: true, filter: isKept, verbatimSymlinks: true });
  for (const module of modules) place(module, join(stdlib, "lib-dynload", basename(module)));
  const packages = join(prefixOf("py-greeting"), `lib/python${python.short}/site-packages`);
  mkdirSync(join(prefixOf("python-venv"), `lib/python${python.short}/site-packages`), { recursive: true });
  mkdirSync(packages, { recursive: true });
  writeFileSync(join(packages, "greeting.py"), MODULE);
  const source = join(root, "greeting.c");
  writeFileSync(source, EXTENSION);
  const built = join(packages, "_greeting.so");
  execFileSync("gcc", ["-g", "-shared", "-fPIC", `-I${python.include}`, "-o", built, source, "-lm"]);
  rmSync(source);
  mkdirSync(join(prefixOf("py-greeting"), "bin"));
  const script = `#!${program}\nimport greeting\ngreeting.main()\n`;
  writeFileSync(join(prefixOf("py-greeting"), "bin/greet"), script, { mode: 0o755 });
  return { root, spec: "py-greeting", glibc };
}

/** Writes a base image with these files of this machine, or with the content of a folder. */
export function makeFileBase(
  layout: string,
  tag: string,
  content: { readonly files: readonly string[] } | { readonly folder: string },
): void {
  const folder = "folder" in content ? content.folder : `${layout}-root`;
  if ("files" in content)
    for (const path of content.files) {
      const to = join(folder, path);
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, readFileSync(path), { mode: 0o755 });
    }
  for (const name of ["tmp", "proc", "sys", "dev", "etc"])
    if (!existsSync(join(folder, name))) mkdirSync(join(folder, name));
  const left = ["./dev/*", "./proc/*", "./sys/*", "./var/cache/*", "./var/lib/apt/*", "./usr/share/*", "./var/log/*"];
  const args = [...left.map((pattern) => `--exclude=${pattern}`), "-C", folder, "-cf", "-", "."];
  const tar = execFileSync("tar", args, { maxBuffer: 1 << 30 });
  const config = {
    architecture: goArchitecture(execFileSync("uname", ["-m"], { encoding: "utf8" }).trim()),
    os: "linux",
    config: { Env: ["PATH=/usr/bin:/bin"] },
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
  };
  writeLayout(layout, { tag, config, tars: [tar] });
}

// Finds real Spack, by SPACK_ROOT or on the PATH. Recipes for the golden packages are invented.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findInstallation } from "../../lib/spack/config/spack-installation.ts";
import { configTree, hostAt } from "./config-tree.ts";
import { unpackGolden } from "./golden.ts";

/** The available Spack. */
export const installation = findInstallation(undefined, hostAt("/", { ...(process.env as Record<string, string>) }));
/** Why tests with Spack are skipped; false if they are not. */
export const skip: string | false = installation === undefined ? "no spack in SPACK_ROOT or on the PATH" : false;
/** True for a Spack before 1.0. */
export const isOld: boolean = installation?.version.startsWith("0.") ?? false;
const PACKAGES = {
  shipyard: {
    fleet: "",
    voyage: 'env.set("VOYAGE_MODE", "calm")',
    rigging: 'env.set("RIGGING_HOME", self.prefix)',
    paddle: "",
    hull: "",
    "zlib-ish": "",
  },
  builtin: { gcc: "", glibc: "", "gcc-runtime": "", "compiler-wrapper": "" },
};

const VIRTUALS: Readonly<Record<string, string>> = {
  paddle: '"propulsion"',
  gcc: '"c", "cxx", "fortran"',
  glibc: '"libc"',
};

/** A scope for -C with a store, repositories of recipes in that Spack's format, and more files. */
export function spackScope(store: string, more: Readonly<Record<string, string>> = {}): string {
  const files: Record<string, string> = { "scope/config.yaml": `config: {install_tree: {root: ${store}}}\n` };
  for (const [name, text] of Object.entries(more)) files[`scope/${name}`] = text;
  for (const [namespace, packages] of Object.entries(PACKAGES)) {
    const repository = isOld ? namespace : `spack_repo/${namespace}`;
    files[`${repository}/repo.yaml`] = `repo:\n  namespace: ${namespace}\n${isOld ? "" : "  api: v2.0\n"}`;
    for (const [name, body] of Object.entries(packages)) {
      const type = name
        .split("-")
        .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
        .join("");
      const [folder, base] = isOld ? [name, "Package"] : [name.replaceAll("-", "_"), "PackageBase"];
      files[`${repository}/packages/${folder}/package.py`] = `from spack.package import *
class ${type}(${base}):
    has_code = False
    version("1.0")
    ${name === "paddle" ? "redistribute(binary=False)" : ""}
    ${name in VIRTUALS ? `provides(${VIRTUALS[name]})` : ""}
    def setup_run_environment(self, env):
        ${body || "pass"}
`;
    }
  }
  const root = configTree(files);
  const paths = Object.keys(PACKAGES).map((name) => [name, join(root, isOld ? name : `spack_repo/${name}`)]);
  const list = paths.map(([name, path]) => (isOld ? `- ${path}` : `  ${name}: ${path}`)).join("\n");
  writeFileSync(join(root, "scope/repos.yaml"), `repos::\n${list}\n`);
  return join(root, "scope");
}

/** A copy of a golden store below `work`, whose database contains the new paths. */
export async function movedGolden(work: string): Promise<string> {
  const [archive, folder] = isOld ? ["spack-0.23/store", "store23"] : ["spack-1.2/store", "store"];
  const store = join(work, folder);
  cpSync(join(await unpackGolden(archive), folder), store, { recursive: true, verbatimSymlinks: true });
  const index = join(store, ".spack-db/index.json");
  writeFileSync(index, readFileSync(index, "utf8").replaceAll(`/opt/harbor/${folder}`, store));
  return store;
}

/** The environment of a Spack that ignores the user's configuration and writes below `work`. */
export function spackEnv(work: string): Record<string, string> {
  const own = { SPACK_USER_CONFIG_PATH: join(work, "config"), SPACK_USER_CACHE_PATH: join(work, "cache") };
  return { PATH: process.env["PATH"] ?? "", HOME: work, SPACK_DISABLE_LOCAL_CONFIG: "1", ...own };
}

/** A command line of specs, and Spack's interpretation. */
export interface SpecLine {
  readonly words: readonly string[];
  /** For each spec on the line, the matching specs of the store as `name/hash`; undefined if Spack refuses the line. */
  readonly specs?: readonly (readonly string[])[];
}

const ANSWER = "ANSWER ";
const SCRIPT = `
import json, sys
import spack.cmd, spack.store
lines = []
for words in json.load(sys.stdin):
    try:
        found = [spack.store.STORE.db.query(x) for x in spack.cmd.parse_specs(words)]
        lines.append({"words": words, "specs": [sorted(y.name + "/" + y.dag_hash(7) for y in x) for x in found]})
    except Exception:
        lines.append({"words": words})
print("${ANSWER}" + json.dumps(lines))
`;

/** Asks real Spack which specs of the golden store match command lines. */
export async function askSpecLines(lines: readonly (readonly string[])[]): Promise<SpecLine[]> {
  const work = mkdtempSync(join(tmpdir(), "stave-lines-"));
  try {
    const scope = spackScope(await movedGolden(work));
    const program = join(installation?.root ?? "", "bin/spack");
    const args = ["-C", scope, "python", "-c", `exec(${JSON.stringify(SCRIPT)})`];
    const options = { input: JSON.stringify(lines), env: spackEnv(work), encoding: "utf8" } as const;
    const answer = execFileSync(program, args, options)
      .split("\n")
      .find((text) => text.startsWith(ANSWER));
    return JSON.parse(answer?.slice(ANSWER.length) ?? "[]");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// Real Spack, where there is one: named by SPACK_ROOT or on the PATH. Recipes for the golden packages are made up.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findInstallation } from "../../lib/spack/installation.ts";
import { configTree, hostAt } from "./config-tree.ts";

/** The Spack that is there. */
export const installation = findInstallation(undefined, hostAt("/", { ...(process.env as Record<string, string>) }));
/** Why tests with Spack are skipped; false when they are not. */
export const skip: string | false = installation === undefined ? "no spack in SPACK_ROOT or on the PATH" : false;
/** It is of before 1.0. */
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

/** A scope of -C with a store, repositories of recipes in the form of that Spack, and more files. */
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

// Proves that the licenses found in Spack's own recipes are those that were read there by hand.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { specFacts } from "../../lib/spack/recipe/spec-facts.ts";
import { madeNode } from "../support/graph.ts";
import { LICENSES_BY_HAND } from "../support/licenses-by-hand.ts";

// Spack clones its repository when it first needs a recipe.
const CLONED = ".spack/package_repos/*/repos/spack_repo/builtin/packages";
const folder =
  process.env["STAVE_RECIPES"] ?? globSync(CLONED, { cwd: homedir() }).map((one) => join(homedir(), one))[0];
const skip =
  folder !== undefined && existsSync(folder)
    ? false
    : "Spack's recipes are missing: name their folder (…/spack_repo/builtin/packages) in $STAVE_RECIPES";

describe("the licenses of Spack's own recipes", { skip }, () => {
  for (const { name, version, parameters, license } of LICENSES_BY_HAND)
    test(`${name} ${version}${parameters === undefined ? "" : ` ${JSON.stringify(parameters)}`}: ${license}`, () => {
      const recipe = readFileSync(join(folder ?? "", name.replaceAll("-", "_"), "package.py"), "utf8");
      const { facts } = specFacts(madeNode(name, version, parameters), { recipe, spdx: undefined });
      assert.equal(facts.license, license, facts.licenseProblem);
    });
});

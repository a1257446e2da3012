// Fuzzes the readers of recipes: a text is understood, or refused at a place; nothing else is thrown.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isLicenseExpression } from "../../../lib/sbom/bill.ts";
import { NotUnderstood } from "../../../lib/spack/recipe/python-tokens.ts";
import { parseRecipe } from "../../../lib/spack/recipe/recipe.ts";
import { readDependentEnvironment, readRunEnvironment } from "../../../lib/spack/recipe/recipe-methods.ts";
import { specFacts } from "../../../lib/spack/recipe/spec-facts.ts";
import { graphOf } from "../../../lib/spack/spec/graph.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { preOrder } from "../../../lib/spack/spec/traversal.ts";
import type { Family } from "../family.ts";
import { specFiles } from "../seeds.ts";

const { root } = readSpecFile(Buffer.from(specFiles(100).at(-1) ?? ""), "spec.json");
const NAME = root.name.charAt(0).toUpperCase() + root.name.slice(1);
// The test of the reader is full of statements.
const texts = readFileSync(join(import.meta.dirname, "../../spack/recipe/recipe-methods.test.ts"), "utf8");
const statements = [...texts.matchAll(/'((?:env|if|for|x|a,).*)',?$/gm)].map(([, line = ""]) => line);
const seeds = statements.map(
  (line) => `from spack.package import *

class ${NAME}(Package):
    license("MIT", when="@1:")
    version("${root.version}", sha256="${"a".repeat(64)}", url="https://x.example/a.tar.gz")
    with when("+x"):
        extends("python")
    folder = join_path("a", "b")

    @when("@0:")
    def setup_run_environment(self, env):
        ${line}${line.endsWith(":") ? ' env.set("A", f"{self.prefix.bin}/x")' : ""}
        for x in [1, 2]:
            if self.spec.satisfies("@1:") and not "+y" in self.spec:
                env.set("A", "%s" % self.version.up_to(2))

    def setup_dependent_run_environment(self, env, dependent_spec):
        env.prepend_path("B", dependent_spec.prefix)
`,
);

const world = {
  node: root,
  graph: graphOf(preOrder([root])),
  prefixOf: (): string => "/s/p",
  kindAt: (): undefined => undefined,
  isExtension: (): boolean => true,
};

export const family: Family = {
  name: "recipes",
  targets: [
    {
      name: "recipes",
      seeds,
      words: [
        ...["def ", "class ", "if ", "else:", "return", "self", ".", "(", ")", "[", "]", "{", "}", ",", ":", "=", "+="],
        ...[
          '"""',
          "'",
          '"',
          'f"{',
          "\\",
          "\n",
          "\n    ",
          "\n        ",
          "\t",
          "#",
          "lambda ",
          " for x in ",
          " in ",
          "@when(",
        ],
        ...[
          "super().setup_run_environment(env)",
          "join_path(",
          "os.path.join(",
          ".format(",
          " % ",
          "None",
          "self.spec[",
        ],
      ],
      run: (input) => {
        const text = input.toString("utf8");
        const { facts } = specFacts(root, { recipe: text, spdx: text });
        if (facts.license !== undefined) isLicenseExpression(facts.license);
        try {
          const recipe = parseRecipe(text);
          readRunEnvironment(recipe, world);
          readDependentEnvironment(recipe, world, root);
        } catch (error) {
          if (!(error instanceof NotUnderstood)) throw error;
        }
      },
    },
  ],
};

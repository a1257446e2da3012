// Proves what is read of the methods of recipes, and where reading ends. The texts are made up in the forms that
// recipes have.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EnvModification } from "../../../lib/spack/environment/env-modifications.ts";
import { NotUnderstood } from "../../../lib/spack/recipe/python-tokens.ts";
import { parseRecipe } from "../../../lib/spack/recipe/recipe.ts";
import {
  type MethodReading,
  readDependentEnvironment,
  readRunEnvironment,
} from "../../../lib/spack/recipe/recipe-methods.ts";
import type { RecipeWorld } from "../../../lib/spack/recipe/spec-questions.ts";
import { GraphBuilder, graphOf } from "../../../lib/spack/spec/graph.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { fakeNode } from "../../support/graph.ts";

/** `sloop`, which links `hull` and `mast`, and `tender`, which needs `sloop` to run. */
function fleet(): { sloop: SpecNode; tender: SpecNode; world: RecipeWorld } {
  const builder = new GraphBuilder();
  const add = (node: JsonObject): SpecNode => builder.add(node, 5, { source: { name: "made.json" } });
  const hull = add({ ...fakeNode("hull", 1, []), version: "3.10.2" });
  const mast = add({ ...fakeNode("mast", 2, []), version: "main" });
  const needs = [
    { name: "hull", at: 1 },
    { name: "mast", at: 2 },
  ];
  const parameters = { build_system: "cmake", sail: true, oars: false, rig: "gaff", flags: ["red", "blue"] };
  const sloop = add({ ...fakeNode("sloop", 3, needs), version: "2024.05.1-rc2", parameters });
  const tender = add({ ...fakeNode("tender", 4, [{ name: "sloop", at: 3 }]), version: "1.0" });
  builder.build();
  const folders = new Set(["/s/sloop/share/extra"]);
  const kindAt: RecipeWorld["kindAt"] = (path) => {
    if (path.startsWith("/s/")) return folders.has(path) ? "folder" : undefined;
    throw new NotUnderstood(0, "a file outside the prefixes");
  };
  return {
    sloop,
    tender,
    world: {
      node: sloop,
      graph: graphOf([sloop, hull, mast]),
      prefixOf: ({ name }) => `/s/${name}`,
      kindAt,
      isExtension: ({ name }) => name === "tender",
    },
  };
}

const shown = (one: EnvModification): string =>
  [
    one.op,
    one.name,
    ...("value" in one ? [one.value] : []),
    ...("separator" in one && one.separator !== ":" ? [one.separator] : []),
  ].join(" ");

const HEAD = `import os
from spack_repo.builtin.build_systems.cmake import CMakePackage
from spack.package import *

PLACES = ["lib", "lib64"]
DEEP = join_path("share", "deep")


class Sloop(CMakePackage):
    """A boat."""

    homepage = "https://sloop.example"
    folder = "share/sloop"
    version("1.0")

    @property
    def home(self):
        return self.prefix.join("home")

    def _helper(self, env, name, value="x"):
        env.set(name, value)

`;

/** The recipe with a body of `setup_run_environment`. */
const withBody = (...lines: string[]): string =>
  `${HEAD}    def setup_run_environment(self, env: EnvironmentModifications) -> None:\n${lines.map((line) => `        ${line}\n`).join("")}`;

function read(text: string): MethodReading {
  return readRunEnvironment(parseRecipe(text), fleet().world);
}

const READ: { name: string; lines: string[]; expect: string[] }[] = [
  {
    name: "all operations",
    lines: [
      'env.set("A", "1")',
      'env.unset("B")',
      'env.append_path("C", self.prefix.bin)',
      'env.prepend_path("D", self.prefix.share.man, separator=";")',
      'env.remove_path("E", "/x")',
      'env.append_flags("F", "-O2")',
      'env.set_path("G", [self.prefix.lib, self.spec["hull"].prefix.lib])',
      'env.set("H", "y", force=True)',
    ],
    expect: [
      "set A 1",
      "unset B",
      "append-path C /s/sloop/bin",
      "prepend-path D /s/sloop/share/man ;",
      "remove-path E /x",
      "append-flags F -O2  ",
      "set G /s/sloop/lib:/s/hull/lib",
      "set H y",
    ],
  },
  {
    name: "texts: joined, formatted, interpolated, adjacent, raw, with escapes",
    lines: [
      'env.set("A", join_path(self.prefix, "a", "b") + "/c")',
      'env.set("B", os.path.join(self.spec.prefix.lib, "/abs"))',
      'env.set("C", f"{self.prefix.bin}/x{{}}" "y")',
      'env.set("D", "%s-%s" % (self.name, self.spec.name))',
      'env.set("E", "{0}:{1}:{n}".format(self.prefix, "z", n=1))',
      "env.set('F', r'\\n' + 'a\\tb\\'c')",
      'env.set("G", ":".join([self.prefix.a, self.prefix.b]))',
      'env.set("H", "A-b".lower().replace("-", "_").upper())',
      'env.set("I", os.path.dirname(self.prefix.lib) + os.pathsep + os.path.basename("/a/b"))',
    ],
    expect: [
      "set A /s/sloop/a/b/c",
      "set B /abs",
      "set C /s/sloop/bin/x{}y",
      "set D sloop-sloop",
      "set E /s/sloop:z:1",
      "set F \\na\tb'c",
      "set G /s/sloop/a:/s/sloop/b",
      "set H A_B",
      "set I /s/sloop:b",
    ],
  },
  {
    name: "versions: parts lose leading zeros, and the stage does not count",
    lines: [
      'env.set("A", str(self.version))',
      'env.set("B", self.spec.version.up_to(2))',
      'env.set("A1", str(self.spec["hull"].version.up_to(2)))',
      'env.set("A2", f"{self.version.up_to(2)} {self.version[:9]} {self.spec[\'hull\'].version.joined}")',
    ],
    // A version is no text.
    expect: ["set A 2024.05.1-rc2"],
  },
  {
    name: "versions in texts",
    lines: [
      'env.set("A", str(self.spec["hull"].version.up_to(2)))',
      'env.set("B", f"{self.version.up_to(2)} {self.version[:9]} {self.version.up_to(-1)}")',
      "env.set(\"C\", f\"{self.spec['hull'].version.joined} {self.spec['hull'].version.underscored}\")",
      'if self.version >= Version("2024.4") and self.version < Version("2025"):',
      '    env.set("D", "new")',
    ],
    expect: ["set A 3.10", "set B 2024.5 2024.5.1 2024.5", "set C 3102 3_10_2", "set D new"],
  },
  {
    name: "conditions",
    lines: [
      'if "+sail" in self.spec and not self.spec.satisfies("+oars"):',
      '    env.set("A", "1")',
      "elif unknown():",
      '    env.set("A", "2")',
      'if self.spec.satisfies("@:2023"): env.set("B", "1")',
      'elif "hull@3:" in self.spec: env.set("B", "2")',
      "else:",
      '    env.set("B", "3")',
      'if self.spec.variants["rig"].value == "gaff" and "red" in self.spec.variants["flags"].value:',
      '    env.set("C", "x" if self.spec.satisfies("^mast@main") else "y")',
      'if sys_is_never_asked() if False else "absent" in self.spec:',
      '    env.set("D", "1")',
      'if os.path.isdir(self.prefix.share.extra) and not os.path.exists(join_path(self.prefix, "no")):',
      '    env.set("E", "1")',
      'if self.spec.external or self.run_tests or "cmake" == self.spec.variants["build_system"].value:',
      '    env.set("F", "1")',
    ],
    expect: ["set A 1", "set B 2", "set C x", "set E 1", "set F 1"],
  },
  {
    name: "loops, lists and names",
    lines: [
      '"""A docstring."""',
      "# a comment",
      "paths = []",
      "for place in PLACES:",
      "    paths.append(self.prefix.join(place))",
      'paths += ["/last"]',
      'for name, value in [("A", "1"), ("B", "2")]:',
      "    env.set(name, value)",
      'env.set("C", ":".join(paths))',
      'env.set("D", ":".join(p + "/x" for p in paths if p != "/last"))',
      'a, b = "1", "2"',
      'env.set("E", a + b); env.set("F", paths[-1])',
      "pass",
      'tty.debug("anything", find_nothing(a)[0])',
    ],
    expect: [
      ...["set A 1", "set B 2", "set C /s/sloop/lib:/s/sloop/lib64:/last", "set D /s/sloop/lib/x:/s/sloop/lib64/x"],
      ...["set E 12", "set F /last"],
    ],
  },
  {
    name: "constants, properties and methods of the class; a return ends",
    lines: [
      'self._helper(env, "A")',
      'self._helper(env, value=self.home, name="B")',
      'env.set("C", join_path(self.prefix, self.folder, DEEP))',
      "super().setup_run_environment(env)",
      "if True:",
      "    return",
      'env.set("D", "1")',
    ],
    expect: ["set A x", "set B /s/sloop/home", "set C /s/sloop/share/sloop/share/deep"],
  },
  {
    name: "a statement over several lines",
    lines: ["env.set(", '    "A",  # why', '    "1"', '    "2",', ")", 'env.set("B", \\', '    "3")'],
    expect: ["set A 12", "set B 3"],
  },
];

describe("methods that are understood", () => {
  for (const { name, lines, expect } of READ)
    test(name, () => {
      const { modifications, refused } = read(withBody(...lines));
      assert.deepEqual(modifications.map(shown), expect);
      if (!name.includes("lose")) assert.equal(refused, undefined, refused?.reason);
    });
});

const REFUSED: { name: string; lines: string[]; says: RegExp; extra?: string }[] = [
  { name: "an unknown function", lines: ['env.set("X", find_libraries("a"))'], says: /find_libraries/ },
  {
    name: "an unknown condition refuses both branches",
    lines: ["if weird:", "    pass", "else:", '    env.set("X", "1")'],
    says: /weird/,
  },
  { name: "None as a value", lines: ['env.set("X", None)'], says: /the value of env.set/ },
  { name: "a number as a value", lines: ['env.set("X", 1)'], says: /the value/ },
  { name: "env.clear", lines: ["env.clear()"], says: /env.clear/ },
  { name: "env.extend", lines: ["env.extend(other)"], says: /other/ },
  { name: "env.prune_duplicate_paths", lines: ['env.prune_duplicate_paths("PATH")'], says: /prune/ },
  { name: "env passed to a function", lines: ["other(env)"], says: /other/ },
  { name: "try", lines: ["try:", '    env.set("X", "1")', "except Exception:", "    pass"], says: /try/ },
  { name: "while", lines: ["while True:", "    pass"], says: /while/ },
  { name: "with", lines: ['with open("x") as f:', "    pass"], says: /with/ },
  { name: "a nested function", lines: ["def f():", "    pass"], says: /def/ },
  { name: "a walrus", lines: ['if (x := "1"):', "    pass"], says: /":="/ },
  { name: "a lambda", lines: ["f = lambda: 1"], says: /lambda/ },
  { name: "a dictionary", lines: ['x = {"a": 1}'], says: /"{"/ },
  { name: "a chained comparison", lines: ['if "1" < "2" < "3":', "    pass"], says: /not understood at/ },
  { name: "stars in a call", lines: ['env.set(*["X", "1"])'], says: /"\*"/ },
  { name: "an f-string with a format", lines: ['env.set("X", f"{self.version:>3}")'], says: /format/ },
  { name: "an f-string in an f-string's braces", lines: ['env.set("X", f"{f\'{unknown}\'}")'], says: /unknown|format/ },
  { name: "bytes", lines: ['env.set("X", b"1")'], says: /bytes/ },
  { name: "an unusual escape", lines: ['env.set("X", "\\x41")'], says: /escape/ },
  { name: "an attribute of the environment", lines: ['env.set("X", os.environ["HOME"])'], says: /./ },
  { name: "a file outside the prefix", lines: ['if os.path.exists("/etc/passwd"):', "    pass"], says: /outside/ },
  { name: "libraries of a dependency", lines: ['env.set("X", self.spec["hull"].libs.joined())'], says: /libs/ },
  { name: "a dependency that is not there", lines: ['x = self.spec["keel"].prefix'], says: /keel/ },
  { name: "a variant that is not there", lines: ['x = self.spec.variants["keel"].value'], says: /keel/ },
  { name: "a condition that is no spec", lines: ['if "@@@" in self.spec:', "    pass"], says: /condition on specs/ },
  { name: "a method of a base class", lines: ["x = self.build_directory"], says: /build_directory/ },
  { name: "an argument too many", lines: ['self._helper(env, "A", "b", "c")'], says: /parameters/ },
  { name: "an unknown argument", lines: ['self._helper(env, "A", other="b")'], says: /arguments/ },
  {
    name: "a name that shadows a module",
    lines: ['env.set("X", os.path.join("a", "b"))'],
    says: /join/,
    extra: "os = 3\n",
  },
  {
    name: "a helper that a condition defines",
    lines: ['env.set("X", LATER)'],
    says: /LATER/,
    extra: "if something:\n    LATER = 'x'\n",
  },
  {
    name: "a name that is set twice",
    lines: ['env.set("X", TWICE)'],
    says: /TWICE/,
    extra: "TWICE = 'a'\nTWICE = 'b'\n",
  },
  { name: "a constant that needs itself", lines: ['env.set("X", SELF)'], says: /itself/, extra: "SELF = SELF + 'a'\n" },
  { name: "endless recursion", lines: ["self.setup_run_environment(env)"], says: /deeply/ },
  { name: "a variable with an equals sign", lines: ['env.set("X=Y", "1")'], says: /name of env/ },
  { name: "an else after a loop", lines: ["for x in PLACES:", "    pass", "else:", "    pass"], says: /else/ },
  {
    name: "a text that doubles",
    lines: ['x = "0123456789"', ...Array.from({ length: 30 }, () => "x = x + x")],
    says: /too long/,
  },
  ...[
    "x += x",
    "x = f'{x}{x}'",
    "x = '%s%s' % (x, x)",
    "x = '{0}{0}'.format(x)",
    "x = ''.join([x, x])",
    "x = x.replace('0', x)",
    "x = join_path(x, x)",
    "x = Prefix(x).join(x)",
  ].map((line) => ({
    name: `a text that doubles by ${line}`,
    lines: ["x = '0123456789'", ...Array.from({ length: 30 }, () => line), 'env.set("X", x)'],
    says: /too long|a call of /,
  })),
  ...["x += x", "x = x + x", "x.extend(x)", "x.append(x)\n        x += x"].map((line) => ({
    name: `a list that doubles by ${line}`,
    lines: ["x = ['a']", ...Array.from({ length: 30 }, () => line), 'env.set("X", x[0])'],
    says: /too long|a sum of/,
  })),
  {
    name: "a text of a large literal",
    lines: [`x = "${"a".repeat(70_000)}"`, 'env.set("X", x)'],
    says: /too long/,
  },
  {
    name: "a list of a text's parts",
    lines: [`x = "${"a,".repeat(30_000)}".split(",")`, 'env.set("X", x[0])'],
    says: /too long/,
  },
  {
    name: "more text than a process can take",
    lines: [
      `x = "${"a".repeat(60_000)}"`,
      ...Array.from({ length: 40 }, () => 'env.set("LONG", x)'),
      'env.set("X", "1")',
    ],
    says: /too many variables/,
  },
  {
    name: "a value in a value in a value …",
    lines: [`x = self.prefix${".a".repeat(20_000)}`],
    says: /too deep/,
  },
  {
    name: "a sum of too many",
    lines: [`x = ${"'' + ".repeat(20_000)}''`],
    says: /too deep/,
  },
  {
    name: "a long statement in a loop, which each turn parses again",
    lines: [
      `for x in [${"1, ".repeat(3000)}]:`,
      `    if False and [${"1, ".repeat(100_000)}]:`,
      '        env.set("X", "1")',
    ],
    says: /too many steps/,
  },
  {
    name: "many steps",
    lines: [
      "x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
      ...Array.from({ length: 5 }, (_, at) => `${"    ".repeat(at)}for a${at} in x:`),
      `${"    ".repeat(5)}y = 1`,
    ],
    says: /too many steps/,
  },
];

describe("statements that are not understood end the reading", () => {
  for (const { name, lines, says, extra = "" } of REFUSED)
    test(name, () => {
      const text = extra + withBody('env.set("BEFORE", "1")', ...lines, 'env.set("AFTER", "1")');
      const { modifications, refused } = read(text);
      assert.deepEqual(modifications.map(shown).slice(0, 1), ["set BEFORE 1"]);
      assert.ok(!modifications.some((one) => one.name === "AFTER" || one.name === "X"), JSON.stringify(modifications));
      assert.match(refused?.reason ?? "", says);
      assert.ok((refused?.line ?? 0) >= 1);
    });
});

test("the refused line is the one of the statement", () => {
  const text = withBody('env.set("A", "1")', "weird()");
  const line = text.split("\n").findIndex((one) => one.includes("weird")) + 1;
  assert.equal(read(text).refused?.line, line);
});

const CLASSES: { name: string; text: string; expect: string[] | RegExp }[] = [
  {
    name: "alternatives with @when: the first that applies, in Spack's order",
    text: `${HEAD}    def setup_run_environment(self, env):
        env.set("A", "default")

    @when("+oars")
    def setup_run_environment(self, env):
        env.set("A", "oars")

    @when("+sail")
    def setup_run_environment(self, env):
        env.set("A", "sail")
`,
    expect: ["set A sail"],
  },
  {
    name: "a definition without a condition replaces those before it",
    text: `${HEAD}    @when("+sail")
    def setup_run_environment(self, env):
        env.set("A", "sail")

    def setup_run_environment(self, env):
        env.set("A", "last")
`,
    expect: ["set A last"],
  },
  {
    name: "a base class of the same file",
    text: `${HEAD.replace("class Sloop(CMakePackage):", "class Boat(CMakePackage):")}    def setup_run_environment(self, env):
        env.set("A", self.kind)


class Sloop(Boat):
    kind = "sloop"

    @when("+oars")
    def setup_run_environment(self, env):
        env.set("A", "oars")


class CMakeBuilder(cmake.CMakeBuilder):
    def setup_run_environment(self, env):
        env.set("A", "builder")
`,
    expect: ["set A sloop"],
  },
  { name: "no method at all", text: HEAD, expect: [] },
  {
    name: "a module's class of a build system",
    text: "from spack_repo.builtin.build_systems import cmake\n\nclass Sloop(cmake.CMakePackage):\n    pass\n",
    expect: [],
  },
  {
    name: "a class of another recipe",
    text: "from spack_repo.builtin.packages.boat.package import Boat\n\nclass Sloop(Boat):\n    pass\n",
    expect: /inherits from Boat/,
  },
  {
    name: "oneAPI's build system, which sets variables",
    text: "from spack_repo.builtin.build_systems.oneapi import IntelOneApiPackage\n\nclass Sloop(IntelOneApiPackage):\n    pass\n",
    expect: /inherits from IntelOneApiPackage/,
  },
  { name: "a class with another name", text: "class Boat(Package):\n    pass\n", expect: /no class Sloop/ },
  {
    name: "an unknown decorator",
    text: `${HEAD}    @magic\n    def setup_run_environment(self, env):\n        env.set("A", "1")\n`,
    expect: /decorators/,
  },
  {
    name: "a method that a condition defines",
    text: `${HEAD}    if something:\n        def setup_run_environment(self, env):\n            env.set("A", "1")\n`,
    expect: /what Sloop sets/,
  },
  {
    name: "a decorated class",
    text: "from spack.package import *\n@magic\nclass Sloop(Package):\n    pass\n",
    expect: /bases/,
  },
];

describe("classes", () => {
  for (const { name, text, expect } of CLASSES)
    test(name, () => {
      const { modifications, refused } = read(text);
      if (expect instanceof RegExp) {
        assert.match(refused?.reason ?? "nothing", expect);
        assert.deepEqual(modifications, []);
      } else {
        assert.equal(refused?.reason, undefined);
        assert.deepEqual(modifications.map(shown), expect);
      }
    });
});

test("what a recipe sets for a spec that depends on it", () => {
  const { world, tender } = fleet();
  const text = `${HEAD}    def setup_dependent_run_environment(self, env, dependent_spec):
        if dependent_spec.package.extends(self.spec):
            env.prepend_path("CREW", dependent_spec.prefix.crew)
        if dependent_spec.dependencies("sloop"):
            env.set("OF", dependent_spec.name)
        dependent_spec.package.other(self.spec)
`;
  const { modifications, refused } = readDependentEnvironment(parseRecipe(text), world, tender);
  assert.deepEqual(modifications.map(shown), ["prepend-path CREW /s/tender/crew", "set OF tender"]);
  assert.match(refused?.reason ?? "", /other/);
});

const HOSTILE: { name: string; text: string; says: RegExp }[] = [
  { name: "tabs", text: "class Sloop(Package):\n\tpass\n", says: /tabs/ },
  { name: "an open string", text: 'class Sloop(Package):\n    x = "abc\n', says: /not closed/ },
  { name: "an open long string", text: 'class Sloop(Package):\n    """abc\n', says: /not closed/ },
  { name: "an open bracket", text: "x = (1,\n", says: /not closed/ },
  { name: "a closed bracket too many", text: "x = 1)\n", says: /closed that is not open/ },
  { name: "a bad indentation", text: "if x:\n        a\n    b\n", says: /fits no block/ },
  { name: "a block without a statement", text: "a\n    b\n", says: /no statement/ },
  { name: "an unknown character", text: "a = $b\n", says: /character/ },
  { name: "no class", text: "x = 1\n", says: /no class/ },
  { name: "nothing", text: "", says: /no class/ },
  { name: "deep brackets", text: `x = ${"(".repeat(10_000)}`, says: /too deep/ },
  {
    name: "deep blocks",
    text: Array.from({ length: 200 }, (_, at) => `${" ".repeat(at)}if x:\n`).join(""),
    says: /too deep/,
  },
  { name: "many tokens", text: "a ".repeat(500_000), says: /tokens/ },
  { name: "a large text", text: "#".repeat(1024 * 1024 + 1), says: /characters/ },
];

describe("texts that are not recipes are refused as a whole", () => {
  for (const { name, text, says } of HOSTILE)
    test(name, () =>
      assert.throws(
        () => parseRecipe(text),
        (error) => error instanceof NotUnderstood && says.test(error.message),
      ),
    );
});

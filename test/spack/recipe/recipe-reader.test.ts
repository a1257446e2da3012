// Proves that the copies of recipes in prefixes are found, read within bounds, and used for the variables of a store's
// specs; and that a copy that cannot be read is named and harms nothing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { applyModifications } from "../../../lib/spack/environment/env-modifications.ts";
import { installedModifications } from "../../../lib/spack/environment/run-environment.ts";
import { readRecipeCopy } from "../../../lib/spack/recipe/recipe-copy.ts";
import { RecipeReader } from "../../../lib/spack/recipe/recipe-reader.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import type { Store } from "../../../lib/spack/store/store.ts";
import { kindAt } from "../../../lib/util/inspect-path.ts";
import { mustEnd } from "../../support/must-end.ts";
import { named } from "../../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../../support/stores.ts";
import { temporaryFolder } from "../../support/tree.ts";

let store: Store;
before(async () => {
  store = await openStore(SPACK_1, await copyOf(SPACK_1));
});

const copyPath = ({ name, namespace }: SpecNode): string =>
  `.spack/repos/spack_repo/${namespace}/packages/${name.replaceAll("-", "_")}/package.py`;

function give(name: string, text: string | Buffer): SpecNode {
  const node = named(store, name);
  const path = join(store.locate(store.prefixOf(node)), copyPath(node));
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, text);
  return node;
}

function variablesOf(root: SpecNode, recipes: RecipeReader): Map<string, string> {
  const modifications = installedModifications({
    roots: [root],
    recipes,
    inspections: [],
    prefixOf: (node) => store.get(node.hash)?.path ?? node.external?.path ?? undefined,
    isDirectory: (path) => kindAt(path, store.sysroot) === "folder",
  });
  return applyModifications(modifications, new Map());
}

const recipe = (name: string, body: string): string => `from spack.package import *

class ${name}(Package):
    def setup_run_environment(self, env):
        ${body}
`;

test("what recipes set is set in Spack's order: dependencies first, dependents override", () => {
  const voyage = give(
    "voyage",
    recipe("Voyage", 'env.set("CREW", "voyage")\n        env.prepend_path("SAILS", self.prefix)'),
  );
  const hull = give("hull", recipe("Hull", 'env.set("CREW", "hull")\n        env.prepend_path("SAILS", self.prefix)'));
  give(
    "paddle",
    `from spack.package import *

class Paddle(Package):
    def setup_dependent_run_environment(self, env, dependent_spec):
        env.set("PADDLED_" + dependent_spec.name.upper(), self.prefix.bin)
`,
  );
  const recipes = new RecipeReader(store);
  const variables = variablesOf(voyage, recipes);
  assert.equal(variables.get("CREW"), "voyage");
  assert.equal(variables.get("SAILS"), `${store.prefixOf(voyage)}:${store.prefixOf(hull)}`);
  assert.equal(variables.get("PADDLED_VOYAGE"), `${store.prefixOf(named(store, "paddle"))}/bin`);
  assert.deepEqual(recipes.unread, []);
});

test("a recipe that is not understood is named with the line, once, and what comes before it holds", () => {
  const voyage = give("voyage", recipe("Voyage", 'env.set("CREW", "1")\n        env.set("LIBS", find_libraries("x"))'));
  const recipes = new RecipeReader(store);
  assert.equal(variablesOf(voyage, recipes).get("CREW"), "1");
  variablesOf(voyage, recipes);
  assert.deepEqual(recipes.unread, [
    { name: "voyage", version: voyage.version, hash: voyage.hash, line: 6, reason: "the name find_libraries" },
  ]);
});

const BAD: { name: string; put: (path: string) => void; says: RegExp }[] = [
  { name: "a pipe", put: (path) => assert.equal(spawnSync("mkfifo", [path]).status, 0), says: /regular file/ },
  { name: "a link to a file", put: (path) => symlinkSync("/etc/passwd", path), says: /regular file/ },
  { name: "a folder", put: (path) => mkdirSync(path), says: /regular file/ },
  { name: "a text that is not UTF-8", put: (path) => writeFileSync(path, Buffer.of(0xff, 0xfe)), says: /UTF-8/ },
  { name: "a large file", put: (path) => writeFileSync(path, Buffer.alloc(1024 * 1024 + 1)), says: /expected at most/ },
  { name: "no Python", put: (path) => writeFileSync(path, "setup_run_environment $"), says: /character/ },
];

describe("a copy that cannot be read is not understood", () => {
  for (const { name, put, says } of BAD)
    test(name, () => {
      const node = give("voyage", "");
      const path = join(store.locate(store.prefixOf(node)), copyPath(node));
      rmSync(path);
      put(path);
      const recipes = new RecipeReader(store);
      variablesOf(node, recipes);
      const [unread] = recipes.unread;
      assert.equal(unread?.name, "voyage");
      assert.match(unread.reason, says);
      rmSync(path, { recursive: true });
    });
});

test("a copy of nothing but line ends is read in no time", () => {
  const node = give("voyage", "\n".repeat(1_000_000));
  const recipes = new RecipeReader(store);
  mustEnd(() => variablesOf(node, recipes));
  assert.deepEqual(recipes.unread, []);
});

test("a directive that names no spec harms nothing", () => {
  const voyage = give("voyage", 'class Voyage(Package):\n    extends("@@@")\n');
  give(
    "hull",
    `from spack.package import *

class Hull(Package):
    def setup_dependent_run_environment(self, env, dependent_spec):
        if dependent_spec.package.extends(self.spec):
            env.set("A", "1")
`,
  );
  const recipes = new RecipeReader(store);
  assert.equal(variablesOf(voyage, recipes).get("A"), undefined);
  assert.match(recipes.unread[0]?.reason ?? "", /condition on specs|extends/);
});

test("a link in the way to a copy is not followed", () => {
  const node = named(store, "voyage");
  const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
  const path = join(elsewhere, copyPath(node));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "text");
  symlinkSync(join(elsewhere, ".spack"), join(folder, ".spack"));
  assert.throws(() => readRecipeCopy(folder, node), /not a folder|through/);
});

test("the places of copies: Spack 1.0 and later, and before; names that begin with digits, or are keywords", () => {
  const node = (name: string, namespace: string): SpecNode => ({ ...named(store, "voyage"), name, namespace });
  const rows = [
    ["spack_repo/builtin/packages/py_six", node("py-six", "builtin")],
    ["spack_repo/my/deep/packages/a", node("a", "my.deep")],
    ["spack_repo/builtin/packages/_3proxy", node("3proxy", "builtin")],
    ["spack_repo/builtin/packages/_pass", node("pass", "builtin")],
    ["builtin/packages/py-six", node("py-six", "builtin")],
  ] as const;
  for (const [place, one] of rows) {
    const folder = temporaryFolder();
    assert.equal(readRecipeCopy(folder, one), undefined);
    mkdirSync(join(folder, ".spack/repos", place), { recursive: true });
    writeFileSync(join(folder, ".spack/repos", place, "package.py"), "text");
    assert.equal(readRecipeCopy(folder, one), "text", place);
  }
  assert.equal(readRecipeCopy(temporaryFolder(), node("../x", "builtin")), undefined);
});

test("extensions: a package extends another by its directive, when its condition holds", () => {
  give(
    "hull",
    `from spack.package import *

class Hull(Package):
    def setup_dependent_run_environment(self, env, dependent_spec):
        if dependent_spec.package.extends(self.spec):
            env.prepend_path("HULLS", dependent_spec.prefix)
`,
  );
  const directives = (when: string): string =>
    `from spack.package import *\n\nclass Paddle(Package):\n    with when("${when}"):\n        extends("hull", type="run")\n`;
  const voyage = give("voyage", recipe("Voyage", "pass"));
  for (const [when, isOne] of [
    ["@3:", true],
    ["@:2", false],
  ] as const) {
    const paddle = give("paddle", directives(when));
    const found = variablesOf(voyage, new RecipeReader(store)).get("HULLS");
    assert.equal(found, isOne ? store.prefixOf(paddle) : undefined);
  }
});

// Proves that every type in the signature of an exported name can be imported, from the same part of the package or
// from one that docs/library.md names with it. Reads the published declarations with the compiler's own API.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { after, before, test } from "node:test";
import { type Node, SyntaxKind } from "typescript/unstable/ast";
import { API, type Project, SymbolFlags, type Symbol as SymbolOf } from "typescript/unstable/sync";

const root = resolve(import.meta.dirname, "../..");
const work = mkdtempSync("/tmp/");
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The declaration file of each part, `stave` or `stave/NAME`. */
const PARTS = new Map<string, string>(
  Object.entries<{ types?: string }>(exports).flatMap(([path, { types }]) =>
    types === undefined ? [] : [[`stave${path.slice(1)}`, join(work, types.replace("./dist/", ""))] as const],
  ),
);

// The last column of the table of parts: the parts that have its other types.
const ELSEWHERE = new Map<string, string[]>(
  [...readFileSync(join(root, "docs/library.md"), "utf8").matchAll(/^\| `(stave[a-z/]*)` \|.*\|([^|]*)\|$/gm)].map(
    ([, part = "", others = ""]) => [part, [...others.matchAll(/`(stave[a-z/]*)`/g)].map(([, name = ""]) => name)],
  ),
);

let api: API;
let project: Project;
before(() => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const args = ["-p", join(root, "tsconfig.build.json"), "--emitDeclarationOnly", "--noCheck", "--outDir", work];
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...args], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
  const { compilerOptions } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  const { rootDir: _, outDir: __, ...options } = compilerOptions;
  const config = join(work, "tsconfig.json");
  const typeRoots = [join(root, "node_modules/@types")];
  writeFileSync(
    config,
    JSON.stringify({ compilerOptions: { ...options, typeRoots, noEmit: true }, files: [...PARTS.values()] }),
  );
  api = new API({ cwd: work });
  const [only] = api.updateSnapshot({ openProjects: [config] }).getProjects();
  assert.ok(only);
  project = only;
});
after(() => {
  api?.close();
  rmSync(work, { recursive: true, force: true });
});

const unaliased = (symbol: SymbolOf): SymbolOf =>
  symbol.flags & SymbolFlags.Alias ? project.checker.getAliasedSymbol(symbol) : symbol;

/** The exports of a part, by the identity of the symbol. */
function exported(part: string): Map<number, SymbolOf> {
  const file = project.program.getSourceFile(PARTS.get(part) ?? "");
  const module = file && project.checker.getSymbolAtLocation(file);
  assert.ok(module, `${part} has no declarations`);
  const found = project.checker.getExportsOfModule(module).map(unaliased);
  return new Map(found.map((symbol) => [symbol.id, symbol]));
}

/** The top-level names of our own files that the declaration of a symbol mentions. */
function mentioned(symbol: SymbolOf): SymbolOf[] {
  const found = new Map<number, SymbolOf>();
  const visit = (node: Node): void => {
    // `z.infer<typeof schema>`: the structure is the type; the schema is not part of the interface.
    if (node.kind === SyntaxKind.TypeQuery) return;
    const used = node.kind === SyntaxKind.Identifier ? project.checker.getSymbolAtLocation(node) : undefined;
    const real = used && unaliased(used);
    if (real && isOurs(real) && real.getParent()?.declarations[0]?.kind === SyntaxKind.SourceFile)
      found.set(real.id, real);
    node.forEachChild(visit);
  };
  for (const declaration of symbol.declarations) {
    const node = declaration.resolve(project);
    assert.ok(node, symbol.name);
    visit(node);
  }
  return [...found.values()];
}

// The compiler's paths may be in lower case.
const fileOf = (symbol: SymbolOf): string => String(symbol.declarations[0]?.path ?? "");
const isOurs = (symbol: SymbolOf): boolean => fileOf(symbol).toLowerCase().startsWith(`${work}/lib/`.toLowerCase());

test("the table of docs/library.md names every part of the package", () => {
  assert.deepEqual([...ELSEWHERE.keys()], [...PARTS.keys()]);
});

test("a name that several parts export means the same in all of them", () => {
  const meanings = new Map<string, Set<number>>();
  for (const part of PARTS.keys()) {
    const file = project.program.getSourceFile(PARTS.get(part) ?? "");
    const module = file && project.checker.getSymbolAtLocation(file);
    for (const symbol of module ? project.checker.getExportsOfModule(module) : [])
      meanings.set(symbol.name, (meanings.get(symbol.name) ?? new Set()).add(unaliased(symbol).id));
  }
  assert.ok(meanings.size > 150);
  assert.deepEqual(
    [...meanings].filter(([, ids]) => ids.size > 1).map(([name]) => name),
    [],
  );
});

for (const part of PARTS.keys())
  test(`every type in a signature of ${part} can be imported`, () => {
    const own = exported(part);
    const others = (ELSEWHERE.get(part) ?? []).map(exported);
    const missing: string[] = [];
    for (const symbol of own.values())
      for (const type of mentioned(symbol))
        if (!own.has(type.id) && !others.some((other) => other.has(type.id)))
          missing.push(`${type.name} (${relative(work, fileOf(type))}), used by ${symbol.name}`);
    assert.deepEqual([...new Set(missing)], []);
  });

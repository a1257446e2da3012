// Proves that comments follow the rules: exported names have docstrings, files say what they are for, lines fit.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { after, test } from "node:test";
import {
  isClassDeclaration,
  isExportKeyword,
  isFunctionDeclaration,
  isInterfaceDeclaration,
  isTypeAliasDeclaration,
  isVariableStatement,
  type Node,
} from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

const root = resolve(import.meta.dirname, "..");
const api = new API({ cwd: root });
after(() => api.close());

const [project] = api.updateSnapshot({ openProjects: [resolve(root, "tsconfig.json")] }).getProjects();
const files = (project?.rootFiles ?? [])
  .filter((path) => /\/(?:lib|test|scripts)\/.*\.ts$/.test(path))
  .map((path) => ({ path, name: relative(root, path), lines: readFileSync(path, "utf8").split("\n") }));

/** The names that a statement exports, if it declares them. */
function exportedNames(statement: Node): string[] {
  if (isVariableStatement(statement))
    return statement.modifiers?.some(isExportKeyword)
      ? statement.declarationList.declarations.map(({ name }) => name.getText())
      : [];
  const isDeclaration =
    isFunctionDeclaration(statement) ||
    isClassDeclaration(statement) ||
    isInterfaceDeclaration(statement) ||
    isTypeAliasDeclaration(statement);
  return isDeclaration && statement.modifiers?.some(isExportKeyword) ? [statement.name?.getText() ?? "default"] : [];
}

test("the sources are found", () => {
  for (const folder of ["lib", "test", "scripts"])
    assert.ok(
      files.some(({ name }) => name.startsWith(`${folder}/`)),
      folder,
    );
});

test("every exported declaration of the library has a docstring", () => {
  const missing: string[] = [];
  for (const { path, name } of files.filter((file) => file.name.startsWith("lib/"))) {
    const documented = new Set<string>();
    for (const statement of project?.program.getSourceFile(path)?.statements ?? [])
      for (const exported of exportedNames(statement)) {
        const text =
          statement.jsDoc
            ?.map((comment) =>
              comment
                .getText()
                .replace(/[/*\s]+/g, " ")
                .trim(),
            )
            .join(" ") ?? "";
        // Of an overloaded function the first declaration has it.
        if (text !== "") documented.add(exported);
        else if (!documented.has(exported)) missing.push(`${name}: ${exported}`);
      }
  }
  assert.deepEqual(missing, []);
});

test("every file starts with a comment that says what it does or proves", () => {
  const missing = files.filter(({ lines }) => !/^(?:\/\/ \S+ \S+|\/\*\*$)/.test(lines[0] ?? ""));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

test("no line of a comment is longer than a line of code may be", () => {
  const { formatter } = JSON.parse(readFileSync(resolve(root, "biome.json"), "utf8"));
  const long = files.flatMap(({ name, lines }) =>
    lines.flatMap((line, at) =>
      line.length > formatter.lineWidth && /^\s*(?:\/\/|\/\*|\*)/.test(line) ? [`${name}:${at + 1}`] : [],
    ),
  );
  assert.deepEqual(long, []);
});

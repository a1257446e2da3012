// The JSON Schemas of what the verbs print with --json, made of the types of the reports that they pass to their
// output. The build writes them to schemas/; a test compares them with what the commands print.
import { globSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type Node, SyntaxKind } from "typescript/unstable/ast";
import {
  API,
  type Project,
  SignatureKind,
  SymbolFlags,
  type Symbol as SymbolOf,
  type Type,
  TypeFlags,
} from "typescript/unstable/sync";

/** A JSON Schema, draft 2020-12. */
export type Schema = Record<string, unknown>;

const root = resolve(import.meta.dirname, "..");
const DRAFT = "https://json-schema.org/draft/2020-12/schema";

/** The schema of each verb's document, by the verb's name, and one for `error`: a document without a verb's report. */
export function reportSchemas(): Map<string, Schema> {
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] }).getProjects();
    if (project === undefined) throw new Error("tsconfig.json is no project");
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const schemas = new Map<string, Schema>();
    for (const file of globSync("lib/cli/verbs/*.ts", { cwd: root }).sort()) {
      const verb = basename(file, ".ts");
      const reports = reportsIn(project, join(root, file));
      if (reports.length > 0) schemas.set(verb, documentSchema(project, { verb, version, reports }));
    }
    schemas.set("error", documentSchema(project, { verb: undefined, version, reports: [] }));
    return schemas;
  } finally {
    api.close();
  }
}

/** The types of what a verb's file passes to `output.report(…)` and, with a failure, to `output.fail(…, …)`. */
function reportsIn(project: Project, path: string): Type[] {
  const file = project.program.getSourceFile(path);
  if (file === undefined) throw new Error(`${path} is not in the project`);
  const found: Type[] = [];
  const visit = (node: Node): void => {
    const call = node.kind === SyntaxKind.CallExpression ? (node as Node & Call) : undefined;
    const text = call?.expression.getText(file);
    const place = ["output.report", "output.fail"].indexOf(text ?? "");
    const argument = place < 0 ? undefined : call?.arguments[place];
    const type = argument && project.checker.getTypeAtLocation(argument);
    if (type) found.push(type);
    node.forEachChild(visit);
  };
  visit(file);
  return found;
}

interface Call {
  readonly expression: Node;
  readonly arguments: readonly Node[];
}

interface DocumentOptions {
  readonly verb: string | undefined;
  readonly version: string;
  readonly reports: readonly Type[];
}

function documentSchema(project: Project, { verb, version, reports }: DocumentOptions): Schema {
  const schemas = new TypeSchemas(project);
  const report = schemas.union(reports);
  const error = schemas.of(errorType(project));
  const title =
    verb === undefined ? "What stave prints with --json when no verb ran" : `What stave ${verb} --json prints`;
  return {
    $schema: DRAFT,
    $id: `urn:stave:${version}:${verb ?? "error"}`,
    title,
    type: "object",
    properties: {
      schema: { const: 1, description: "Grows when a field changes its meaning." },
      verb: verb === undefined ? { type: "string" } : { const: verb },
      ...(verb !== undefined && { report }),
      error,
    },
    required: verb === undefined ? ["schema", "verb", "error"] : ["schema", "verb"],
    ...(verb !== undefined && { anyOf: [{ required: ["report"] }, { required: ["error"] }] }),
    $defs: schemas.definitions,
  };
}

function errorType(project: Project): Type {
  const file = project.program.getSourceFile(join(root, "lib/errors.ts"));
  const module = file && project.checker.getSymbolAtLocation(file);
  const symbol = module && project.checker.getExportsOfModule(module).find(({ name }) => name === "PlainError");
  if (symbol === undefined) throw new Error("lib/errors.ts exports no PlainError");
  return project.checker.getDeclaredTypeOfSymbol(symbol);
}

/** Schemas of types as JSON.stringify writes their values. Types with a name become definitions. */
class TypeSchemas {
  readonly definitions: Record<string, Schema> = {};
  readonly #project: Project;
  readonly #names = new Map<number, string>();

  constructor(project: Project) {
    this.#project = project;
  }

  /** The schema of a type. Throws for one that JSON cannot hold. */
  of(type: Type): Schema {
    const simple = simpleSchema(type);
    if (simple) return simple;
    if (type.isUnionType()) {
      const types = type.getTypes() ?? [];
      const isPlain = types.every((one) => simpleSchema(one) !== undefined);
      return isPlain ? this.union(types) : this.#named(type, () => this.union(types));
    }
    // A brand: a string with a property that only types have.
    if (type.isIntersectionType()) {
      const base = (type.getTypes() ?? []).map(simpleSchema).find((schema) => schema !== undefined);
      if (base) return base;
    }
    const { checker } = this.#project;
    if (type.isTupleType() || checker.isTupleType(type)) {
      const items = checker.getTypeArguments(type as never).map((one) => this.of(one));
      return { type: "array", prefixItems: items, items: false, minItems: items.length };
    }
    if (checker.isArrayType(type)) {
      const [item] = checker.getTypeArguments(type as never);
      return { type: "array", items: item ? this.of(item) : true };
    }
    const written = checker.getPropertyOfType(type, "toJSON");
    if (written) return this.of(this.#returned(written));
    return this.#named(type, () => this.#object(type));
  }

  /** The schema of one of several types; undefined is none. */
  union(types: readonly Type[]): Schema {
    const present = types.filter(({ flags }) => !(flags & (TypeFlags.Undefined | TypeFlags.Void)));
    const values = present.flatMap((type) => (type.isLiteralType() ? [type.value] : []));
    const isBoolean = values.includes(true) && values.includes(false);
    const literals = values.filter((value) => typeof value !== "boolean" || !isBoolean);
    const schemas = present.filter((type) => !type.isLiteralType()).map((type) => this.of(type));
    if (isBoolean) schemas.unshift({ type: "boolean" });
    if (literals.length > 0)
      schemas.unshift(literals.length === 1 ? { const: literals[0] } : { enum: literals.toSorted() });
    const different = [...new Map(schemas.map((schema) => [JSON.stringify(schema), schema])).values()];
    const [only] = different;
    return different.length === 1 && only ? only : { anyOf: different };
  }

  #returned(method: SymbolOf): Type {
    const { checker } = this.#project;
    const type = checker.getTypeOfSymbol(method);
    const [signature] = type ? checker.getSignaturesOfType(type, SignatureKind.Call) : [];
    const returned = signature && checker.getReturnTypeOfSignature(signature);
    if (!returned) throw new Error("toJSON returns nothing");
    return returned;
  }

  #named(type: Type, make: () => Schema): Schema {
    const known = this.#names.get(type.id);
    if (known !== undefined) return { $ref: `#/$defs/${known}` };
    const symbol = type.getAliasSymbol() ?? type.getSymbol();
    const name = symbol?.name ?? "";
    if (/^(?:Map|Set|WeakMap|Promise|Date|Buffer|Uint8Array|Function)$/.test(name))
      throw new Error(`a report has a ${name}`);
    // Anonymous types have names like __type.
    if (!/^[A-Z]\w*$/.test(name) || /^(?:Record|Readonly|Partial|Pick|Omit)$/.test(name)) return make();
    let free = name;
    for (let count = 2; Object.hasOwn(this.definitions, free); count++) free = `${name}${count}`;
    this.#names.set(type.id, free);
    // Taken before its content is known, which may name the type again.
    this.definitions[free] = {};
    const description = symbol?.getDocumentationComment(this.#project.checker) ?? "";
    this.definitions[free] = { ...(description !== "" && { description }), ...make() };
    return { $ref: `#/$defs/${free}` };
  }

  #object(type: Type): Schema {
    const { checker } = this.#project;
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    for (const property of checker.getPropertiesOfType(type)) {
      const of = checker.getTypeOfSymbol(property);
      if (!of || property.name.startsWith("__")) continue;
      // JSON leaves functions out.
      if (checker.getSignaturesOfType(of, SignatureKind.Call).length > 0) continue;
      const isOptional = Boolean(property.flags & SymbolFlags.Optional) || mayBeUndefined(of);
      if (!isOptional) required.push(property.name);
      const description = property.getDocumentationComment(checker);
      properties[property.name] = { ...(description !== "" && { description }), ...this.of(of) };
    }
    const [index] = checker.getIndexInfosOfType(type);
    const others = index && { additionalProperties: this.of(index.valueType) };
    return { type: "object", properties, ...(required.length > 0 && { required }), ...others };
  }
}

function simpleSchema(type: Type): Schema | undefined {
  const { flags } = type;
  if (type.isLiteralType()) return { const: type.value };
  if (flags & TypeFlags.StringLike) return { type: "string" };
  if (flags & TypeFlags.NumberLike) return { type: "number" };
  if (flags & TypeFlags.BooleanLike && !type.isUnionType()) return { type: "boolean" };
  if (flags & TypeFlags.Null) return { type: "null" };
  if (flags & (TypeFlags.Unknown | TypeFlags.Any)) return {};
  return undefined;
}

function mayBeUndefined(type: Type): boolean {
  if (type.flags & (TypeFlags.Undefined | TypeFlags.Unknown | TypeFlags.Any)) return true;
  return type.isUnionType() && (type.getTypes() ?? []).some(mayBeUndefined);
}

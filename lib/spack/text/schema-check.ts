// Checks a configuration value against a schema and reports the file and line of a violation.
import type * as z from "zod";
import { printable } from "../../printable/printable.ts";
import { configError, nodeAt, toJson, type YamlNode } from "./yaml.ts";

/**
 * Returns the parsed value. Throws CONFIG_INVALID with file, line, the key (`what` and the path below it), the value
 * found and the value expected; never shows a value below a key that holds secrets.
 */
export function checked<T>(schema: z.ZodType<T>, node: YamlNode, what: string): T {
  const result = schema.safeParse(toJson(node));
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const path = issue.path.map(String);
  const wrong = descend(node, path);
  const key = [what, ...path].join(":");
  throw configError(
    wrong.place,
    `${printable(key)} is ${/secret|token|access_pair/.test(key) ? "not valid" : describe(wrong)}: ${explain(issue)}`,
  );
}

// In a union, report the branch that matched furthest.
function deepest(issues: readonly z.core.$ZodIssue[], base: readonly PropertyKey[] = []): z.core.$ZodIssue {
  const all = issues.map((issue): z.core.$ZodIssue => {
    const path = [...base, ...issue.path];
    const inner =
      issue.code === "invalid_union"
        ? issue.errors.filter((branch) => branch.length > 0).map((branch) => deepest(branch, path))
        : [];
    const best = inner
      .filter(({ path: at }) => at.length > path.length || inner.length === 1)
      .toSorted((a, b) => b.path.length - a.path.length)[0];
    return best ?? { ...issue, path };
  });
  const [first] = all.toSorted((a, b) => b.path.length - a.path.length);
  return first ?? { code: "custom", path: [...base], message: "not valid", input: undefined };
}

function explain(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") return `the key ${printable(issue.keys.join(", "))} is unknown`;
  if (issue.code === "invalid_union") return "expected one of its known forms";
  const text = issue.message.replace(/^Invalid (?:input|option|string): /, "");
  return printable(text.charAt(0).toLowerCase() + text.slice(1));
}

function descend(node: YamlNode, path: readonly string[]): YamlNode {
  let at = node;
  for (const key of path) {
    const next = at.kind === "list" ? at.items[Number(key)] : nodeAt(at, key);
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

function describe(node: YamlNode): string {
  if (node.kind === "list") return "a list";
  if (node.kind === "map") return "a mapping";
  if (node.value === null) return "empty";
  return typeof node.value === "string" ? `"${printable(node.value.slice(0, 80))}"` : String(node.value);
}

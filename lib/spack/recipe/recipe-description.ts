// The description of a package: the documentation text of its class, in the copy of its recipe.
import { classNameOf } from "./recipe-scope.ts";

/** In characters; longer texts are cut. */
const DESCRIPTION_LIMIT = 10_000;

/** The paragraphs of a package's description; none if its recipe has no plain text there. */
export function recipeDescription(text: string, packageName: string): readonly string[] {
  const start = new RegExp(
    `^class ${classNameOf(packageName)}\\b[^:"'\\n]{0,500}:[ \\t]*\\n[ \\t]+[rR]?("""|''')`,
    "m",
  );
  const found = start.exec(text);
  if (found === null) return [];
  const [opening, quotes = ""] = found;
  const from = found.index + opening.length;
  const end = text.indexOf(quotes, from);
  if (end < 0) return [];
  const paragraphs = text.slice(from, Math.min(end, from + DESCRIPTION_LIMIT)).split(/\n[ \t]*\n/);
  return paragraphs.map((paragraph) => paragraph.replaceAll(/\s+/g, " ").trim()).filter((line) => line !== "");
}

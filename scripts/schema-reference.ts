// The reference of the documents that verbs print with --json, as Markdown, made from their schemas.
import { reportSchemas, type Schema } from "./report-schemas.ts";

/** The pages by name: one for each verb, and `index`. */
export function schemaPages(): Map<string, string> {
  const schemas = [...reportSchemas()].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const links = schemas.map(([verb]) => `- [${verb}](${verb}.md)`);
  const pages = new Map([
    [
      "index",
      `# JSON documents\n\nWith \`--json\` a verb prints one document. Its fields are those of these pages; \`stave/schemas/VERB.json\` of the package is the JSON\nSchema. \`error\` is the document of a failure before any report.\n\n${links.join("\n")}\n`,
    ],
  ]);
  for (const [verb, schema] of schemas) {
    const definitions = Object.entries((schema["$defs"] ?? {}) as Record<string, Schema>);
    const parts = [
      `# ${verb} --json`,
      table(schema),
      ...definitions.map(([name, each]) => `## ${name}\n\n${said(each)}${table(each)}`),
    ];
    pages.set(verb, `${parts.filter((part) => part !== "").join("\n\n")}\n`);
  }
  return pages;
}

function table(schema: Schema): string {
  const properties = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>);
  if (properties.length === 0) return `\`${typeOf(schema)}\``;
  const required = new Set((schema["required"] ?? []) as string[]);
  const rows = properties.map(([name, each]) => {
    const optional = required.has(name) ? "" : " (may be absent)";
    return `| \`${name}\` | ${linked(typeOf(each))}${optional} | ${escaped(String(each["description"] ?? "")).replaceAll("\n", " ")} |`;
  });
  return `| field | type | |\n| --- | --- | --- |\n${rows.join("\n")}`;
}

const said = ({ description }: Schema): string =>
  typeof description === "string" ? `${escaped(description)}\n\n` : "";

/** The type in the words of JSON, with names of definitions in brackets. */
function typeOf(schema: Schema): string {
  if (typeof schema["$ref"] === "string") return `{${schema["$ref"].slice(schema["$ref"].lastIndexOf("/") + 1)}}`;
  if ("const" in schema) return JSON.stringify(schema["const"]);
  const choices = (schema["anyOf"] ?? schema["oneOf"]) as Schema[] | undefined;
  if (choices !== undefined) return [...new Set(choices.map(typeOf))].join(" or ");
  if (schema["enum"] !== undefined)
    return (schema["enum"] as unknown[]).map((each) => JSON.stringify(each)).join(" or ");
  if (schema["type"] === "array")
    return `list of ${schema["items"] === undefined ? "values" : typeOf(schema["items"] as Schema)}`;
  if (schema["type"] === "object" && schema["additionalProperties"] && !("properties" in schema))
    return `object with ${typeOf(schema["additionalProperties"] as Schema)} by name`;
  return typeof schema["type"] === "string" ? schema["type"] : "any value";
}

const linked = (type: string): string =>
  escaped(type).replace(/&#123;([^&]+)&#125;/g, (_, name: string) => `[${name}](#${name.toLowerCase()})`);
const escaped = (plain: string): string =>
  plain.replace(/[<>{}*_[\]|\\]/g, (character) => `&#${character.charCodeAt(0)};`);

// The reference of verbs and flags as Markdown, made from the definitions of the verbs.
import { Help } from "commander";
import { epilogueOf } from "../lib/cli/output/man-text.ts";
import { VERB_GROUPS, VERBS } from "../lib/cli/verb-table.ts";
import type { RunState } from "../lib/cli/verbs/verb.ts";

/** The pages by name: one for each verb, and `index`. */
export async function verbPages(): Promise<Map<string, string>> {
  const pages = new Map([["index", overview()]]);
  for (const { name, aliases = [], load } of VERBS) {
    // A command is only described here, and never run.
    const command = (await load()).verb({} as RunState).aliases([...aliases]);
    const [prose = "", examples = ""] = epilogueOf(command).split(/^Examples:\n/m);
    const usage = new Help().commandUsage(command);
    const groups = Map.groupBy(
      command.options.filter(({ hidden }) => !hidden),
      ({ helpGroupHeading }) => helpGroupHeading ?? "Options:",
    );
    const tables = [...groups].map(
      ([heading, options]) =>
        `## ${heading.replace(/:$/, "")}\n\n| flag | effect |\n| --- | --- |\n${options
          .map(({ flags, description, argChoices, defaultValue }) => {
            const choices = argChoices === undefined ? "" : ` (${argChoices.join(", ")})`;
            const fallback = ["string", "number"].includes(typeof defaultValue) ? ` (default: ${defaultValue})` : "";
            return `| \`${cell(flags)}\` | ${cell(text(description + choices + fallback))} |`;
          })
          .join("\n")}`,
    );
    const also = aliases.length === 0 ? "" : `\n\nAlso: ${aliases.map((alias) => `\`${alias}\``).join(", ")}`;
    const blocks = [
      `# stave ${name}`,
      `${capital(text(command.description()))}.${also}`,
      `\`\`\`\nstave ${usage}\n\`\`\``,
      ...prose.trim().split("\n\n").map(paragraph),
      ...(examples === "" ? [] : [`## Examples\n\n\`\`\`sh\n${examples.replaceAll(/^ {2}/gm, "").trimEnd()}\n\`\`\``]),
      ...tables,
    ].filter((block) => block !== "");
    pages.set(name, `${blocks.join("\n\n")}\n`);
  }
  return pages;
}

function overview(): string {
  const groups = Object.entries(VERB_GROUPS).map(
    ([title, verbs]) =>
      `## ${title}\n\n| verb | |\n| --- | --- |\n${verbs
        .map(({ name, summary }) => `| [${name}](${name}.md) | ${cell(text(summary))} |`)
        .join("\n")}`,
  );
  return `# Verbs\n\n${groups.join("\n\n")}\n`;
}

const capital = (line: string): string => line.charAt(0).toUpperCase() + line.slice(1);

// Lines of a help text are wrapped, but for those that are indented.
function paragraph(lines: string): string {
  if (/^ /m.test(lines)) return `\`\`\`\n${lines}\n\`\`\``;
  return text(lines.replaceAll("\n", " "));
}

/** A text without meaning for Markdown or Vue. */
const text = (plain: string): string => plain.replace(/[<>{}*_[\]\\]/g, (character) => `&#${character.charCodeAt(0)};`);
const cell = (plain: string): string => plain.replaceAll("|", "\\|").replaceAll("\n", " ");

// Checks the links of Markdown files: every file that they name exists, and so does every heading.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** The anchor of a heading, as GitHub makes it. */
export function anchorOf(heading: string): string {
  const text = heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/[`*]/g, "")
    .trim();
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");
}

/** The anchors of a Markdown text. Equal headings are numbered. */
export function anchorsIn(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutCode(text).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const anchor = anchorOf(heading);
    let free = anchor;
    for (let number = 1; anchors.has(free); number++) free = `${anchor}-${number}`;
    anchors.add(free);
  }
  for (const [, id = ""] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

const withoutCode = (text: string): string => text.replace(/^( *)(`{3,}|~{3,})[^\n]*\n[\s\S]*?^\1\2 *$/gm, "");

/** The links of files that lead nowhere, as `FILE: TARGET`. Addresses of other hosts are not asked. */
export function brokenLinks(folder: string, files: readonly string[]): string[] {
  const broken: string[] = [];
  const anchors = new Map<string, Set<string>>();
  const anchorsOf = (file: string): Set<string> => {
    const known = anchors.get(file) ?? anchorsIn(readFileSync(join(folder, file), "utf8"));
    anchors.set(file, known);
    return known;
  };
  for (const file of files)
    for (const [, target = ""] of withoutCode(readFileSync(join(folder, file), "utf8")).matchAll(
      /\]\(([^)\s]+)(?: "[^"]*")?\)/g,
    )) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const named = path === "" ? file : normalize(join(dirname(file), decodeURIComponent(path)));
      const isThere = existsSync(join(folder, named));
      const hasAnchor = anchor === undefined || (isThere && named.endsWith(".md") && anchorsOf(named).has(anchor));
      if (!isThere || !hasAnchor) broken.push(`${file}: ${target}`);
    }
  return broken;
}

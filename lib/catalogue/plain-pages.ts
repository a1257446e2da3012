// The pages that need no script: the start page, which loads the browser part, and tables of all packages.
import type { PackageRow } from "./catalogue-data.ts";

/** Rows of one table of packages. */
const ROWS = 1000;

// Trusted types refuse text as markup or as the address of a script. The one policy is that of the thread that lays out
// graphs, and admits only its address.
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "worker-src 'self'", "style-src 'self'", "img-src 'self'"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'"],
  ...["require-trusted-types-for 'script'", "trusted-types stave-layout"],
].join("; ");

/** The content security policy of every page; as a header it may also forbid frames. */
export const PAGE_POLICY = `${POLICY}; frame-ancestors 'none'`;

/** Where the start page finds the browser part, relative to it. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
  readonly layout: string;
  readonly icon: string;
}

/** `index.html`. */
export function startPage(name: string, { script, style, layout, icon }: PageAssets): string {
  return page(
    {
      title: `${name} · build cache`,
      style,
      icon,
      head: `<meta name="stave-layout" content="${escaped(layout)}">
<link rel="preload" href="catalogue.json" as="fetch" crossorigin>
<script src="${escaped(script)}" defer></script>`,
    },
    `<div id="app">
<main class="plain">
<h1>${escaped(name)}</h1>
<p class="loading" hidden>Loading the catalogue…</p>
<noscript><p>Searching needs JavaScript. Without it, read the <a href="plain/1.html">table of all packages</a>.</p></noscript>
</main>
</div>`,
  );
}

/** The number of tables for so many packages; at least one. */
export function tableCount(packages: number): number {
  return Math.max(1, Math.ceil(packages / ROWS));
}

/** `plain/NUMBER.html`: one of the tables of all packages, counted from 1. */
export function tablePage(name: string, packages: readonly PackageRow[], number: number, assets: PageAssets): string {
  const count = tableCount(packages.length);
  const rows = packages.slice((number - 1) * ROWS, number * ROWS);
  const links = Array.from({ length: count }, (_, at) => {
    const first = escaped(packages[at * ROWS]?.[0] ?? "");
    return at + 1 === number
      ? `<strong aria-current="page">${first}</strong>`
      : `<a href="${at + 1}.html">${first} …</a>`;
  });
  const nav = count > 1 ? `<nav aria-label="Pages"><p>${links.join(" · ")}</p></nav>\n` : "";
  const lines = rows.map(
    ([packageName, specs, newest]) =>
      `<tr><th scope="row">${escaped(packageName)}</th><td>${escaped(newest)}</td><td class="number">${specs}</td></tr>`,
  );
  const { style, icon } = assets;
  return page(
    { title: `Packages · ${name}`, style: `../${style}`, icon: `../${icon}`, head: "" },
    `<main class="plain">
<h1>Packages of ${escaped(name)}</h1>
<p><a href="../index.html">Search, versions and dependencies</a> (needs JavaScript)</p>
${nav}<table>
<thead><tr><th scope="col">Package</th><th scope="col">Newest version</th><th scope="col" class="number">Specs</th></tr></thead>
<tbody>
${lines.join("\n")}
</tbody>
</table>
</main>`,
  );
}

/** The list of the repositories of a server. */
export function listPage(names: readonly string[], { style, icon }: Pick<PageAssets, "style" | "icon">): string {
  const items = names.map((name) => `<li><a href="${escaped(name)}/">${escaped(name)}</a></li>`);
  const list = items.length === 0 ? "<p>There are none yet.</p>" : `<ul>\n${items.join("\n")}\n</ul>`;
  return page(
    { title: "Repositories", style, icon, head: "" },
    `<main class="plain">\n<h1>Repositories</h1>\n${list}\n</main>`,
  );
}

interface Page {
  readonly title: string;
  readonly style: string;
  readonly icon: string;
  readonly head: string;
}

function page({ title, style, icon, head }: Page, body: string): string {
  const extra = head === "" ? "" : `${head}\n`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escaped(title)}</title>
<link rel="icon" href="${escaped(icon)}" type="image/svg+xml">
<link rel="stylesheet" href="${escaped(style)}">
${extra}</head>
<body>
${body}
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A text as content or attribute of HTML. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

// Builds the documents as a site: the pages of docs/, the reference of the library, and the reference of verbs, flags,
// schemas and error codes, which are made from the program. Links are checked before.
// usage: tsx scripts/site.ts [FOLDER]     the address of the site below its host is $SITE_BASE (default /)
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { brokenLinks } from "./links.ts";
import { schemaPages } from "./schema-reference.ts";
import { verbPages } from "./verb-reference.ts";

const root = new URL("..", import.meta.url).pathname;
const tools = join(root, "scripts/docs-site");
const work = join(tools, "content");
const out = resolve(process.argv[2] ?? join(root, "site"));

/** The pages of docs/, by the heading of the sidebar. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  Use: ["README", "get", "tour", "push", "ci", "install", "run", "images", "web"],
  "Caches and registries": ["cache", "mirrors", "registry", "serve", "network", "authentication", "doctor"],
  Trust: ["trust", "sbom", "security"],
  "Coming from elsewhere": ["migration", "comparison"],
  Background: ["errors", "library", "architecture", "benchmarks"],
};
/** Files of the root that pages lead to, and their names on the site, which differ from others by more than case. */
const ROOT_FILES: Readonly<Record<string, string>> = {
  CHANGELOG: "changes",
  SECURITY: "reporting",
  CONTRIBUTING: "contributing",
};

function write(path: string, text: string): void {
  mkdirSync(dirname(join(work, path)), { recursive: true });
  writeFileSync(join(work, path), text);
}

const titleOf = (text: string, name: string): string => /^# (.+)$/m.exec(text)?.[1]?.replaceAll("`", "") ?? name;
const pageOf = (name: string): string => (name === "README" ? "index" : (ROOT_FILES[name] ?? name));

const headingOf = (name: string): string => titleOf(readFileSync(join(root, "docs", `${name}.md`), "utf8"), name);

/** Leads to pages of the site what led to files of the repository, and calls them by their titles. */
const rewritten = (text: string): string =>
  text
    .replaceAll(/\[([a-z]+)\.md\]\(\1\.md/g, (_, name: string) => `[${headingOf(name)}](${name}.md`)
    .replaceAll(/\]\((?:\.\.\/)?(CHANGELOG|SECURITY|CONTRIBUTING)\.md/g, (_, name: string) => `](${pageOf(name)}.md`)
    .replaceAll(/\]\(docs\//g, "](")
    .replaceAll(/\]\((?:\.\.\/)?(examples\/[\w.-]+)\)/g, "](/files/$1)")
    .replaceAll(/\]\(README\.md/g, "](index.md");

rmSync(work, { recursive: true, force: true });
rmSync(out, { recursive: true, force: true });
const items = (names: readonly string[], from: string): { text: string; link: string }[] =>
  names.map((name) => {
    const text = readFileSync(join(root, from, `${name}.md`), "utf8");
    write(`${pageOf(name)}.md`, rewritten(text));
    return { text: titleOf(text, name), link: `/${name === "README" ? "" : name}` };
  });
const sidebar: { text: string; collapsed?: boolean; items: { text: string; link: string }[] }[] = [];
const named = new Set(Object.values(GROUPS).flat());
const unnamed = globSync("*.md", { cwd: join(root, "docs") }).map((file) => file.slice(0, -3));
const others = unnamed.filter((name) => !named.has(name));
for (const [text, names] of Object.entries(others.length === 0 ? GROUPS : { ...GROUPS, More: others }))
  sidebar.push({ text, items: items(names, "docs") });
items(Object.keys(ROOT_FILES), ".");
for (const { title, folder, pages } of [
  { title: "Verbs", folder: "verbs", pages: await verbPages() },
  { title: "JSON documents", folder: "json", pages: schemaPages() },
]) {
  const links = [...pages].map(([name, text]) => {
    write(`${folder}/${name}.md`, text);
    return { text: name === "index" ? "Overview" : name, link: `/${folder}/${name === "index" ? "" : name}` };
  });
  sidebar.push({ text: title, collapsed: true, items: links });
}
if (existsSync(join(root, "docs/api"))) {
  cpSync(join(root, "docs/api"), join(work, "api"), { recursive: true });
  if (existsSync(join(work, "api/README.md"))) cpSync(join(work, "api/README.md"), join(work, "api/index.md"));
  sidebar.push({ text: "Library", items: [{ text: "All exported names", link: "/api/" }] });
}
cpSync(join(root, "docs/pictures"), join(work, "pictures"), { recursive: true });
cpSync(join(root, "examples"), join(work, "public/files/examples"), { recursive: true });
cpSync(join(root, "web/icon.svg"), join(work, "public/icon.svg"));
const written = globSync("**/*.md", { cwd: work });
// The site serves files from its root.
const broken = brokenLinks(work, written).filter((line) => !/: \/files\//.test(line));
const missing = written.flatMap((file) =>
  [...readFileSync(join(work, file), "utf8").matchAll(/\]\((\/files\/[^)#]+)/g)].flatMap(([, path = ""]) =>
    existsSync(join(work, "public", path)) ? [] : [`${file}: ${path}`],
  ),
);
if (broken.length + missing.length > 0)
  throw new Error(`links that lead nowhere:\n${[...broken, ...missing].join("\n")}`);
mkdirSync(join(work, ".vitepress"), { recursive: true });
cpSync(join(tools, "config.mjs"), join(work, ".vitepress/config.mjs"));
const pages = [
  { text: "Start", link: "/" },
  { text: "Verbs", link: "/verbs/" },
  { text: "Errors", link: "/errors" },
  { text: "Changes", link: "/changes" },
];
writeFileSync(join(work, ".vitepress/pages.json"), JSON.stringify({ sidebar, pages }));
execFileSync(process.execPath, [join(tools, "node_modules/vitepress/bin/vitepress.js"), "build", work], {
  stdio: ["ignore", "inherit", "inherit"],
  env: { ...process.env, SITE_OUT: out },
});
rmSync(work, { recursive: true, force: true });
console.log(`written: ${out}`);

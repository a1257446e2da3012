// Proves that the documents can be built as a site: every page, the reference of every verb and of every document, and
// no link to a file or heading that is not there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { VERBS } from "../lib/cli/verb-table.ts";
import { verbPages } from "../scripts/verb-reference.ts";
import { LOADER } from "./support/loader.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = resolve(import.meta.dirname, "..");
const isMissing = !existsSync(join(root, "scripts/docs-site/node_modules/vitepress"));
// The runner of all tests installs it, and fails if it cannot although CI=true.
const skip = isMissing && "VitePress is not installed; `npm ci --prefix scripts/docs-site` does it";

test("the site has all pages, and loads nothing from other hosts", { skip, timeout: 240_000 }, () => {
  const out = join(temporaryFolder(), "site");
  execFileSync(process.execPath, [...LOADER, "scripts/site.ts", out], { cwd: root, stdio: "pipe" });
  const pages = globSync("docs/*.md", { cwd: root }).map((file) => file.slice("docs/".length, -".md".length));
  for (const name of pages) assert.ok(existsSync(join(out, `${name === "README" ? "index" : name}.html`)), name);
  for (const { name } of VERBS) assert.ok(existsSync(join(out, `verbs/${name}.html`)), name);
  assert.ok(existsSync(join(out, "json/push.html")));
  // Readers of a site see no files.
  for (const name of pages)
    assert.doesNotMatch(
      readFileSync(join(out, `${name === "README" ? "index" : name}.html`), "utf8"),
      />[a-z]+\.md<\/a>/,
      name,
    );
  for (const file of globSync("**/*.html", { cwd: out }))
    for (const [, address = ""] of readFileSync(join(out, file), "utf8").matchAll(
      /<(?:script|link|img)\b[^>]* (?:src|href)="([^"]+)"/g,
    ))
      assert.ok(!/^(?:https?:)?\/\//.test(address), `${file}: ${address}`);
});

test("the reference of a verb has its flags, its aliases and its examples", async () => {
  const pages = await verbPages();
  const push = pages.get("push") ?? "";
  for (const part of [
    "Also: `create`",
    "| `-t, --tag <tag>` |",
    "## Examples",
    "stave push -e . --tag app",
    "## Registry options",
  ])
    assert.ok(push.includes(part), part);
  for (const { name } of VERBS) assert.match(pages.get(name) ?? "", /^# stave [\s\S]*\n## Examples\n/, name);
});

// Proves that the reference written by `make api` has a page for each part of the package, and no broken links.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const out = mkdtempSync("/tmp/");
after(() => rmSync(out, { recursive: true, force: true }));

test("the reference has every part, without a broken link", (t) => {
  const tools = join(root, "scripts/api-docs");
  const typedoc = join(tools, "node_modules/typedoc/bin/typedoc");
  if (!existsSync(typedoc)) return t.skip("scripts/api-docs is not installed: make api does that");
  const args = [typedoc, "--options", join(tools, "typedoc.json"), "--out", out];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  // A name that is not exported, or a broken {@link}, is a warning, and warnings are errors.
  assert.equal(status, 0, stdout + stderr);

  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const parts = Object.keys(exports).filter((path) => !path.endsWith(".json"));
  const pages = globSync("**/*.md", { cwd: out }).sort();
  assert.deepEqual(pages, ["README.md", ...parts.map((path) => `stave${path.slice(1)}.md`)].sort());
  const texts = new Map(pages.map((page) => [join(out, page), readFileSync(join(out, page), "utf8")]));
  const anchors = new Map([...texts].map(([path, text]) => [path, anchorsOf(text)]));
  const broken: string[] = [];
  for (const [path, text] of texts)
    for (const [link, file = "", anchor] of text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
      const found = anchors.get(file === "" ? path : join(dirname(path), file));
      if (!found || (anchor !== undefined && !found.has(anchor))) broken.push(`${path}: ${link}`);
    }
  assert.deepEqual(broken, []);
});

/** The anchors of a page: explicit ones, and those of its headings. */
function anchorsOf(text: string): Set<string> {
  const found = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id));
  const count = new Map<string, number>();
  for (const [, heading = ""] of text.matchAll(/^#+ (.+)$/gm)) {
    const name = heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-");
    const before = count.get(name) ?? 0;
    count.set(name, before + 1);
    found.add(before === 0 ? name : `${name}-${before}`);
  }
  return found;
}

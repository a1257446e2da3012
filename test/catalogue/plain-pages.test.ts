// Proves that the pages without a script are readable tables, and that no text becomes markup.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PackageRow } from "../../lib/catalogue/catalogue-data.ts";
import { startPage, tableCount, tablePage } from "../../lib/catalogue/plain-pages.ts";
import { MARKUP } from "../support/catalogue.ts";

const assets = { script: "assets/s.js", style: "assets/s.css", layout: "assets/l.js", icon: "assets/i.svg" };

test("packages are in tables of 1 000 rows, each with links to all others", () => {
  const rows = Array.from({ length: 2500 }, (_, at): PackageRow => [`p${at}`, at, "1"]);
  assert.equal(tableCount(rows.length), 3);
  assert.equal(tableCount(0), 1);
  const pages = [1, 2, 3].map((number) => tablePage("cache", rows, number, assets));
  assert.deepEqual(
    pages.map((text) => text.match(/<th scope="row">/g)?.length),
    [1000, 1000, 500],
  );
  assert.match(pages[1] ?? "", /href="1\.html">p0 …[\s\S]*aria-current="page">p1000<[\s\S]*href="3\.html">p2000 …/);
});

test("names and versions are text, wherever they stand", () => {
  const pages = [startPage(MARKUP, assets), tablePage(MARKUP, [[MARKUP, 1, MARKUP]], 1, assets)];
  for (const text of pages) {
    assert.ok(!text.includes("<img"));
    assert.equal(text.match(/<script/g)?.length ?? 0, text.includes("noscript") ? 1 : 0);
  }
});

test("the policy of a page admits only its own files, and no text as markup", () => {
  const [, policy = ""] = /Content-Security-Policy" content="([^"]+)"/.exec(startPage("cache", assets)) ?? [];
  assert.match(policy, /^default-src &#39;none&#39;; script-src &#39;self&#39;;/);
  assert.match(policy, /require-trusted-types-for &#39;script&#39;/);
  assert.ok(!/unsafe|https?:|\*/.test(policy));
});

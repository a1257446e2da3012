// Proves in a real browser that the pages of a catalogue can be searched, read and clicked through by mouse and
// keyboard, from a folder and from a server, without markup from a cache, a finding of axe, or a violation of their
// policy.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before } from "node:test";
import type { Page } from "playwright-core";
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import { ServedCatalogue } from "../../lib/catalogue/served-catalogue.ts";
import { writeCatalogue } from "../../lib/ops/cache/web.ts";
import { createRegistry, type RegistryServer } from "../../lib/serve/registry-server.ts";
import type { SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { startStatic } from "../../scripts/static-server.ts";
import { closeBrowser, openPage } from "../support/browser.ts";
import { madeSpec } from "../support/caches.ts";
import { hostileSpec, indexedLayout, MARKUP, ODD_NAMES } from "../support/catalogue.ts";
import { peerTest } from "../support/peers.ts";
import { temporaryFolder } from "../support/tree.ts";

const zlib = madeSpec("zlib", "1.3", [], { parameters: { build_system: "makefile", pic: true, shared: false } });
const older = madeSpec("zlib", "1.2", [], { parameters: { build_system: "makefile", pic: false, shared: false } });
const hdf5 = madeSpec("hdf5", "1.14", [zlib]);
const app = madeSpec("app", "2.0", [hdf5, zlib]);
const evil = hostileSpec("evil", [zlib]);
const odd = ODD_NAMES.map((name) => madeSpec(name, "1", [zlib]));
const specs: SpecDocument[] = [zlib, older, hdf5, app, evil, ...odd];

const folder = temporaryFolder();
let site: Awaited<ReturnType<typeof startStatic>>;
let registry: RegistryServer;
let served: string;

before(async () => {
  const layout = await indexedLayout(specs);
  const target = await LayoutTarget.open(layout, { clock: systemClock });
  const address = { kind: "images", text: "oci://ghcr.io/org/cache" } as const;
  await writeCatalogue(new ReadOciCache(target), { directory: folder, address });
  await target.close();
  site = await startStatic(folder);
  registry = await createRegistry({ directory: layout, pages: (all) => new ServedCatalogue(all) });
  served = `${(await registry.listen({ host: "127.0.0.1", port: 0 })).url}/web/`;
});
after(async () => {
  await closeBrowser();
  await site.close();
  await registry.close();
});

const specPath = ({ root: { name, hash } }: SpecDocument): string => `#/s/${name}/${hash}`;
const heading = async (page: Page): Promise<string> => (await page.textContent("h1")) ?? "";

for (const where of ["a folder", "a server"])
  peerTest(["chromium"], `the pages of ${where} can be searched, opened and compared by keyboard alone`, async () => {
    await using opened = await openPage(where === "a folder" ? site.url : served);
    const { page, wrong } = opened;
    await page.keyboard.press("/");
    await page.keyboard.type("zl");
    assert.deepEqual(await page.locator(".packages tbody th").allTextContents(), ["zlib"]);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".specs li");
    assert.equal(await heading(page), "zlib");
    assert.deepEqual(await page.locator(".specs strong").allTextContents(), ["1.3", "1.2"]);
    for (const box of await page.locator(".specs input").all()) {
      await box.focus();
      await page.keyboard.press("Space");
    }
    await page.locator(".compare a").focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector(".diff");
    const rows = await page.locator(".diff tbody:has-text('Variants') tr:not(.group)").allTextContents();
    assert.deepEqual(rows, ["pictruefalse"]);
    assert.deepEqual(wrong, []);
  });

peerTest(
  ["chromium"],
  "a spec shows how to get it, its dependencies as a graph to click through, and its dependents",
  async () => {
    await using opened = await openPage(site.url + specPath(app), {
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const { page, wrong } = opened;
    await page.waitForSelector("a.node");
    assert.match(await heading(page), /^app@2\.0 \/[a-z2-7]{7}$/);
    const [stave, spack, podman] = await page.locator(".copy pre").allTextContents();
    const { hash } = app.root;
    assert.equal(stave, `stave install oci://ghcr.io/org/cache app/${hash.slice(0, 10)}`);
    assert.equal(
      spack,
      `spack mirror add --unsigned catalogue oci://ghcr.io/org/cache\nspack install --cache-only app/${hash}`,
    );
    assert.equal(podman, `podman pull ghcr.io/org/cache:app-2.0-${hash}.spack`);
    await page.click("text=Copy >> nth=0");
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), stave);
    assert.match((await page.textContent("main")) ?? "", /Sizes, layers, signatures and SBOMs are not known/);
    assert.equal(await page.locator("svg .edge").count(), 3);
    await page.locator("a.node", { hasText: "zlib@1.3" }).click();
    await page.waitForSelector("h1:has-text('zlib@1.3')");
    assert.match((await page.textContent("section:has(h2:text('Dependents'))")) ?? "", /hdf5@1\.14.*app@2\.0/s);
    await page.goBack();
    await page.waitForSelector("h1:has-text('app@2.0')");
    assert.deepEqual(wrong, []);
  },
);

for (const where of ["a folder", "a server"])
  peerTest(
    ["chromium"],
    `the first view of ${where} takes five requests; the list does not wait for the script`,
    async () => {
      await using opened = await openPage(where === "a folder" ? site.url : served);
      const { page, wrong } = opened;
      await page.waitForSelector(".packages td");
      // The browser requests the icon last: on a busy machine, after the first rows.
      // Not a string: the page forbids evaluating one again.
      await page.waitForFunction(() =>
        performance.getEntriesByType("resource").some(({ name }) => name.endsWith(".svg")),
      );
      await page.waitForLoadState("networkidle");
      const loaded = await page.evaluate<[string, string][]>(
        `performance.getEntriesByType("resource").map(({ name, initiatorType }) => [name, initiatorType])`,
      );
      const names = loaded.map(([name]) =>
        new URL(name).pathname
          .split("/")
          .at(-1)
          ?.replace(/-[0-9a-f]{12}/, ""),
      );
      assert.deepEqual(names.toSorted(), ["catalogue.json", "icon.svg", "script.js", "style.css"]);
      assert.equal(loaded.find(([name]) => name.endsWith("catalogue.json"))?.[1], "link");
      assert.deepEqual(wrong, []);
    },
  );

const LIGHT = "rgb(250, 249, 247)";
const DARK = "rgb(22, 23, 26)";
for (const [colorScheme, colours] of [
  ["light", [LIGHT, LIGHT, DARK]],
  ["dark", [DARK, LIGHT, DARK]],
] as const)
  peerTest(
    ["chromium"],
    `on a ${colorScheme} system the button leads from its colours to light and dark ones`,
    async () => {
      await using opened = await openPage(site.url, { colorScheme });
      const { page } = opened;
      const seen: string[] = [];
      for (const theme of ["auto", "light", "dark"]) {
        await page.waitForSelector(`button.quiet[title^='Theme: ${theme}.']`);
        seen.push(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
        await page.click("button.quiet");
      }
      assert.deepEqual(seen, colours);
    },
  );

peerTest(["chromium"], "the address of a served catalogue is that of the server", async () => {
  await using opened = await openPage(served + specPath(app));
  await opened.page.waitForSelector(".copy pre");
  const [stave] = await opened.page.locator(".copy pre").allTextContents();
  assert.equal(
    stave,
    `stave install oci+http://${new URL(served).host}/${registry.repository} app/${app.root.hash.slice(0, 10)}`,
  );
});

peerTest(["chromium"], "a hash finds its spec, and a text after the name filters the specs of a package", async () => {
  await using opened = await openPage(site.url);
  const { page, wrong } = opened;
  await page.fill("input[type=search]", `/${hdf5.root.hash.slice(0, 6)}`);
  await page.click(".hashes a");
  await page.waitForSelector("h1:has-text('hdf5@1.14')");
  await page.goto(`${site.url}#/?q=${encodeURIComponent("zlib@1.2 ~pic")}`);
  await page.locator(".packages a").first().click();
  await page.waitForSelector(".specs li");
  assert.deepEqual(await page.locator(".specs strong").allTextContents(), ["1.2"]);
  assert.deepEqual(wrong, []);
});

peerTest(["chromium"], "texts of a cache never become markup, whatever page shows them", async () => {
  const evilPath = specPath(evil);
  const diff = `#/diff/evil/${evil.root.hash}/zlib/${zlib.root.hash}`;
  for (const path of [
    "",
    "#/p/evil",
    evilPath,
    specPath(zlib),
    diff,
    `#/p/${encodeURIComponent(MARKUP)}`,
    "plain/1.html",
  ]) {
    await using opened = await openPage(site.url + path);
    const { page, wrong } = opened;
    assert.doesNotMatch(await page.title(), /^hit$/, path);
    assert.equal(await page.locator("img, script:not([src])").count(), 0, path);
    assert.deepEqual(wrong, [], path);
    if (path === evilPath)
      assert.match((await page.textContent("main")) ?? "", /<script>document\.title='hit'<\/script>/);
  }
});

peerTest(["chromium"], "packages with odd names have pages as all others", async () => {
  await using opened = await openPage(site.url);
  const { page, wrong } = opened;
  for (const { root } of odd) {
    await page.goto(`${site.url}#/s/${root.name}/${root.hash}`);
    await page.waitForSelector(`h1:has-text("/${root.hash.slice(0, 7)}")`);
    assert.ok((await heading(page)).startsWith(`${root.name}@1`), root.name);
  }
  assert.deepEqual(wrong, []);
});

const axe = readFileSync(resolve(import.meta.dirname, "../../node_modules/axe-core/axe.min.js"), "utf8");
for (const { colorScheme, width } of [
  { colorScheme: "light", width: 1100 },
  { colorScheme: "dark", width: 400 },
] as const)
  peerTest(["chromium"], `axe finds nothing to improve, ${colorScheme} and ${width} pixels wide`, async () => {
    const diff = `#/diff/zlib/${zlib.root.hash}/zlib/${older.root.hash}`;
    for (const path of ["", "#/p/zlib", specPath(app), diff, "plain/1.html"]) {
      await using opened = await openPage(site.url + path, { colorScheme, viewport: { width, height: 900 } });
      const { page } = opened;
      if (path === specPath(app)) await page.waitForSelector("a.node");
      await page.evaluate(axe);
      const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
        "axe.run()",
      );
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      assert.deepEqual(found, [], path);
      const isWide = await page.evaluate<boolean>("document.documentElement.scrollWidth > innerWidth");
      assert.ok(!isWide, `${path} is wider than ${width}`);
    }
  });

peerTest(["chromium"], "without JavaScript there is a readable table", async () => {
  await using opened = await openPage(site.url, { javaScriptEnabled: false });
  const { page, wrong } = opened;
  await page.click("noscript a, a:has-text('table of all packages')");
  assert.match(await heading(page), /^Packages of oci:\/\/ghcr\.io\/org\/cache$/);
  const rows = await page.locator("tbody tr").allTextContents();
  assert.ok(rows.includes("zlib1.32"));
  assert.deepEqual(wrong, []);
});

peerTest(["chromium"], "the policy stops a script that is not of the page, and text that becomes markup", async () => {
  await using opened = await openPage(served);
  const { page, wrong } = opened;
  const stopped = await page.evaluate<string>(`(() => {
    const script = document.createElement("script");
    try { script.text = "document.title = 'hit'"; document.body.append(script); } catch (error) { return error.name; }
    return "";
  })()`);
  assert.equal(stopped, "TypeError");
  assert.equal(
    await page.evaluate(
      "(() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } })()",
    ),
    "TypeError",
  );
  assert.ok(wrong.every((text) => /policy|TrustedHTML|TrustedScript/i.test(text)));
  assert.notEqual(await page.title(), "hit");
});

peerTest(
  ["chromium"],
  "a page that was open while the catalogue was written again finds the new documents",
  async () => {
    const directory = join(temporaryFolder(), "site");
    const write = async (list: SpecDocument[]): Promise<void> => {
      const target = await LayoutTarget.open(await indexedLayout(list), { clock: systemClock });
      const address = { kind: "images", text: "oci://host/cache" } as const;
      await writeCatalogue(new ReadOciCache(target), { directory, address });
      await target.close();
    };
    await write([zlib]);
    const own = await startStatic(directory, "/");
    try {
      await using opened = await openPage(own.url);
      await write([zlib, older]);
      await opened.page.click(".packages a");
      await opened.page.waitForSelector(".specs li");
      assert.deepEqual(await opened.page.locator(".specs strong").allTextContents(), ["1.3", "1.2"]);
    } finally {
      await own.close();
    }
  },
);

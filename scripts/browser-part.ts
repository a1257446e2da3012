// Builds the browser part of catalogues from web/, and puts it into the bundles that write and serve them.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { build, type Plugin } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
/** The module that reads the browser part. */
export const READER = "lib/catalogue/browser-part.ts";
/** The packages that the browser part contains. */
export const BROWSER_PACKAGES = ["@dagrejs/dagre", "preact"] as const;
/** The files of `BrowserPart` in the module that reads it. */
const FILES = { script: "app.js", style: "style.css", layout: "layout.js", icon: "icon.svg" };

let built: Promise<ReadonlyMap<string, string>> | undefined;

async function buildTexts(): Promise<ReadonlyMap<string, string>> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: { app: "web/app.tsx", layout: "web/graph/layout-thread.ts", style: "web/style.css" },
    outdir: "dist/web",
    write: false,
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    tsconfig: "web/tsconfig.json",
    // The licenses are in one file of their own.
    legalComments: "none",
    metafile: true,
  });
  const found = Object.keys(metafile.inputs).flatMap(
    (file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? [],
  );
  const packages = [...new Set(found)].toSorted().join(" ");
  if (packages !== BROWSER_PACKAGES.join(" ")) throw new Error(`the browser part contains ${packages}`);
  const texts = new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
  return texts.set("icon.svg", readFileSync(`${root}web/icon.svg`, "utf8"));
}

/** Writes the browser part to dist/web, where sources read it that are not bundled. */
export async function writeBrowserPart(): Promise<void> {
  built ??= buildTexts();
  mkdirSync(`${root}dist/web`, { recursive: true });
  for (const [name, text] of await built) writeFileSync(`${root}dist/web/${name}`, text);
}

/** Replaces the module that reads the browser part by one that contains it, so that it is wherever the program is. */
export const containBrowserPart: Plugin = {
  name: "contain-browser-part",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/lib\/catalogue\/browser-part\.ts$/ }, async () => {
      built ??= buildTexts();
      const texts = await built;
      const part = JSON.stringify(
        Object.fromEntries(Object.entries(FILES).map(([name, file]) => [name, texts.get(file)])),
      );
      return { contents: `export async function browserPart() { return ${part}; }`, loader: "js" };
    });
  },
};

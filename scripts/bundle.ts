// How the sources are bundled, into files of a package or into a single executable.
import type { BuildOptions, Plugin } from "esbuild";
import { BROWSER_PACKAGES, containBrowserPart, READER } from "./browser-part.ts";
import { containWorkflows } from "./contained-workflows.ts";

const root = new URL("..", import.meta.url).pathname;

/** Threads are started from files of their own; see lib/util/thread.ts. */
export const THREADS: Readonly<Record<string, string>> = {
  "pack-worker": "lib/image/pack/pack-worker.ts",
  "place-worker": "lib/relocate/place/place-worker.ts",
  "password-worker": "lib/serve/password-worker.ts",
  "index-worker": "lib/cache/index-worker.ts",
};

/** Put the texts into a bundle that sources read from files. */
export const CONTAINED: Plugin[] = [containBrowserPart, containWorkflows];

/** What all bundles have in common. */
export const BUNDLE_OPTIONS: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node22",
  minifySyntax: true,
  // The licenses are in one file of their own.
  legalComments: "none",
  alias: { "make-fetch-happen": `${root}scripts/no-fetch.ts` },
  plugins: CONTAINED,
};

/** The folders of the packages that bundled files come from, sorted. */
export function packagesOf(files: readonly string[]): string[] {
  const folders = files.flatMap((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []);
  // What the browser part contains is not among the files that were bundled.
  if (files.includes(READER)) folders.push(...BROWSER_PACKAGES.map((name) => `node_modules/${name}`));
  return [...new Set(folders)].toSorted().map((folder) => `${root}${folder}`);
}

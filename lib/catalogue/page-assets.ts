// The files of the browser part, named after their content, so that browsers may keep them for ever.
import { digestOf, hexOf } from "../oci/digest.ts";
import { type BrowserPart, browserPart } from "./browser-part.ts";
import type { PageAssets } from "./plain-pages.ts";

/** The files that pages load, by their paths relative to the start page. */
export interface AssetFiles {
  readonly paths: PageAssets;
  readonly files: ReadonlyMap<string, string>;
}

const EXTENSIONS: Readonly<Record<keyof BrowserPart, string>> = {
  script: "js",
  style: "css",
  layout: "js",
  icon: "svg",
};

/** Reads the browser part and names its files. */
export async function assetFiles(): Promise<AssetFiles> {
  const part = await browserPart();
  const files = new Map<string, string>();
  const add = (name: keyof BrowserPart): string => {
    const path = `assets/${name}-${hexOf(digestOf(Buffer.from(part[name]))).slice(0, 12)}.${EXTENSIONS[name]}`;
    files.set(path, part[name]);
    return path;
  };
  return { paths: { script: add("script"), style: add("style"), layout: add("layout"), icon: add("icon") }, files };
}

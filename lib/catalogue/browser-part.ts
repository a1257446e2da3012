// The browser part of a catalogue, built from web/. The build replaces this file by one that contains the texts, so
// that they are where the program is; sources read what the build has written.
import { readFile } from "node:fs/promises";

/** The texts of the browser part. */
export interface BrowserPart {
  readonly script: string;
  readonly style: string;
  /** The script of the thread that lays out graphs. */
  readonly layout: string;
  readonly icon: string;
}

/** Reads the browser part. */
export async function browserPart(): Promise<BrowserPart> {
  const folder = new URL("../../dist/web/", import.meta.url);
  const text = (name: string): Promise<string> => readFile(new URL(name, folder), "utf8");
  return {
    script: await text("app.js"),
    style: await text("style.css"),
    layout: await text("layout.js"),
    icon: await text("icon.svg"),
  };
}

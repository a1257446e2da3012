// Benchmarks catalogues: how long writing one takes, and what a browser needs for the first view of it.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { writeCacheFolder } from "../make-cache.ts";
import { findProgram } from "../peers.ts";
import { startStatic } from "../static-server.ts";
import { type Candidate, measure, median } from "./measure.ts";
import { commandTable, type Table } from "./table.ts";

const SIZES = [1000, 50_000];
/** Specs that depend only on each other, as those of an environment do. */
const STACK = 40;
const ROUNDS = 3;
const VIEWS = 7;

/** Notes when an element is shown, which is in the frame after it was found; runs in the page. */
const LOOK = `(ready) => {
  globalThis.shownAt = new Promise((done) => {
    const look = () => {
      if (document.querySelector(ready) === null) requestAnimationFrame(look);
      else requestAnimationFrame(() => done(performance.now()));
    };
    requestAnimationFrame(look);
  });
}`;

/** Writes catalogues, looks at them, and returns a table of each. */
export async function benchWeb(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const tables: Table[] = [];
  for (const size of SIZES) {
    const specs = Math.round(size * scale);
    const cache = join(scratch, `cache-${specs}`);
    await writeCacheFolder(cache, { specs, missing: 0, allImages: false, stack: STACK, seed: 7 });
    const site = join(scratch, `site-${specs}`);
    const run = (name: string, prepare: () => void): Candidate => ({
      name,
      env: { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "memory"), SPACK_ROOT: "", SPACK_ENV: "" },
      command: () => [process.execPath, stave, "web", `oci-layout:${cache}`, "-o", site],
      prepare: async () => prepare(),
    });
    const empty = (): void => rmSync(site, { recursive: true, force: true });
    const figures = await measure([run("stave web", empty), run("stave web, again", () => {})], ROUNDS, 0);
    tables.push(commandTable(`a cache of ${specs} specs`, figures));
    tables.push(await viewTable(`the pages of ${specs} specs, in Chromium`, site));
  }
  return tables;
}

async function viewTable(title: string, site: string): Promise<Table> {
  const executablePath = findProgram("chromium");
  if (executablePath === undefined) throw new Error("chromium is not on the PATH");
  const server = await startStatic(site);
  const browser = await chromium.launch({ executablePath });
  const view = async (
    path: string,
    ready: string,
  ): Promise<readonly [seconds: number, bytes: number, requests: number]> => {
    const samples: (readonly [number, number, number])[] = [];
    for (let round = 0; round < VIEWS; round++) {
      // Each view starts with nothing remembered.
      const page = await (await browser.newContext()).newPage();
      const sizes: Promise<number>[] = [];
      page.on("requestfinished", (request) =>
        sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize)),
      );
      // Measured in the page, from the start of the navigation to the frame after the content is there.
      await page.addInitScript({ content: `(${LOOK})(${JSON.stringify(ready)})` });
      await page.goto(server.url + path, { waitUntil: "commit" });
      await page.waitForSelector(ready);
      const seconds = (await page.evaluate<number>("globalThis.shownAt")) / 1000;
      const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
      samples.push([seconds, bytes, sizes.length]);
      await page.context().close();
    }
    const of = (at: 0 | 1 | 2): number => median(samples.map((sample) => sample[at]));
    return [of(0), of(1), of(2)];
  };
  try {
    const data = readdirSync(join(site, "data"))[0] ?? "";
    const name = existsSync(join(site, "data", data, "packages/hdf5.json")) ? "hdf5" : "cmake";
    const { lines } = (await (await fetch(`${server.url}data/${data}/packages/${name}.json`)).json()) as {
      lines: string[][];
    };
    return {
      title,
      columns: [
        { name: "until it is shown", unit: "s" },
        { name: "received, compressed", unit: "bytes" },
        { name: "requests", unit: "count" },
      ],
      rows: [
        { name: "start page, list of packages", cells: await view("", ".packages td") },
        { name: "a package", cells: await view(`#/p/${name}`, ".specs li") },
        { name: "a spec with its graph", cells: await view(`#/s/${name}/${lines[0]?.[0]}`, "a.node") },
      ],
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

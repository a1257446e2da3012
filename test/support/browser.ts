// A real Chromium for tests of pages. Everything that a page should not do is recorded: requests to other hosts,
// violations of its policy, errors.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findProgram } from "../../scripts/peers.ts";

/** A page with what went wrong on it. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** Errors, violations of the policy, and requests to other hosts. */
  readonly wrong: string[];
  /** The bytes that were received. */
  received(): number;
}

let started: Promise<Browser> | undefined;

/** Closes the browser; the last test of a file calls it. */
export async function closeBrowser(): Promise<void> {
  await (await started)?.close();
}

/** Opens an address in a browser context of its own. */
export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  started ??= chromium.launch({ executablePath: findProgram("chromium") ?? "chromium" });
  const context = await (await started).newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong: string[] = [];
  let received = 0;
  const { host } = new URL(url);
  page.on("pageerror", (error) => wrong.push(error.message));
  // Chromium reports a violation of the policy as an error, too.
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => new URL(request.url()).host === host || wrong.push(`asks ${request.url()}`));
  page.on("requestfinished", (request) => {
    request.sizes().then(
      ({ responseBodySize }) => {
        received += responseBodySize;
      },
      () => {},
    );
  });
  await page.goto(url);
  await page.waitForSelector("h1");
  await page.waitForSelector(".loading:not([hidden])", { state: "detached" });
  return { page, wrong, received: () => received, [Symbol.asyncDispose]: () => context.close() };
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Serves a folder below a path, as a static host does. */
export async function startStatic(
  folder: string,
  path = "/some/where/",
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const asked = decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname);
    const name = normalize(asked.slice(path.length) || "index.html");
    const bytes =
      asked.startsWith(path) && !name.startsWith("..")
        ? await readFile(join(folder, name)).catch(() => undefined)
        : undefined;
    if (bytes === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "text/plain", "content-encoding": "gzip" });
    response.end(gzipSync(bytes));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, close };
}

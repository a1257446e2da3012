// A real Chromium for tests of pages. Everything that a page should not do is recorded: requests to other hosts,
// violations of its policy, errors.
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findProgram } from "../../scripts/peers.ts";

/** A page with what went wrong on it. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** Errors, violations of the policy, and requests to other hosts. */
  readonly wrong: string[];
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
  const { host } = new URL(url);
  page.on("pageerror", (error) => wrong.push(error.message));
  // Chromium reports a violation of the policy as an error, too.
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => new URL(request.url()).host === host || wrong.push(`asks ${request.url()}`));
  await page.goto(url);
  await page.waitForSelector("h1");
  await page.waitForSelector(".loading:not([hidden])", { state: "detached" });
  return { page, wrong, [Symbol.asyncDispose]: () => context.close() };
}

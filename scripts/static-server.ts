// Serves a folder below a path, as a static host does: compressed, and nothing else.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Starts the server on a free port. */
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

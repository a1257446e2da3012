// Mirrors made by real Spack, and a web server over their files.
import { cpSync, existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { MirrorCache, type MirrorOptions } from "../../lib/cache/mirror/mirror-cache.ts";
import { FolderObjects } from "../../lib/objects/folder-objects.ts";
import { systemClock } from "../../lib/util/time.ts";
import { unpackGolden } from "./golden.ts";
import { temporaryFolder } from "./tree.ts";

/** The golden mirrors by layout. */
export const MIRRORS = { 3: "spack-1.2/mirror-v3", 2: "spack-0.23/mirror-v2" } as const;

/** The folder of a golden mirror, for reading only. */
export async function goldenMirror(layout: 2 | 3): Promise<string> {
  return join(await unpackGolden(MIRRORS[layout]), MIRRORS[layout].slice(-"mirror-v3".length));
}

/** A copy of a golden mirror that a test may change. */
export async function copiedMirror(layout: 2 | 3): Promise<string> {
  const folder = temporaryFolder();
  cpSync(await goldenMirror(layout), folder, { recursive: true });
  return folder;
}

/** The mirror in a folder. */
export function mirrorAt(folder: string, more: Partial<MirrorOptions> = {}): MirrorCache {
  return new MirrorCache({
    objects: new FolderObjects(folder, `file://${folder}`, systemClock),
    signatures: undefined,
    ...more,
  });
}

/** A web server over a folder. */
export interface TestWeb {
  readonly url: string;
  /** `METHOD PATH` of every request. */
  readonly requests: string[];
  /** Answers a request itself and returns true, or leaves it to the server. */
  intervene: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** Serves a folder as web servers do: no listings, ranges, and an ETag. */
export async function startWeb(folder: string): Promise<TestWeb> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname);
    web.requests.push(`${request.method} ${path}`);
    if (web.intervene?.(request, response)) return;
    const file = join(folder, path);
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404, { "content-type": "text/html" }).end("<html>not here</html>");
      return;
    }
    const bytes = readFileSync(file);
    const from = Number(/^bytes=([0-9]+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const body = bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": body.length,
      ...(from > 0 && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  const web: TestWeb = {
    url: "",
    requests: [],
    intervene: undefined,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return Object.assign(web, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

// A server that speaks enough S3 for benchmarks: it keeps objects in files, and checks nothing.
import { createHash } from "node:crypto";
import {
  appendFileSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";

/** A running server. */
export interface S3Store {
  readonly url: string;
  close(): void;
}

function keysIn(bucket: string, prefix: string): string[] {
  if (!existsSync(bucket)) return [];
  const names = readdirSync(bucket, { recursive: true }) as string[];
  return names.filter((name) => name.startsWith(prefix) && statSync(join(bucket, name)).isFile()).sort();
}

/** Starts a server over a folder; every bucket exists. */
export async function startS3Store(folder: string): Promise<S3Store> {
  let uploads = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://host");
    const path = join(folder, decodeURIComponent(url.pathname));
    const [id, part] = [url.searchParams.get("uploadId"), url.searchParams.get("partNumber")];
    const store = async (file: string): Promise<void> => {
      mkdirSync(dirname(file), { recursive: true });
      await pipeline(request, createWriteStream(file));
      response.writeHead(200, { etag: `"${createHash("md5").update(file).digest("hex")}"` }).end();
    };
    if (url.searchParams.has("list-type")) {
      response.writeHead(200, { "content-type": "application/xml" });
      const keys = keysIn(path, url.searchParams.get("prefix") ?? "");
      const rows = keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join("");
      response.end(`<ListBucketResult><IsTruncated>false</IsTruncated>${rows}</ListBucketResult>`);
    } else if (request.method === "PUT") await store(part === null ? path : `${path}.${id}.${part}`);
    else if (request.method === "POST") {
      for await (const _ of request);
      const name = url.searchParams.has("uploads") ? "InitiateMultipartUploadResult" : "CompleteMultipartUploadResult";
      const made = id ?? String(++uploads);
      for (let at = 1; id !== null && statSync(`${path}.${id}.${at}`, { throwIfNoEntry: false }); at++) {
        appendFileSync(path, readFileSync(`${path}.${id}.${at}`));
        rmSync(`${path}.${id}.${at}`);
      }
      response.writeHead(200, { "content-type": "application/xml" });
      response.end(`<${name}><UploadId>${made}</UploadId><ETag>"x"</ETag></${name}>`);
    } else if (request.method === "DELETE") {
      rmSync(path, { force: true });
      response.writeHead(204).end();
    } else {
      const found = statSync(path, { throwIfNoEntry: false });
      if (!found?.isFile()) {
        response.writeHead(404, { "content-type": "application/xml" });
        return void response.end(request.method === "HEAD" ? "" : "<Error><Code>NoSuchKey</Code></Error>");
      }
      const [, from, to] = /^bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
      const start = Number(from ?? 0);
      const end = to ? Math.min(Number(to), found.size - 1) : found.size - 1;
      response.writeHead(from === undefined ? 200 : 206, {
        ...{ "content-length": end - start + 1, etag: '"x"', "last-modified": found.mtime.toUTCString() },
        ...(from !== undefined && { "content-range": `bytes ${start}-${end}/${found.size}` }),
      });
      if (request.method === "HEAD") response.end();
      else await pipeline(createReadStream(path, { start, end, highWaterMark: 1024 ** 2 }), response);
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

// An S3 server in this process. It refuses wrong signatures, checksums and conditions, lists in pages, and can be told
// to misbehave.
import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Secret } from "../../lib/printable/secret.ts";

interface Stored {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modified: Date;
  readonly generation?: string;
}

/** A running server. */
export interface TestS3 {
  readonly url: string;
  /** `METHOD PATH?QUERY` of every request. */
  readonly requests: string[];
  /** The statuses of answers to questions for an index of layout 2. */
  readonly sent: number[];
  /** By `BUCKET/KEY`. */
  readonly objects: Map<string, Stored>;
  readonly buckets: Set<string>;
  /** The number of keys in a page of a list. */
  page: number;
  /** Accept requests without a signature. */
  isPublic: boolean;
  /** Ignore If-Match and If-None-Match, as old servers do. */
  ignoresConditions: boolean;
  /** Whose form of the protocol is spoken: signatures and conditions of the other are refused or ignored. */
  dialect: "s3" | "gs";
  /** The region of the bucket; requests signed for another one are refused. */
  region: string;
  /** Answers a request itself and returns true, or leaves it to the server. */
  intervene: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** The access token with which a client of Google's dialect is accepted. */
export const TOKEN = "an.access.token";
const ID = "test";
const SECRET = "test+secret/1";
/** The variables with which a client is accepted. */
export const S3_ENV = { AWS_ACCESS_KEY_ID: ID, AWS_SECRET_ACCESS_KEY: SECRET };
/** The same pair as the credentials of a place. */
export const S3_PAIR = { id: ID, secret: new Secret(SECRET) };

const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");
const hmac = (key: Buffer | string, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const strict = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** Starts a server with one bucket, `cache`. */
export async function startS3(): Promise<TestS3> {
  const uploads = new Map<string, Buffer[]>();
  let generations = 1000;
  const fail = (response: ServerResponse, status: number, code: string, more = ""): void => {
    const text = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>refused by the test</Message>${more}</Error>`;
    response.writeHead(status, { "content-type": "application/xml" }).end(text);
  };
  // AWS Signature Version 4, with the whole content signed.
  const check = (request: IncomingMessage, url: URL, body: Buffer): string | undefined => {
    const header = request.headers.authorization;
    const isGoogle = s3.dialect === "gs";
    const heads = Object.keys(request.headers);
    if (isGoogle && heads.some((name) => name.startsWith("x-amz-"))) return "InvalidArgument";
    if (header === undefined) return s3.isPublic ? undefined : "AccessDenied";
    if (isGoogle && header.startsWith("Bearer "))
      return header === `Bearer ${TOKEN}` ? undefined : "AuthenticationRequired";
    const [vendor, prefix, service] = isGoogle ? ["GOOG4", "x-goog", "storage"] : ["AWS4", "x-amz", "s3"];
    const end = `${vendor.toLowerCase()}_request`;
    const [, id, day, region, names, signature] =
      new RegExp(
        `^${vendor}-HMAC-SHA256 Credential=([^/]+)/(\\d{8})/([^/]+)/${service}/${end}, ?SignedHeaders=([^,]+), ?Signature=(\\w+)$`,
      ).exec(header) ?? [];
    if (id === undefined || day === undefined || region === undefined || names === undefined) return "InvalidRequest";
    if (id !== ID) return "InvalidAccessKeyId";
    const time = String(request.headers[`${prefix}-date`]);
    const at = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
    if (Math.abs(at - Date.now()) > 15 * 60_000) return "RequestTimeTooSkewed";
    const query = [...url.searchParams]
      .map(([key, value]) => `${strict(key)}=${strict(value)}`)
      .sort()
      .join("&");
    const path = url.pathname
      .split("/")
      .map((part) => strict(decodeURIComponent(part)))
      .join("/");
    if (heads.some((name) => /^x-(?:goog|amz)-/.test(name) && !names.split(";").includes(name)))
      return "SignatureDoesNotMatch";
    const lines = names
      .split(";")
      .map((name) => `${name}:${String(request.headers[name]).trim()}\n`)
      .join("");
    const hash = String(request.headers[`${prefix}-content-sha256`]);
    const canonical = [request.method, path, query, lines, names, hash].join("\n");
    const scope = `${day}/${region}/${service}/${end}`;
    const text = [`${vendor}-HMAC-SHA256`, time, scope, sha256(canonical)].join("\n");
    const key = hmac(hmac(hmac(hmac(`${vendor}${SECRET}`, day), region), service), end);
    if (hmac(key, text).toString("hex") !== signature) return "SignatureDoesNotMatch";
    if (!isGoogle && region !== s3.region) return "AuthorizationHeaderMalformed";
    return hash === sha256(body) ? undefined : "XAmzContentSHA256Mismatch";
  };
  const list = (url: URL, bucket: string, response: ServerResponse): void => {
    const prefix = `${bucket}/${url.searchParams.get("prefix") ?? ""}`;
    const after = url.searchParams.get("continuation-token") ?? "";
    const keys = [...s3.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const left = keys.filter((key) => key > after);
    const page = left.slice(0, s3.page);
    const isCut = left.length > page.length;
    const rows = page.map((key) => {
      const { bytes, modified } = s3.objects.get(key) as Stored;
      const name = strict(key.slice(bucket.length + 1)).replaceAll("%2F", "/");
      return `<Contents><Key>${name}</Key><LastModified>${modified.toISOString()}</LastModified><Size>${bytes.length}</Size></Contents>`;
    });
    const next = isCut ? `<NextContinuationToken>${escaped(page.at(-1) ?? "")}</NextContinuationToken>` : "";
    response
      .writeHead(200, { "content-type": "application/xml" })
      .end(
        `<?xml version="1.0"?><ListBucketResult><IsTruncated>${isCut}</IsTruncated>${rows.join("")}${next}</ListBucketResult>`,
      );
  };
  const put = (request: IncomingMessage, name: string, bytes: Buffer, response: ServerResponse): void => {
    const present = s3.objects.get(name);
    const { "if-match": match, "if-none-match": none } = request.headers;
    const generation = request.headers["x-goog-if-generation-match"];
    if (s3.dialect === "gs") {
      if (generation !== undefined && !s3.ignoresConditions && generation !== (present?.generation ?? "0"))
        return void fail(response, 412, "PreconditionFailed");
    } else if (!s3.ignoresConditions) {
      if (match !== undefined && present === undefined) return void fail(response, 404, "NoSuchKey");
      if ((match !== undefined && match !== present?.etag) || (none === "*" && present !== undefined))
        return void fail(response, 412, "PreconditionFailed");
    }
    const source = request.headers["x-amz-copy-source"] ?? request.headers["x-goog-copy-source"];
    if (source !== undefined) {
      const found = s3.objects.get(decodeURIComponent(String(source)).replace(/^\//, ""));
      if (found === undefined) return void fail(response, 404, "NoSuchKey");
      s3.objects.set(name, { ...found, modified: new Date(), generation: String(++generations) });
      response.writeHead(200).end("<CopyObjectResult></CopyObjectResult>");
      return;
    }
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    s3.objects.set(name, { bytes, etag, modified: new Date(), generation: String(++generations) });
    response.writeHead(200, { etag }).end();
  };
  const get = (request: IncomingMessage, name: string, response: ServerResponse): void => {
    const found = s3.objects.get(name);
    if (found === undefined)
      return void (request.method === "HEAD" ? response.writeHead(404).end() : fail(response, 404, "NoSuchKey"));
    const isKnown = request.headers["if-none-match"] === found.etag;
    if (name.endsWith("index.json")) s3.sent.push(isKnown ? 304 : 200);
    if (isKnown) return void response.writeHead(304, { etag: found.etag }).end();
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const body = found.bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": body.length,
      etag: found.etag,
      ...(s3.dialect === "gs" && { "x-goog-generation": found.generation ?? "1" }),
      "last-modified": found.modified.toUTCString(),
      ...(from > 0 && { "content-range": `bytes ${from}-${found.bytes.length - 1}/${found.bytes.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const answer = (request: IncomingMessage, body: Buffer, response: ServerResponse): void => {
    const url = new URL(request.url ?? "/", "http://host");
    s3.requests.push(`${request.method} ${request.url}`);
    if (s3.intervene?.(request, response)) return;
    const wrong = check(request, url, body);
    if (wrong === "AuthorizationHeaderMalformed")
      return void fail(response, 400, wrong, `<Region>${s3.region}</Region>`);
    if (wrong === "AuthenticationRequired") return void fail(response, 401, wrong);
    if (wrong !== undefined) return void fail(response, /Mismatch$|Argument$/.test(wrong) ? 400 : 403, wrong);
    const [, bucket = "", ...rest] = url.pathname.split("/").map((part) => decodeURIComponent(part));
    const key = rest.join("/");
    const name = `${bucket}/${key}`;
    if (!s3.buckets.has(bucket)) return void fail(response, 404, "NoSuchBucket");
    const query = url.searchParams;
    const id = query.get("uploadId") ?? "";
    if (request.method === "GET" && key === "") return void list(url, bucket, response);
    if (request.method === "GET" || request.method === "HEAD") return void get(request, name, response);
    if (request.method === "DELETE") {
      if (id !== "") uploads.delete(id);
      else s3.objects.delete(name);
      response.writeHead(204).end();
    } else if (request.method === "POST" && query.has("uploads")) {
      const made = `upload-${uploads.size}`;
      uploads.set(made, []);
      response
        .writeHead(200)
        .end(`<InitiateMultipartUploadResult><UploadId>${made}</UploadId></InitiateMultipartUploadResult>`);
    } else if (request.method === "POST") {
      put(request, name, Buffer.concat(uploads.get(id) ?? []), {
        writeHead: () => ({
          end: () => response.writeHead(200).end("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"),
        }),
      } as never);
      uploads.delete(id);
    } else if (id !== "") {
      const parts = uploads.get(id) ?? [];
      parts[Number(query.get("partNumber")) - 1] = body;
      response.writeHead(200, { etag: `"part-${query.get("partNumber")}"` }).end();
    } else put(request, name, body, response);
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answer(request, Buffer.concat(chunks), response));
  });
  const s3: TestS3 = {
    ...{ url: "", requests: [], sent: [], objects: new Map(), buckets: new Set(["cache"]), page: 1000 },
    ...{ isPublic: false, ignoresConditions: false, dialect: "s3", region: "us-east-1", intervene: undefined },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return Object.assign(s3, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

// A mirror's files in a bucket of an S3 server.
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse, Transport } from "../../http/types.ts";
import { verifiedDownload } from "../../http/verified-download.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import { printable } from "../../printable/printable.ts";
import type { Expectation, Source } from "../../util/stream.ts";
import type { Clock } from "../../util/time.ts";
import { FolderObjects } from "../folder-objects.ts";
import type {
  ObjectContent,
  ObjectInfo,
  ObjectOptions,
  Objects,
  OpenLatestOptions,
  OpenObject,
  PlacedObject,
  WriteOptions,
  WriteStreamOptions,
} from "../objects.ts";
import { sizeOf, timeOf } from "../size-and-time.ts";
import { wholeBody } from "../whole-body.ts";
import { parts, sendParts } from "./multipart.ts";
import { S3Client, type S3Request } from "./s3-client.ts";
import { parseXml, textAt } from "./s3-errors.ts";
import { type S3Dialect, type S3Place, s3Url, strictlyEncoded } from "./s3-settings.ts";

/** Maximum number of bytes of a page of a listing: 1000 keys of 1024 bytes each, encoded. */
const PAGE_LIMIT = 16 * 1024 * 1024;
/** Maximum number of pages of a listing, of 1000 keys each. */
const MAX_PAGES = 50_000;
/** A key that is used only to see whether the server obeys conditions. */
const MARKER = ".stave-condition-test";

/** How a dialect says that an object may be written only in a certain state. */
interface Conditions {
  /** The header that names the object to copy. */
  readonly copySource: string;
  /** The header of a response that identifies the state of an object. */
  readonly token: string;
  /** A state in which no object is. */
  readonly wrong: string;
  /** The headers for writing only if the object is in a state, or is absent. */
  ifStill(state: string | undefined): Record<string, string>;
}

const CONDITIONS: Readonly<Record<S3Dialect, Conditions>> = {
  s3: {
    copySource: "x-amz-copy-source",
    token: "etag",
    wrong: '"00000000000000000000000000000000"',
    ifStill: (state) => (state === undefined ? { "if-none-match": "*" } : { "if-match": state }),
  },
  gs: {
    copySource: "x-goog-copy-source",
    token: "x-goog-generation",
    wrong: "1",
    ifStill: (state = "0") => ({ "x-goog-if-generation-match": state }),
  },
};

/** How to use a bucket. */
export interface S3ObjectsOptions {
  readonly place: S3Place;
  /** The place as a user would type it. */
  readonly name: string;
  readonly transport: Transport;
  readonly clock: Clock;
  /** A folder for archives whose size is not known before they are packed. */
  readonly scratch: string;
}

/** The files of a mirror in a bucket. */
export class S3Objects implements Objects {
  readonly name: string;
  readonly can = { list: true, write: true };
  readonly #options: S3ObjectsOptions;
  readonly #client: S3Client;
  readonly #conditions: Conditions;
  #obeys: Promise<boolean> | undefined;

  constructor(options: S3ObjectsOptions) {
    const { place, name, transport, clock } = options;
    this.name = name;
    this.#options = options;
    this.#client = new S3Client(place, transport, clock);
    this.#conditions = CONDITIONS[place.dialect];
  }

  #key(key: string): string {
    const { prefix } = this.#options.place;
    return prefix === "" ? key : `${prefix}/${key}`;
  }

  // At servers with tenants, the account decides which bucket of a name is meant.
  identity(key: string): string | undefined {
    const { place, transport } = this.#options;
    const url = s3Url(place, this.#key(key));
    if (!transport.isAuthentic(url)) return undefined;
    const account = place.endpoint === undefined ? undefined : place.credentials?.pair?.id;
    return JSON.stringify([place.dialect, url.href, place.region, account ?? null]);
  }

  /** Sends a request for a file; undefined if it is certainly absent. */
  async #ask(request: Omit<S3Request, "key"> & { readonly key: string }): Promise<HttpResponse | undefined> {
    const expects = ["NoSuchKey", ...(request.method === "HEAD" ? [404] : [])];
    return (await this.#client.send({ ...request, key: this.#key(request.key), expects })).response;
  }

  async read(key: string, limit: number, { signal }: ObjectOptions = {}): Promise<ObjectContent | undefined> {
    const what = `fetch ${key} of ${this.name}`;
    const response = await this.#ask({ method: "GET", key, what, signal });
    if (response === undefined) return undefined;
    const bytes = await this.#client.readBody(response, limit, `${key} of ${this.name}`);
    return { bytes, token: headerOf(response, this.#conditions.token) ?? digestOf(bytes) };
  }

  async look(key: string, { signal }: ObjectOptions = {}): Promise<ObjectInfo | undefined> {
    const response = await this.#ask({ method: "HEAD", key, what: `look for ${key} of ${this.name}`, signal });
    if (response === undefined) return undefined;
    response.body.resume();
    return {
      key,
      size: sizeOf(headerOf(response, "content-length")),
      modified: timeOf(headerOf(response, "last-modified")),
    };
  }

  async open(key: string, expected: Expectation, { signal }: ObjectOptions = {}): Promise<Readable> {
    const { transport } = this.#client;
    const patience = transport.patience();
    return await verifiedDownload({
      ...expected,
      subject: `${key} of ${this.name}`,
      server: this.name,
      patience,
      hooks: transport.retryHooks(this.name, signal),
      signal,
      send: async (headers) => {
        const what = `fetch ${key} of ${this.name}`;
        const more = { traffic: "download", patience } as const;
        const response = await this.#ask({ method: "GET", key, headers, what, more, signal });
        if (response !== undefined) return response;
        throw new StaveError("NOT_FOUND", `${this.name} has no ${printable(key)}`, { subject: key });
      },
    });
  }

  async openLatest(
    key: string,
    limit: number,
    { signal, known }: OpenLatestOptions = {},
  ): Promise<OpenObject | "same" | undefined> {
    const what = `fetch ${key} of ${this.name}`;
    const { response, failure } = await this.#client.send({
      method: "GET",
      key: this.#key(key),
      ...(known !== undefined && { headers: { "if-none-match": known } }),
      what,
      more: { traffic: "download" },
      expects: ["NoSuchKey", 304],
      signal,
    });
    if (failure?.status === 304 && known !== undefined) return "same";
    if (response === undefined) return undefined;
    const stream = wholeBody(response, limit, { op: "fetch", subject: `${key} of ${this.name}` });
    // A redirect may have led to a place that proves nothing.
    const isAuthentic = this.#options.transport.isAuthentic(response.url);
    return { stream, token: isAuthentic ? headerOf(response, "etag") : undefined };
  }

  async *list(prefix: string, { signal }: ObjectOptions = {}): AsyncIterable<ObjectInfo> {
    const root = this.#key("");
    let last = "";
    let token: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const query = {
        "list-type": "2",
        "encoding-type": "url",
        prefix: this.#key(prefix),
        ...(token !== undefined && { "continuation-token": token }),
      };
      const what = `list ${this.name}`;
      const { response } = await this.#client.send({ method: "GET", key: undefined, query, what, signal });
      if (response === undefined) throw new StaveError("INTERNAL", `${this.name} gave no list`);
      const result = parseXml(await this.#client.readBody(response, PAGE_LIMIT, `a page of the list of ${this.name}`))[
        "ListBucketResult"
      ];
      if (result === undefined)
        throw new StaveError("REGISTRY_ERROR", `${this.name} sent something else in place of a list`, {
          subject: this.name,
        });
      const before = last;
      for (const entry of entriesOf(result)) {
        const key = decoded(textAt(entry, "Key") ?? "");
        // Keys come in order, so that a server that repeats itself cannot keep a client forever.
        if (key <= last || !key.startsWith(root)) continue;
        last = key;
        yield {
          key: key.slice(root.length),
          size: sizeOf(textAt(entry, "Size")),
          modified: timeOf(textAt(entry, "LastModified")),
        };
      }
      token = textAt(result, "NextContinuationToken");
      if (textAt(result, "IsTruncated") !== "true") return;
      if (token === undefined || last === before) break;
    }
    throw new StaveError("REGISTRY_ERROR", `the list of ${this.name} does not end`, { subject: this.name });
  }

  async write(key: string, source: Source, digest: Digest, { signal, onBytes }: WriteOptions = {}): Promise<void> {
    const { size } = source;
    const layout = parts(size);
    const what = `store ${key} in ${this.name}`;
    if (layout !== undefined) {
      await sendParts(this.#client, { key: this.#key(key), source, partSize: layout, what, onBytes, signal });
      return;
    }
    let told = 0;
    const open = async (): Promise<Readable> => {
      onBytes?.(-told);
      told = 0;
      const stream = await source.open(0);
      stream.on("data", (chunk: Buffer) => {
        told += chunk.byteLength;
        onBytes?.(chunk.byteLength);
      });
      return stream.pause();
    };
    const more = { traffic: "upload" } as const;
    const body = { size, digest, open };
    const { response } = await this.#client.send({ method: "PUT", key: this.#key(key), body, what, more, signal });
    response?.body.resume();
  }

  // The digest must be known before the first byte is sent.
  async writeStream(
    stream: Readable,
    keyOf: (digest: Digest) => string,
    { signal, onBytes, digest, recycle }: WriteStreamOptions = {},
  ): Promise<{ digest: Digest; size: number }> {
    const folder = await mkdtemp(join(this.#options.scratch, "stave-"));
    try {
      const spool = new FolderObjects(folder, folder, this.#options.clock);
      const made = await spool.writeStream(stream, () => "archive", { signal, digest, recycle });
      const key = keyOf(made.digest);
      if ((await this.look(key, { signal }))?.size === made.size) return made;
      const path = join(folder, "archive");
      const source = { size: made.size, open: (start = 0) => createReadStream(path, { start }) };
      await this.write(key, source, made.digest, { signal, onBytes });
      return made;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  // The server copies; its own checks keep the content, and its size is compared.
  async take(
    { objects, key: from }: PlacedObject,
    key: string,
    { size }: Expectation,
    { signal }: ObjectOptions = {},
  ): Promise<boolean> {
    if (!(objects instanceof S3Objects) || parts(size) !== undefined || !this.#isOneWith(objects)) return false;
    if ((await objects.look(from, { signal }))?.size !== size) return false;
    const { bucket } = objects.#options.place;
    const path = `${bucket}/${objects.#key(from)}`.split("/").map(strictlyEncoded).join("/");
    const what = `copy ${from} of ${objects.name} to ${this.name}`;
    const headers = { [this.#conditions.copySource]: `/${path}` };
    const expects = ["AccessDenied", "NotImplemented", "NoSuchKey", 403, 404, 501];
    const request = { method: "PUT", key: this.#key(key), headers, what, expects, signal } as const;
    const { response } = await this.#client.send(request);
    if (response === undefined) return false;
    // Copying may fail after the status was sent.
    const result = parseXml(await this.#client.readBody(response, PAGE_LIMIT, what));
    return result["CopyObjectResult"] !== undefined && (await this.look(key, { signal }))?.size === size;
  }

  #isOneWith(other: S3Objects): boolean {
    const [mine, its] = [this.#options.place, other.#options.place];
    return (
      mine.dialect === its.dialect &&
      mine.endpoint?.href === its.endpoint?.href &&
      mine.region === its.region &&
      mine.credentials?.pair?.id === its.credentials?.pair?.id
    );
  }

  async replace(
    key: string,
    bytes: Uint8Array,
    read: string | undefined,
    { signal }: ObjectOptions = {},
  ): Promise<boolean> {
    this.#obeys ??= this.#obeysConditions(signal);
    const obeys = await this.#obeys;
    const what = `replace ${key} in ${this.name}`;
    const headers = obeys ? this.#conditions.ifStill(read) : {};
    const { response, failure } = await this.#client.send({
      method: "PUT",
      key: this.#key(key),
      body: bytes,
      headers,
      what,
      expects: obeys ? ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", 412, 409, 404] : [],
      signal,
    });
    response?.body.resume();
    if (failure === undefined) return obeys;
    throw new StaveError("CONFLICT", `${key} of ${this.name} was changed by another client`, {
      subject: key,
      status: failure.status,
      hint: "run the same command again",
    });
  }

  // Some servers ignore conditions, which only an attempt that must fail can show.
  async #obeysConditions(signal: AbortSignal | undefined): Promise<boolean> {
    const { response, failure } = await this.#client.send({
      method: "PUT",
      key: this.#key(MARKER),
      body: Buffer.from("x"),
      headers: this.#conditions.ifStill(this.#conditions.wrong),
      what: `try a condition in ${this.name}`,
      expects: ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NotImplemented", 412, 409, 404, 501],
      signal,
    });
    if (failure !== undefined) return failure.status !== 501;
    response.body.resume();
    await this.remove(MARKER, { signal });
    return false;
  }

  // The age of a key cannot be changed without copying it.
  touch(): Promise<void> {
    return Promise.resolve();
  }

  async remove(key: string, { signal }: ObjectOptions = {}): Promise<boolean> {
    const response = await this.#ask({ method: "DELETE", key, what: `remove ${key} of ${this.name}`, signal });
    response?.body.resume();
    return response !== undefined;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function entriesOf(result: unknown): unknown[] {
  if (typeof result !== "object" || result === null || !("Contents" in result)) return [];
  const { Contents } = result;
  return Array.isArray(Contents) ? Contents : [Contents];
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    return "";
  }
}

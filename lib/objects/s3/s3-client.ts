// Requests to an S3 server over the common transport. A library makes the signatures; the whole body is signed by its
// known digest, so that the server refuses damaged content.
import type { Readable } from "node:stream";
import { AwsV4Signer } from "aws4fetch";
import { StaveError } from "../../errors.ts";
import { headerOf, saysHtml, webPageError } from "../../http/response.ts";
import type { HttpRequest, HttpResponse, Transport } from "../../http/types.ts";
import { type Digest, digestOf, hexOf } from "../../oci/digest.ts";
import { readAll } from "../../util/stream.ts";
import type { Clock } from "../../util/time.ts";
import { type Goog4Request, goog4Headers } from "./goog4.ts";
import { failureOf, type S3Failure, s3Error } from "./s3-errors.ts";
import { type S3Place, s3Url } from "./s3-settings.ts";

/** One request. */
export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The whole key; undefined for the bucket itself. */
  readonly key: string | undefined;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly size: number; readonly digest: Digest; open(): Readable | Promise<Readable> } | Uint8Array;
  /** For messages: what the request does. */
  readonly what: string;
  /** Statuses and error codes that the caller handles. */
  readonly expects?: readonly (number | string)[];
  readonly more?: Pick<HttpRequest, "patience" | "traffic" | "isDocument">;
  readonly signal: AbortSignal | undefined;
}

/** The answer to a request: a response, or the error that the caller handles. */
export type S3Answer =
  | { readonly response: HttpResponse; readonly failure?: undefined }
  | { readonly response?: undefined; readonly failure: S3Failure };

/** Maximum number of bytes of an error. */
const ERROR_LIMIT = 64 * 1024;
const EMPTY = digestOf("");
/** Statuses that come with an explanation; the transport retries all others, or makes errors of them. */
const EXPLAINED = [301, 304, 307, 400, 401, 403, 404, 409, 411, 412, 416, 501];

/** Sends signed requests for one place. */
export class S3Client {
  readonly transport: Transport;
  readonly #clock: Clock;
  /** With the region that the server named. */
  #place: S3Place;

  constructor(place: S3Place, transport: Transport, clock: Clock) {
    this.#place = place;
    this.transport = transport;
    this.#clock = clock;
  }

  /** Sends a request; in another region once more. Throws s3Error for what the caller does not expect. */
  async send(request: S3Request): Promise<S3Answer> {
    // Another request may learn the region meanwhile.
    const { region } = this.#place;
    const first = await this.#once(request);
    const named = first.failure?.region;
    if (named === undefined || named === region) return this.#expected(first, request);
    this.#place = { ...this.#place, region: named };
    return this.#expected(await this.#once(request), request);
  }

  #expected(answer: S3Answer, { expects = [], what }: S3Request): S3Answer {
    const { failure } = answer;
    if (failure === undefined) return answer;
    if (expects.includes(failure.code) || (failure.code === "" && expects.includes(failure.status))) return answer;
    throw s3Error(failure, what, s3Url(this.#place, undefined).host);
  }

  async #once(request: S3Request): Promise<S3Answer> {
    const { method, key, query = {}, body, what, more, signal } = request;
    const url = s3Url(this.#place, key);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    // A plus sign would be read as a space by some servers and as itself by others.
    url.search = url.search.replaceAll("+", "%20");
    const length = body instanceof Uint8Array ? body.byteLength : body?.size;
    const digest = body instanceof Uint8Array ? digestOf(body) : (body?.digest ?? EMPTY);
    const headers: Record<string, string> = {
      ...(await this.#signed({ method, url, digest, headers: request.headers ?? {} })),
      ...request.headers,
      ...(length !== undefined && { "content-length": String(length) }),
    };
    const response = await this.transport.request({
      method,
      url,
      headers,
      ...this.#authOf(url),
      ...(body !== undefined && { body: body instanceof Uint8Array ? body : () => body.open() }),
      accept: [200, 204, 206, ...EXPLAINED],
      op: what,
      subject: `in ${url.host}`,
      signal,
      ...more,
    });
    if (response.status < 300) {
      if (!isPage(method, response)) return { response };
      response.body.destroy();
      throw webPageError({ op: what, subject: `in ${url.host}` }, response.url);
    }
    const text =
      method === "HEAD" ? Buffer.alloc(0) : await readAll(response.body, ERROR_LIMIT, "the error").catch(tooLong);
    response.body.destroy();
    return { failure: failureOf(response.status, text, headerOf(response, "x-amz-bucket-region")) };
  }

  // The signature covers the content by its digest, and the time.
  async #signed(request: Omit<Goog4Request, "time">): Promise<Record<string, string>> {
    const { credentials, region, dialect } = this.#place;
    const { method, url, digest } = request;
    const pair = credentials?.pair;
    const time = new Date(this.#clock.now()).toISOString().replace(/[:-]|\.\d{3}/g, "");
    if (dialect === "gs") {
      return pair ? goog4Headers({ ...request, time }, { id: pair.id, secret: pair.secret.reveal() }) : {};
    }
    const hash = { "x-amz-content-sha256": hexOf(digest) };
    if (pair === undefined) return hash;
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      // Amazon wants its own headers to be signed, too.
      headers: { ...hash, ...request.headers },
      accessKeyId: pair.id,
      secretAccessKey: pair.secret.reveal(),
      ...(credentials?.token && { sessionToken: credentials.token.reveal() }),
      service: "s3",
      region,
      datetime: time,
    });
    const signed = await signer.sign();
    return Object.fromEntries([...signed.headers].filter(([name]) => name !== "host"));
  }

  // Unlike a signature, a token is a secret: it goes neither to another server nor over plain http.
  #authOf(url: URL): Pick<HttpRequest, "auth"> {
    const { dialect, credentials } = this.#place;
    const token = credentials?.token;
    if (dialect !== "gs" || credentials?.pair !== undefined || token === undefined) return {};
    if (!this.transport.maySendSecrets(url))
      throw new StaveError("DENIED", `the access token for ${url.host} would be sent over plain http`, {
        subject: url.host,
        hint: "use `plainHttp` if you trust the network",
      });
    const rejected = new StaveError(
      "CREDENTIALS_REJECTED",
      `${url.host} did not accept the token of ${credentials?.from}`,
      {
        subject: url.host,
        status: 401,
        hint: "get a new access token: it may have expired",
      },
    );
    const authorizer = {
      authorize: () => Promise.resolve(`Bearer ${token.reveal()}`),
      challenged: () => Promise.reject(rejected),
    };
    return { auth: { authorizer, registry: url.host, scopes: [] } };
  }

  /** Reads the whole body of a response. */
  async readBody({ body }: HttpResponse, limit: number, what: string): Promise<Buffer> {
    return await readAll(body, limit, what);
  }
}

// A server that answers everything with a page is no S3 server. Some name HTML for answers without content.
function isPage(method: S3Request["method"], response: HttpResponse): boolean {
  if (!saysHtml(response) || method === "DELETE" || headerOf(response, "content-length") === "0") return false;
  return method === "GET" || headerOf(response, "etag") === undefined;
}

function tooLong(error: unknown): Buffer {
  if (error instanceof StaveError) return Buffer.alloc(0);
  throw error;
}

// A mirror's files on a web server: they can only be read. The server may want a user and password, or a token.
import type { Readable } from "node:stream";
import { isStaveError, StaveError } from "../errors.ts";
import { headerOf, saysHtml, webPageError } from "../http/response.ts";
import type { Authorizer, HttpRequest, HttpResponse, Transport } from "../http/types.ts";
import { verifiedDownload } from "../http/verified-download.ts";
import { digestOf } from "../oci/digest.ts";
import type { Secret } from "../printable/secret.ts";
import type { Expectation } from "../util/stream.ts";
import type {
  ObjectContent,
  ObjectInfo,
  ObjectOptions,
  OpenLatestOptions,
  OpenObject,
  ReadObjects,
} from "./objects.ts";
import { sizeOf, timeOf } from "./size-and-time.ts";
import { wholeBody } from "./whole-body.ts";

/** How to log in to a web server. */
export interface WebLogin {
  readonly header: Secret;
  /** For messages. */
  readonly from: string;
}

/** Where a mirror is on the web. */
export interface WebObjectsOptions {
  /** The URL of the mirror, without user info and query. */
  readonly url: URL;
  /** The query of every request. */
  readonly query?: Secret | undefined;
  readonly transport: Transport;
  readonly login: WebLogin | undefined;
}

/** The files of a mirror on a web server. */
export class WebObjects implements ReadObjects {
  readonly name: string;
  readonly can = { list: false, write: false };
  readonly #base: string;
  readonly #options: WebObjectsOptions;
  readonly #authorizer: Authorizer;

  constructor(options: WebObjectsOptions) {
    this.#options = options;
    this.name = options.url.href.replace(/\/+$/, "");
    this.#base = `${this.name}/`;
    this.#authorizer = loginOf(options);
  }

  #address(key: string): URL {
    return new URL(this.#base + key.split("/").map(encodeURIComponent).join("/"));
  }

  #url(key: string): URL {
    const { query, transport } = this.#options;
    const url = this.#address(key);
    if (query === undefined) return url;
    if (!transport.maySendSecrets(url))
      throw new StaveError("DENIED", `the query of the URL of ${this.name} would be sent over plain http`, {
        subject: this.name,
        hint: "use `plainHttp` if you trust the network",
      });
    url.search = query.reveal();
    return url;
  }

  identity(key: string): string | undefined {
    const url = this.#address(key);
    if (!this.#options.transport.isAuthentic(url)) return undefined;
    // Another query may name other content; it is a secret, so its digest is used.
    const { query } = this.#options;
    return query === undefined ? url.href : `${url.href} ${digestOf(query.reveal())}`;
  }

  #request(
    method: "GET" | "HEAD",
    key: string,
    more: Pick<HttpRequest, "op" | "accept" | "signal"> & Partial<HttpRequest>,
  ): HttpRequest {
    const url = this.#url(key);
    const auth = { authorizer: this.#authorizer, registry: url.host, scopes: [] };
    return { method, url, auth, subject: `${key} of ${this.name}`, ...more };
  }

  async read(key: string, limit: number, { signal }: ObjectOptions = {}): Promise<ObjectContent | undefined> {
    const request = this.#request("GET", key, { op: "fetch", accept: ABSENT, signal });
    const { status, bytes } = await this.#explained(this.#options.transport.requestBytes(request, limit));
    return status === 200 ? { bytes, token: digestOf(bytes) } : undefined;
  }

  async look(key: string, { signal }: ObjectOptions = {}): Promise<ObjectInfo | undefined> {
    const request = this.#request("HEAD", key, { op: "look for", accept: ABSENT, signal });
    const response = await this.#explained(this.#options.transport.requestBytes(request, 0));
    if (response.status !== 200) return undefined;
    if (saysHtml(response)) throw webPageError({ op: "look for", subject: `${key} of ${this.name}` }, response.url);
    return {
      key,
      size: sizeOf(headerOf(response, "content-length")),
      modified: timeOf(headerOf(response, "last-modified")),
    };
  }

  async open(key: string, expected: Expectation, { signal }: ObjectOptions = {}): Promise<Readable> {
    const { transport, url } = this.#options;
    const patience = transport.patience();
    return await verifiedDownload({
      ...expected,
      subject: `${key} of ${this.name}`,
      server: this.name,
      patience,
      hooks: transport.retryHooks(url.host, signal),
      signal,
      send: (headers) =>
        this.#explained(
          transport.request(
            this.#request("GET", key, {
              headers,
              op: "fetch",
              accept: headers["range"] === undefined ? [200] : [200, 206],
              traffic: "download",
              patience,
              signal,
            }),
          ),
        ),
    });
  }

  async openLatest(
    key: string,
    limit: number,
    { signal, known }: OpenLatestOptions = {},
  ): Promise<OpenObject | "same" | undefined> {
    const request = this.#request("GET", key, {
      headers: known === undefined ? {} : conditionOf(known),
      op: "fetch",
      accept: known === undefined ? ABSENT : [...ABSENT, 304],
      traffic: "download",
      signal,
    });
    const response = await this.#explained(this.#options.transport.request(request));
    if (response.status === 200 && !saysHtml(response))
      return { stream: wholeBody(response, limit, request), token: this.#tokenOf(response) };
    response.body.destroy();
    if (response.status === 200) throw webPageError(request, response.url);
    return response.status === 304 ? "same" : undefined;
  }

  // Over plain http no login is sent, and the transport only reports the refusal: this adds the reason.
  async #explained<T>(sent: Promise<T>): Promise<T> {
    const { url, login, transport } = this.#options;
    try {
      return await sent;
    } catch (error) {
      if (!isStaveError(error) || error.status === undefined || transport.maySendSecrets(url)) throw error;
      if (error.status === 401 && login === undefined) throw wantsLogin(url);
      if (login === undefined || ![401, 403].includes(error.status)) throw error;
      throw error.with({
        code: "DENIED",
        message: `${url.host} refused access (${error.status}), and the login of ${login.from} is not sent over plain http`,
        hint: "use `plainHttp` if you trust the network",
      });
    }
  }

  // A redirect may have led to a place that proves nothing.
  #tokenOf(response: HttpResponse): string | undefined {
    return this.#options.transport.isAuthentic(response.url) ? tokenOf(response) : undefined;
  }

  readonly asRegistry = async ({ signal }: ObjectOptions = {}): Promise<string | undefined> => {
    const { transport, url } = this.#options;
    try {
      // Without the login of the mirror: a refusal, too, says what the server is.
      const { headers } = await transport.requestBytes(
        {
          method: "GET",
          url: new URL("/v2/", url),
          ...{ accept: [200, 401], op: "look for", subject: `a registry at ${url.host}`, signal },
        },
        REGISTRY_LIMIT,
      );
      if (!String(headers["docker-distribution-api-version"] ?? "").startsWith("registry/2")) return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      if (isStaveError(error)) return undefined;
      throw error;
    }
    const path = this.name.slice(url.origin.length).replace(/^\//, "");
    return `${url.protocol === "https:" ? "oci" : "oci+http"}://${url.host}/${path || "NAME"}`;
  };

  async *list(_prefix: string, options: ObjectOptions = {}): AsyncIterable<ObjectInfo> {
    const registry = await this.asRegistry(options);
    yield* await Promise.reject<never[]>(
      new StaveError("UNSUPPORTED", `${this.name} cannot be listed: a web server lists nothing`, {
        subject: this.name,
        hint:
          registry === undefined
            ? "use its index, or name specs by a spec file or a lock file"
            : `this is a registry: name it ${registry}`,
      }),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

// A token is the name of a header and its value, to be sent back as the condition of a request.
const CONDITIONS: Readonly<Record<string, string>> = { etag: "if-none-match", "last-modified": "if-modified-since" };

function tokenOf(response: HttpResponse): string | undefined {
  const name = Object.keys(CONDITIONS).find((each) => headerOf(response, each) !== undefined);
  return name && `${name} ${headerOf(response, name)}`;
}

function conditionOf(token: string): Record<string, string> {
  const end = token.indexOf(" ");
  const name = CONDITIONS[token.slice(0, end)];
  return name === undefined ? {} : { [name]: token.slice(end + 1) };
}

/** Maximum number of bytes of the answer of a registry about itself. */
const REGISTRY_LIMIT = 64 * 1024;
// Only these say that something is absent: a refusal is an error.
const ABSENT = [200, 404, 410];

// The login is sent with every request; a server that refuses it gets no second attempt.
function loginOf({ login, url }: WebObjectsOptions): Authorizer {
  return {
    authorize: () => Promise.resolve(login?.header.reveal()),
    challenged: () =>
      Promise.reject(
        login === undefined
          ? wantsLogin(url)
          : new StaveError("CREDENTIALS_REJECTED", `${url.host} did not accept the login of ${login.from}`, {
              subject: url.host,
              status: 401,
            }),
      ),
  };
}

function wantsLogin({ host }: URL): StaveError {
  return new StaveError("CREDENTIALS_MISSING", `${host} wants a login, and none was found`, {
    subject: host,
    status: 401,
    hint: "set access_pair or access_token_variable of the mirror, or add the host to ~/.netrc",
  });
}

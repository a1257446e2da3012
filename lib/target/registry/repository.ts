// One repository of one registry: its URLs and the common parts of its requests.
import { StaveError } from "../../errors.ts";
import { AheadBudget } from "../../http/ranges-ahead.ts";
import type { RetryHooks } from "../../http/retry.ts";
import type { Authorizer, HttpRequest, HttpResponse, Scope, Transport } from "../../http/types.ts";
import { isRepository } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { Clock } from "../../util/time.ts";
import { Chunker } from "./chunks.ts";

/** How to reach a repository. */
export interface RepositoryOptions {
  transport: Transport;
  authorizer: Authorizer;
  clock: Clock;
  /** The registry as the user wrote it: `ghcr.io`, `localhost:5000`. */
  registry: string;
  repository: string;
  /** The scheme the user gave; undefined lets the transport decide. */
  scheme?: "https" | "http" | undefined;
}

/** The specific parts of one request. */
export interface RepositoryRequest extends Omit<HttpRequest, "url" | "auth" | "subject"> {
  /** A path below `/v2/REPOSITORY/`, or a URL that the registry gave. */
  url: string | URL;
  access: Access;
  /** Other repositories that the request reads (mounts). */
  alsoPull?: readonly string[];
  /** The rights that it needs; default: those of `access`. */
  scopes?: readonly Scope[];
  /** The content, for messages; the repository is appended. */
  subject: string;
}

/** What a request does to the repository. */
export type Access = "pull" | "push" | "delete";

const ACTIONS: Record<Access, Scope["actions"]> = {
  pull: ["pull"],
  push: ["pull", "push"],
  delete: ["pull", "push", "delete"],
};

// The host that serves Docker Hub differs from its name.
const SERVED_BY: Record<string, string> = {
  "docker.io": "registry-1.docker.io",
  "index.docker.io": "registry-1.docker.io",
};

/** Sends the requests of a repository. */
export class Repository {
  /** The name as a user could type it. */
  readonly name: string;
  readonly host: string;
  readonly options: RepositoryOptions;
  readonly chunker: Chunker = new Chunker();
  readonly ahead: AheadBudget = new AheadBudget();
  #base: Promise<URL> | undefined;

  /** Throws REFERENCE_INVALID for a name that would lead elsewhere in a URL. */
  constructor(options: RepositoryOptions) {
    if (!isRepository(options.repository))
      throw new StaveError(
        "REFERENCE_INVALID",
        `invalid repository "${printable(options.repository, { most: 160 })}"`,
        {
          hint: "for example org/cache",
        },
      );
    this.options = options;
    const scheme = options.scheme === "http" ? "oci+http://" : "";
    this.name = `${scheme}${options.registry}/${options.repository}`;
    this.host = SERVED_BY[options.registry] ?? options.registry;
  }

  /** `scheme://host/v2/REPOSITORY/`. */
  async base(signal?: AbortSignal): Promise<URL> {
    this.#base ??= this.#makeBase(signal);
    try {
      return await this.#base;
    } catch (error) {
      this.#base = undefined;
      throw error;
    }
  }

  async #makeBase(signal: AbortSignal | undefined): Promise<URL> {
    const { scheme, transport, repository } = this.options;
    const chosen = scheme ?? (await transport.schemeFor(this.host, signal));
    return new URL(`${chosen}://${this.host}/v2/${repository}/`);
  }

  /** The hooks for a retry loop around several requests to this repository. */
  retryHooks(signal: AbortSignal | undefined): RetryHooks {
    return this.options.transport.retryHooks(this.host, signal);
  }

  /** Sends a request whose response body is streamed. */
  async stream(request: RepositoryRequest): Promise<HttpResponse> {
    return await this.options.transport.request(await this.#complete(request));
  }

  /** Sends a request and reads its response, of at most `limit` bytes. */
  async send(request: RepositoryRequest, limit: number = 64 * 1024): Promise<HttpResponse & { bytes: Buffer }> {
    return await this.options.transport.requestBytes(await this.#complete(request), limit);
  }

  async #complete(request: RepositoryRequest): Promise<HttpRequest> {
    const { url, access, alsoPull = [], scopes: named, subject, ...rest } = request;
    const base = await this.base(request.signal);
    const { authorizer, registry, repository } = this.options;
    const scopes = named ?? [
      { repository, actions: ACTIONS[access] },
      ...alsoPull.map((other) => ({ repository: other, actions: ACTIONS.pull })),
    ];
    const full = typeof url === "string" ? new URL(url, base) : url;
    const complete = { ...rest, url: full, subject: `${subject} ${access === "pull" ? "from" : "to"} ${this.name}` };
    // Credentials belong to the registry's own origin; a URL that it gave may lead elsewhere.
    return full.origin === base.origin ? { ...complete, auth: { authorizer, registry, scopes } } : complete;
  }

  /**
   * The URL in a header that the registry sent, relative to the response's URL. A registry behind a TLS proxy often
   * gives its own address as plain http; it then means the address that was used. Throws REGISTRY_ERROR if it is absent
   * or must not be followed.
   */
  async followed(location: string | undefined, from: URL, op: string): Promise<URL> {
    const url = location === undefined ? null : URL.parse(location, from.href);
    if (url === null || !/^https?:$/.test(url.protocol))
      throw new StaveError("REGISTRY_ERROR", `cannot ${op} at ${this.name}: the registry sent no usable Location`, {
        op,
        subject: this.name,
      });
    const base = await this.base();
    if (base.protocol === "https:" && url.protocol === "http:") {
      if (url.hostname !== base.hostname)
        throw new StaveError(
          "REGISTRY_ERROR",
          `cannot ${op} at ${this.name}: the registry redirects from https to plain http`,
          {
            op,
            subject: this.name,
          },
        );
      return new URL(`${base.origin}${url.pathname}${url.search}`);
    }
    return url;
  }
}

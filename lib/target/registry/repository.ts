// One repository of one registry: its URLs and what its requests have in common.
import { StaveError } from "../../errors.ts";
import type { RetryHooks } from "../../http/retry.ts";
import type { Authorizer, HttpRequest, HttpResponse, Scope, Transport } from "../../http/types.ts";
import { isRepository } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { Clock } from "../../util/time.ts";
import { Chunker } from "./chunks.ts";

/** What a repository is reached with. */
export interface RepositoryOptions {
  transport: Transport;
  authorizer: Authorizer;
  clock: Clock;
  /** The registry as the user wrote it: `ghcr.io`, `localhost:5000`. */
  registry: string;
  repository: string;
  /** The scheme the user named; undefined lets the transport decide. */
  scheme?: "https" | "http" | undefined;
}

/** What one request says beside what all have in common. */
export interface RepositoryRequest extends Omit<HttpRequest, "url" | "auth" | "subject"> {
  /** A path below `/v2/REPOSITORY/`, or a URL the registry gave. */
  url: string | URL;
  access: Access;
  /** Other repositories that are read in the same request (mounts). */
  alsoPull?: readonly string[];
  /** The thing, for messages; the repository is added. */
  subject: string;
}

/** What a request does to the repository. */
export type Access = "pull" | "push" | "delete";

const ACTIONS: Record<Access, Scope["actions"]> = {
  pull: ["pull"],
  push: ["pull", "push"],
  delete: ["pull", "push", "delete"],
};

// Docker Hub is named one thing and served by another.
const SERVED_BY: Record<string, string> = {
  "docker.io": "registry-1.docker.io",
  "index.docker.io": "registry-1.docker.io",
};

/** Sends the requests of a repository. */
export class Repository {
  /** As a user could type it. */
  readonly name: string;
  readonly host: string;
  readonly options: RepositoryOptions;
  readonly chunker: Chunker = new Chunker();
  #base: Promise<URL> | undefined;

  /** Throws REFERENCE_INVALID for a repository that would be another place in a URL. */
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

  /** What a retry loop around several requests of this repository goes by. */
  retryHooks(signal: AbortSignal | undefined): RetryHooks {
    return this.options.transport.retryHooks(this.host, signal);
  }

  /** Sends a request whose body is to be streamed. */
  async stream(request: RepositoryRequest): Promise<HttpResponse> {
    return await this.options.transport.request(await this.#complete(request));
  }

  /** Sends a request and reads its answer, of at most `limit` bytes. */
  async send(request: RepositoryRequest, limit: number = 64 * 1024): Promise<HttpResponse & { bytes: Buffer }> {
    return await this.options.transport.requestBytes(await this.#complete(request), limit);
  }

  async #complete(request: RepositoryRequest): Promise<HttpRequest> {
    const { url, access, alsoPull = [], subject, ...rest } = request;
    const base = await this.base(request.signal);
    const { authorizer, registry, repository } = this.options;
    const scopes: Scope[] = [
      { repository, actions: ACTIONS[access] },
      ...alsoPull.map((other) => ({ repository: other, actions: ACTIONS.pull })),
    ];
    const full = typeof url === "string" ? new URL(url, base) : url;
    const complete = { ...rest, url: full, subject: `${subject} ${access === "pull" ? "from" : "to"} ${this.name}` };
    // Credentials belong to the registry's own origin; a URL it gave may lead elsewhere.
    return full.origin === base.origin ? { ...complete, auth: { authorizer, registry, scopes } } : complete;
  }

  /**
   * The URL in a header the registry sent, relative to where the answer came from. Registries behind a TLS proxy often
   * give their own address as plain http; it is then meant to be the one that was asked.
   * Throws REGISTRY_ERROR when there is none, or none that may be followed.
   */
  async followed(location: string | undefined, from: URL, op: string): Promise<URL> {
    const url = location !== undefined && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol))
      throw new StaveError(
        "REGISTRY_ERROR",
        `cannot ${op} at ${this.name}: the registry answered without a usable Location`,
        {
          op,
          subject: this.name,
        },
      );
    const base = await this.base();
    if (base.protocol === "https:" && url.protocol === "http:") {
      if (url.hostname !== base.hostname)
        throw new StaveError(
          "REGISTRY_ERROR",
          `cannot ${op} at ${this.name}: the registry leads from https to plain http`,
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

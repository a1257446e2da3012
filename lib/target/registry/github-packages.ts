// Deletes images through the packages API of GitHub, whose registry answers every deletion with 405 (seen 2026-02). A
// version of a package is a manifest with all its tags.
import * as z from "zod";
import type { FoundCredential } from "../../auth/credential.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Authorizer, HttpRequest, Transport } from "../../http/types.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { printable } from "../../printable/printable.ts";
import type { ManifestDeleter, OperationOptions } from "../target.ts";

/** How to reach the packages of a repository. */
export interface GithubPackagesOptions {
  readonly transport: Transport;
  /** The address of the API, without a slash at its end. */
  readonly api: string;
  readonly registry: string;
  /** `OWNER/NAME`. */
  readonly repository: string;
  /** Finds the credential for the registry, whose password is the token of the API. */
  readonly credential: (signal: AbortSignal | undefined) => Promise<FoundCredential | undefined>;
}

const versionsSchema = z.array(z.looseObject({ id: z.number().int().positive(), name: z.string().max(300) })).max(100);
const messageSchema = z.looseObject({ message: z.string() });

/** The versions that GitHub lists at once. */
const PAGE_SIZE = 100;
/** More pages than a package has: a million versions. */
const MAX_PAGES = 10_000;
/** Bytes of one page, of about one kilobyte per version. */
const PAGE_LIMIT = 4 * 1024 * 1024;
/** Bytes of an answer that says why something was not deleted. */
const ANSWER_LIMIT = 64 * 1024;

/** Answers that say no, with a reason. */
const REFUSALS = [400, 404, 422];

/** The packages of a repository. */
export class GithubPackages implements ManifestDeleter {
  readonly name: string;
  readonly #options: GithubPackagesOptions;
  /** The address of the package, once it is known whether a person or an organisation owns it. */
  #package: string | undefined;
  #authorizer: Authorizer | undefined;
  #versions = new Map<Digest, number>();

  constructor(options: GithubPackagesOptions) {
    this.#options = options;
    this.name = `the packages API of ${new URL(options.api).host}`;
  }

  async open(options: OperationOptions = {}): Promise<void> {
    const [owner = "", ...rest] = this.#options.repository.split("/");
    const name = encodeURIComponent(rest.join("/"));
    for (const kind of ["orgs", "users"]) {
      const found = `${this.#options.api}/${kind}/${owner}/packages/container/${name}`;
      const versions = await this.#list(found, options);
      if (versions === undefined) continue;
      this.#package = found;
      this.#versions = versions;
      return;
    }
    throw this.#denied(`${this.name} shows no package ${this.#options.repository} to this token`);
  }

  async deleteManifest(digest: Digest, { signal }: OperationOptions = {}): Promise<void> {
    const id = this.#versions.get(digest);
    const gone = new StaveError("NOT_FOUND", `${this.name} has no version ${digest}`, { subject: digest });
    if (id === undefined) throw gone;
    const { status, bytes } = await this.#send(
      {
        method: "DELETE",
        path: `${this.#package}/versions/${id}`,
        accept: [204, ...REFUSALS],
        subject: digest,
        signal,
      },
      ANSWER_LIMIT,
    );
    if (status !== 204) {
      const said = messageOf(bytes);
      // A version that is gone, or that the token may not delete.
      if (status === 404 && !/delete/i.test(said)) {
        if ((await this.#list(this.#package ?? "", { signal }))?.has(digest) !== true) throw gone;
        throw this.#denied(`${this.name} does not let this token delete ${digest}`);
      }
      throw new StaveError("DENIED", `${this.name} does not delete ${digest}: ${printable(said, { most: 300 })}`, {
        subject: digest,
        status,
        hint: "delete the package on its page on GitHub",
      });
    }
    this.#versions.delete(digest);
  }

  // All versions by digest; undefined if there is no such package, or none that the token may see.
  async #list(at: string, { signal }: OperationOptions): Promise<Map<Digest, number> | undefined> {
    const versions = new Map<Digest, number>();
    for (let page = 1; page <= MAX_PAGES; page++) {
      const path = `${at}/versions?per_page=${PAGE_SIZE}&page=${page}`;
      const request = { method: "GET", path, accept: [200, 404], subject: this.#options.repository, signal } as const;
      const { status, bytes } = await this.#send(request, PAGE_LIMIT);
      if (status === 404) return undefined;
      const listed = parseBySchema(bytes, versionsSchema, `the versions of ${this.#options.repository}`);
      for (const { id, name } of listed) if (isDigest(name)) versions.set(name, id);
      if (listed.length < PAGE_SIZE) return versions;
    }
    throw new StaveError("TOO_LARGE", `${this.name} lists more than ${MAX_PAGES} pages of versions`);
  }

  async #send(
    request: Pick<HttpRequest, "method" | "accept" | "subject" | "signal"> & { readonly path: string },
    limit: number,
  ): Promise<{ readonly status: number; readonly bytes: Buffer }> {
    const { path, signal, ...rest } = request;
    const { transport, registry } = this.#options;
    const url = new URL(path);
    if (!transport.maySendSecrets(url))
      throw new StaveError("USAGE", `a token is not sent to ${url.origin} without TLS`, { hint: "use https" });
    this.#authorizer ??= await this.#authorize(signal);
    try {
      return await transport.requestBytes(
        {
          ...rest,
          url,
          headers: { accept: "application/vnd.github+json", "x-github-api-version": "2022-11-28" },
          auth: { authorizer: this.#authorizer, registry, scopes: [] },
          op: request.method === "GET" ? "list the versions of" : "delete",
          signal,
        },
        limit,
      );
    } catch (error) {
      if (isStaveError(error, "DENIED")) throw this.#denied(error.message, error);
      throw error;
    }
  }

  async #authorize(signal: AbortSignal | undefined): Promise<Authorizer> {
    const { registry } = this.#options;
    const found = await this.#options.credential(signal);
    const token = found?.credential.kind === "password" ? found.credential.password : undefined;
    if (found === undefined || token === undefined)
      throw new StaveError("CREDENTIALS_MISSING", `${this.name} needs the token with which you log in to ${registry}`, {
        subject: registry,
        hint: `stave login ${registry}`,
      });
    return {
      authorize: () => Promise.resolve(`Bearer ${token.reveal()}`),
      challenged: () =>
        Promise.reject(
          new StaveError("CREDENTIALS_REJECTED", `${this.name} did not accept the token from ${found.from}`, {
            subject: registry,
            hint: `log in with a classic token that has the scopes read:packages and delete:packages: stave login ${registry}`,
          }),
        ),
    };
  }

  #denied(message: string, cause?: unknown): StaveError {
    const { registry, repository } = this.#options;
    return new StaveError("DENIED", message, {
      subject: repository,
      hint: `log in with a classic token that has the scopes read:packages and delete:packages: stave login ${registry}; in a workflow, the job needs the permission packages: write, and the package must give the repository the role admin`,
      cause,
    });
  }
}

function messageOf(bytes: Buffer): string {
  try {
    return parseBySchema(bytes, messageSchema, "the answer").message;
  } catch (error) {
    if (!isStaveError(error)) throw error;
    return "it does not say why";
  }
}

// Uploads in progress: monolithic, streamed and chunked (OCI distribution 1.1, "Pushing blobs").

import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isStaveError } from "../errors.ts";
import { algorithmOf, type Digest, type DigestAlgorithm, isDigest } from "../oci/digest.ts";
import type { BlobWriter } from "../target/layout/layout-blobs.ts";
import { closeAll } from "../util/close-all.ts";
import type { Clock } from "../util/time.ts";
import { answer } from "./answer.ts";
import { bodyOf } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { Refusal } from "./refusal.ts";

interface Upload {
  id: string;
  repository: string;
  /** The user that opened it, otherwise the address. */
  client: string;
  writer: BlobWriter;
  /** When it was last used, in milliseconds. */
  touched: number;
  isBusy: boolean;
  /** It was cancelled while a request was writing to it. */
  isGone: boolean;
}

/** An upload that was not used for this long is cancelled, in milliseconds. */
const EXPIRES_AFTER = 3600 * 1000;
/** Maximum number of open uploads, in total and per client. */
const MAX_UPLOADS = 1000;
const MAX_UPLOADS_OF_CLIENT = 200;

/** How to receive uploads. */
export interface UploadsOptions {
  readonly clock: Clock;
  /** Clients are asked for chunks of at least this many bytes. */
  readonly minChunk: number;
  /** How long a client may send nothing, in milliseconds. */
  readonly patience: number;
}

/** The parts of a request that uploads need. */
export type UploadExchange = Pick<Exchange, "name" | "layout" | "client" | "request" | "response" | "query">;

/** The uploads of a server. */
export class Uploads {
  readonly #options: UploadsOptions;
  readonly #byId = new Map<string, Upload>();
  /** The number of open uploads per client, including ones being opened. */
  readonly #open = new Map<string, number>();
  #total = 0;

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Starts an upload and responds with its address; with `digest`, the body is the whole blob. */
  async open({ name, layout, client, request, response, query }: UploadExchange): Promise<void> {
    await this.#expire();
    const digest = query.get("digest");
    const algorithm = algorithmFor(query);
    this.#enter(client);
    let writer: BlobWriter;
    try {
      writer = await layout.blobs.create(algorithm);
    } catch (error) {
      this.#leave(client);
      throw error;
    }
    const upload: Upload = {
      id: randomUUID(),
      repository: name,
      client,
      writer,
      touched: this.#options.clock.now(),
      // The body of a single request may take longer than an upload may stay unused.
      isBusy: digest !== null,
      isGone: false,
    };
    this.#byId.set(upload.id, upload);
    if (digest !== null) {
      try {
        await this.#finish(upload, request, response, digest);
      } catch (error) {
        // The client does not know this upload's address, so it cannot continue it.
        await this.#drop(upload);
        throw error;
      }
      return;
    }
    answer(response, 202, {
      ...this.#where(upload),
      ...(this.#options.minChunk > 0 ? { "oci-chunk-min-length": this.#options.minChunk } : {}),
    });
  }

  /** Counts one more upload of a client, or refuses it. */
  #enter(client: string): void {
    const open = this.#open.get(client) ?? 0;
    if (this.#total >= MAX_UPLOADS || open >= MAX_UPLOADS_OF_CLIENT)
      throw new Refusal("TOOMANYREQUESTS", "too many uploads are open: finish or cancel some", {
        headers: { "retry-after": "5" },
      });
    this.#open.set(client, open + 1);
    this.#total++;
  }

  #leave(client: string): void {
    const left = (this.#open.get(client) ?? 1) - 1;
    if (left > 0) this.#open.set(client, left);
    else this.#open.delete(client);
    this.#total--;
  }

  /** Handles `/blobs/uploads/ID`. */
  async handle({ name, request, response, query }: UploadExchange, id: string): Promise<void> {
    const upload = this.#byId.get(id);
    if (upload === undefined || upload.repository !== name)
      throw new Refusal("BLOB_UPLOAD_UNKNOWN", `there is no upload ${id.slice(0, 64)}`);
    upload.touched = this.#options.clock.now();
    switch (request.method) {
      case "GET":
      case "HEAD":
        return answer(response, 204, this.#where(upload));
      case "PATCH":
        await this.#alone(upload, () => this.#append(upload, request));
        return answer(response, 202, this.#where(upload));
      case "PUT":
        return await this.#alone(upload, () => this.#finish(upload, request, response, query.get("digest")));
      case "DELETE":
        await this.#drop(upload);
        return answer(response, 204);
      default:
        throw new Refusal("UNSUPPORTED", `${request.method} is not for uploads`);
    }
  }

  #where(upload: Upload): Record<string, string | number> {
    return {
      location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
      range: `0-${Math.max(0, upload.writer.size - 1)}`,
      "docker-upload-uuid": upload.id,
    };
  }

  async #alone(upload: Upload, work: () => Promise<void>): Promise<void> {
    if (upload.isBusy)
      throw new Refusal("BLOB_UPLOAD_INVALID", "another request is writing to this upload", { status: 409 });
    upload.isBusy = true;
    try {
      await work();
    } catch (error) {
      if (upload.isGone && !(error instanceof Refusal)) throw cancelled();
      // Bytes that could not be written to disk are lost.
      if (isStaveError(error, "FILE_SYSTEM")) await this.#drop(upload);
      throw error;
    } finally {
      upload.isBusy = false;
      upload.touched = this.#options.clock.now();
    }
  }

  async #append(upload: Upload, request: IncomingMessage): Promise<void> {
    const { writer } = upload;
    const start = writer.size;
    const range = request.headers["content-range"];
    let expected: number | undefined;
    if (range !== undefined) {
      const found = /^(?:bytes[ =])?([0-9]{1,15})-([0-9]{1,15})(?:\/.*)?$/.exec(range);
      const [from, to] = [Number(found?.[1]), Number(found?.[2])];
      if (!found || from !== start || to < from)
        throw new Refusal(
          "RANGE_INVALID",
          `the next chunk begins at ${start}, not at ${found?.[1] ?? JSON.stringify(range.slice(0, 40))}`,
          { headers: stringly(this.#where(upload)) },
        );
      expected = to - from + 1;
    }
    await this.#receive(upload, request, expected);
  }

  /**
   * Writes a body. If a number of bytes is expected or the body is the whole blob, a failure restores the previous
   * state of the upload.
   */
  async #receive(
    upload: Upload,
    request: IncomingMessage,
    expected: number | undefined,
    isWhole = false,
  ): Promise<void> {
    const { writer } = upload;
    const start = writer.size;
    try {
      for await (const chunk of bodyOf(request, this.#options.patience)) {
        if (expected !== undefined && writer.size - start + chunk.byteLength > expected)
          throw new Refusal("SIZE_INVALID", "the chunk is longer than its Content-Range");
        if (upload.isGone) break;
        await writer.write(chunk);
      }
      if (expected !== undefined && writer.size - start < expected && !upload.isGone)
        throw new Refusal("SIZE_INVALID", "the chunk is shorter than its Content-Range");
    } catch (error) {
      // A chunk with a range counts as a whole or not at all; of a stream, the bytes that arrived are kept.
      if ((expected !== undefined || isWhole) && !upload.isGone && !isStaveError(error, "FILE_SYSTEM"))
        await writer.truncate(start);
      throw error;
    }
    if (upload.isGone) throw cancelled();
  }

  async #finish(
    upload: Upload,
    request: IncomingMessage,
    response: ServerResponse,
    digest: string | null,
  ): Promise<void> {
    if (digest === null || !isDigest(digest)) throw new Refusal("DIGEST_INVALID", "the query has no valid digest");
    const { writer, repository } = upload;
    if (request.headers["content-range"] !== undefined) await this.#append(upload, request);
    else await this.#receive(upload, request, undefined, true);
    const actual = await writer.digest(algorithmOf(digest));
    if (actual !== digest) {
      await this.#drop(upload);
      throw new Refusal("DIGEST_INVALID", `the bytes have digest ${actual}, not ${digest}`);
    }
    await writer.commit(digest);
    this.#forget(upload);
    answer(response, 201, created(repository, digest));
  }

  async #drop(upload: Upload): Promise<void> {
    upload.isGone = true;
    this.#forget(upload);
    await upload.writer.abort();
  }

  #forget(upload: Upload): void {
    if (this.#byId.delete(upload.id)) this.#leave(upload.client);
  }

  async #expire(): Promise<void> {
    const before = this.#options.clock.now() - EXPIRES_AFTER;
    for (const upload of [...this.#byId.values()])
      if (!upload.isBusy && upload.touched < before) await this.#drop(upload);
  }

  /** Cancels all uploads. */
  async close(): Promise<void> {
    await closeAll([...this.#byId.values()].map((upload) => () => this.#drop(upload)));
  }
}

/**
 * The algorithm for hashing an upload as it arrives: that of its digest if known, or the one that the client announces.
 */
function algorithmFor(query: URLSearchParams): DigestAlgorithm {
  const digest = query.get("digest");
  if (digest !== null) return isDigest(digest) ? algorithmOf(digest) : "sha256";
  return query.get("digest-algorithm") === "sha512" ? "sha512" : "sha256";
}

function cancelled(): Refusal {
  return new Refusal("BLOB_UPLOAD_UNKNOWN", "the upload was cancelled while it was written to");
}

/** The headers for a blob that now exists. */
export function created(repository: string, digest: Digest): Record<string, string> {
  return { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest };
}

function stringly(headers: Record<string, string | number>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

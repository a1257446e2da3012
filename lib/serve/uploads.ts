// Uploads under way: monolithic, streamed and chunked (OCI distribution 1.1, "Pushing blobs").
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { algorithmOf, type Digest, isDigest } from "../oci/digest.ts";
import type { LayoutTarget } from "../target/layout.ts";
import type { BlobWriter } from "../target/layout-blobs.ts";
import type { Clock } from "../util/time.ts";
import { answer, Refusal } from "./answer.ts";

interface Upload {
  id: string;
  repository: string;
  writer: BlobWriter;
  /** When it was last heard of, in milliseconds. */
  touched: number;
  isBusy: boolean;
}

/** An upload nobody has touched for so long is given up, in milliseconds. */
const EXPIRES_AFTER = 3600 * 1000;
const MAX_UPLOADS = 1000;

/** The uploads of a server. */
export class Uploads {
  readonly #clock: Clock;
  readonly #minChunk: number;
  readonly #byId = new Map<string, Upload>();

  constructor(clock: Clock, minChunk: number) {
    this.#clock = clock;
    this.#minChunk = minChunk;
  }

  /** Begins an upload and tells where it goes on; with `digest`, the body is the whole blob. */
  async open(
    name: string,
    layout: LayoutTarget,
    request: IncomingMessage,
    response: ServerResponse,
    digest: string | null,
  ): Promise<void> {
    await this.#expire();
    if (this.#byId.size >= MAX_UPLOADS)
      throw new Refusal("TOO_LARGE", "too many uploads are open", { status: 429, headers: { "retry-after": "5" } });
    const upload: Upload = {
      id: randomUUID(),
      repository: name,
      writer: await layout.blobs.create("sha256"),
      touched: this.#clock.now(),
      // The body of a single request may take longer than an upload may lie untouched.
      isBusy: digest !== null,
    };
    this.#byId.set(upload.id, upload);
    if (digest !== null) {
      try {
        await this.#finish(upload, request, response, digest);
      } catch (error) {
        // Nobody was told of this upload, so nobody can go on with it.
        await this.#drop(upload);
        throw error;
      }
      return;
    }
    answer(response, 202, {
      ...this.#where(upload),
      ...(this.#minChunk > 0 ? { "oci-chunk-min-length": this.#minChunk } : {}),
    });
  }

  /** Handles `/blobs/uploads/ID`. */
  async handle(
    name: string,
    id: string,
    request: IncomingMessage,
    response: ServerResponse,
    digest: string | null,
  ): Promise<void> {
    const upload = this.#byId.get(id);
    if (upload === undefined || upload.repository !== name)
      throw new Refusal("BLOB_UPLOAD_UNKNOWN", `there is no upload ${id.slice(0, 64)}`);
    upload.touched = this.#clock.now();
    switch (request.method) {
      case "GET":
      case "HEAD":
        return answer(response, 204, this.#where(upload));
      case "PATCH":
        await this.#alone(upload, () => this.#append(upload, request));
        return answer(response, 202, this.#where(upload));
      case "PUT":
        return await this.#alone(upload, () => this.#finish(upload, request, response, digest));
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
    } finally {
      upload.isBusy = false;
      upload.touched = this.#clock.now();
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
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        await writer.write(chunk);
        if (expected !== undefined && writer.size - start > expected)
          throw new Refusal("SIZE_INVALID", "the chunk is longer than its Content-Range");
      }
      if (expected !== undefined && writer.size - start < expected)
        throw new Refusal("SIZE_INVALID", "the chunk is shorter than its Content-Range");
    } catch (error) {
      // A chunk with a range counts whole or not at all; of a stream, what came has come.
      if (expected !== undefined) await writer.truncate(start);
      throw error;
    }
  }

  async #finish(
    upload: Upload,
    request: IncomingMessage,
    response: ServerResponse,
    digest: string | null,
  ): Promise<void> {
    if (digest === null || !isDigest(digest)) throw new Refusal("DIGEST_INVALID", "the query has no valid digest");
    const { writer, repository } = upload;
    const start = writer.size;
    if (request.headers["content-range"] !== undefined) await this.#append(upload, request);
    else
      try {
        for await (const chunk of request as AsyncIterable<Buffer>) await writer.write(chunk);
      } catch (error) {
        await writer.truncate(start);
        throw error;
      }
    const actual = await writer.digest(algorithmOf(digest));
    if (actual !== digest) {
      await this.#drop(upload);
      throw new Refusal("DIGEST_INVALID", `the bytes have digest ${actual}, not ${digest}`);
    }
    await writer.commit(digest);
    this.#byId.delete(upload.id);
    answer(response, 201, created(repository, digest));
  }

  async #drop(upload: Upload): Promise<void> {
    this.#byId.delete(upload.id);
    await upload.writer.abort();
  }

  async #expire(): Promise<void> {
    const before = this.#clock.now() - EXPIRES_AFTER;
    for (const upload of [...this.#byId.values()])
      if (!upload.isBusy && upload.touched < before) await this.#drop(upload);
  }

  async close(): Promise<void> {
    for (const upload of [...this.#byId.values()]) await this.#drop(upload);
  }
}

/** The headers of a blob that is now there. */
export function created(repository: string, digest: Digest): Record<string, string> {
  return { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest };
}

function stringly(headers: Record<string, string | number>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

// Blobs of a repository on the way down: existence, and verified reading that goes on after a break.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { headerOf, networkError } from "../http/response.ts";
import { withRetry } from "../http/retry.ts";
import type { HttpResponse } from "../http/types.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";
import { digestMismatch, sizeMismatch } from "../util/stream.ts";
import type { Repository } from "./repository.ts";
import type { OperationOptions } from "./target.ts";

const path = (digest: Digest) => `blobs/${digest}`;

/** Bytes read ahead of a slow consumer, for each blob under way. */
const READ_AHEAD = 256 * 1024;

/** Tells whether a blob is there; 404 and nothing else is a no. Throws SIZE_MISMATCH when it is there with another size. */
export async function hasBlob(
  repository: Repository,
  digest: Digest,
  options: OperationOptions & { size?: number } = {},
): Promise<boolean> {
  const response = await repository.send({
    method: "HEAD",
    url: path(digest),
    access: "pull",
    accept: [200, 404],
    op: "look for blob",
    subject: digest,
    signal: options.signal,
  });
  if (response.status !== 200) return false;
  // Not every registry tells the size of a blob.
  const length = headerOf(response, "content-length");
  const { size } = options;
  if (size !== undefined && length !== undefined && /^[0-9]{1,15}$/.test(length) && Number(length) !== size)
    throw sizeMismatch(`blob ${digest} of ${repository.name}`, size, length);
  return true;
}

/**
 * Opens a blob as a stream that ends only when size and digest are right. A connection that breaks is taken up again
 * where it broke, as long as tries bring more bytes or the budget lasts.
 */
export async function fetchBlob(
  repository: Repository,
  descriptor: Descriptor,
  options: OperationOptions = {},
): Promise<Readable> {
  const first = await openAt(repository, descriptor, 0, options);
  const stream = Readable.from(read(repository, descriptor, first, options), {
    objectMode: false,
    highWaterMark: READ_AHEAD,
  });
  // A consumer that never begins to read must not leave the connection open.
  stream.once("close", () => first.body.destroy());
  return stream;
}

async function* read(
  repository: Repository,
  descriptor: Descriptor,
  first: HttpResponse,
  options: OperationOptions,
): AsyncGenerator<Buffer> {
  const { digest, size } = descriptor;
  const subject = `blob ${digest} of ${repository.name}`;
  const digester = new Digester(algorithmOf(digest));
  let response: HttpResponse | undefined = first;
  let failedAt = -1;
  let failures = 0;
  try {
    for (;;) {
      response ??= await reopen(repository, descriptor, digester.size, options);
      try {
        for await (const chunk of response.body as AsyncIterable<Buffer>) {
          digester.update(chunk);
          if (digester.size > size) throw sizeMismatch(subject, size, `more than ${size}`);
          yield chunk;
        }
      } catch (cause) {
        options.signal?.throwIfAborted();
        if (cause instanceof StaveError) throw cause;
        // Progress since the last break makes this a new one; without, it is the same that keeps happening.
        failures = digester.size > failedAt ? 1 : failures + 1;
        failedAt = digester.size;
        const error = networkError({ op: "fetch", subject }, response.url, cause);
        if (failures >= repository.options.transport.retry.attempts) throw error.with({ attempts: failures });
        response = undefined;
        continue;
      }
      if (digester.size === size) break;
      // An answer that ends in good order but early: the registry has less than it should, and says so each time.
      throw sizeMismatch(subject, size, String(digester.size));
    }
  } finally {
    response?.body.destroy();
  }
  const actual = digester.digest();
  if (actual !== digest) throw digestMismatch(subject, digest, actual);
}

/** Opens the rest of a blob after a break; the waits are those of any request that is tried again. */
async function reopen(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  options: OperationOptions,
): Promise<HttpResponse> {
  const { retry } = repository.options.transport;
  let isFirst = true;
  return await withRetry(retry, repository.retryHooks(options.signal), async () => {
    // Even the first try after a break comes after a short wait, like that of a second try.
    if (isFirst) {
      isFirst = false;
      return { again: new StaveError("NETWORK", `the connection broke while reading blob ${descriptor.digest}`) };
    }
    return { done: await openAt(repository, descriptor, offset, options) };
  });
}

async function openAt(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  options: OperationOptions,
): Promise<HttpResponse> {
  const { digest, size } = descriptor;
  const response = await repository.stream({
    method: "GET",
    url: path(digest),
    headers: offset > 0 ? { range: `bytes=${offset}-${size - 1}` } : {},
    access: "pull",
    accept: offset > 0 ? [200, 206] : [200],
    traffic: "download",
    op: "fetch blob",
    subject: digest,
    signal: options.signal,
  });
  if (offset === 0) return response;
  if (response.status === 200) return { ...response, body: skip(response.body, offset) };
  const range = headerOf(response, "content-range");
  if (range !== undefined && new RegExp(`^bytes ${offset}-`).test(range)) return response;
  response.body.destroy();
  throw new StaveError(
    "REGISTRY_ERROR",
    `${repository.name} answered with the range ${JSON.stringify(range?.slice(0, 60) ?? "(none)")} of blob ${digest}, asked from ${offset}`,
    {
      subject: digest,
    },
  );
}

/** The bytes after `offset`, from a server that sent the whole again. */
function skip(body: Readable, offset: number): Readable {
  async function* rest() {
    let left = offset;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (left >= chunk.byteLength) left -= chunk.byteLength;
      else {
        yield left > 0 ? chunk.subarray(left) : chunk;
        left = 0;
      }
    }
  }
  return Readable.from(rest(), { objectMode: false });
}

/** Removes a blob. Throws NOT_FOUND, UNSUPPORTED. */
export async function deleteBlob(
  repository: Repository,
  digest: Digest,
  options: OperationOptions = {},
): Promise<void> {
  await repository.send({
    method: "DELETE",
    url: path(digest),
    access: "delete",
    accept: [200, 202, 204],
    op: "delete blob",
    subject: digest,
    signal: options.signal,
  });
}

// Reads the blobs of a repository: existence checks, and verified downloads that resume after an interruption.
import { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { headerOf, networkError, saysHtml, webPageError } from "../../http/response.ts";
import { mayPass, type Patience, withRetry } from "../../http/retry.ts";
import type { HttpResponse } from "../../http/types.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, type Digest, Digester, isDigest } from "../../oci/digest.ts";
import { digestMismatch, sizeMismatch, withoutFirst } from "../../util/stream.ts";
import type { FetchBlobOptions, OperationOptions } from "../target.ts";
import type { Repository } from "./repository.ts";
import { unproved } from "./write-proof.ts";

const path = (digest: Digest) => `blobs/${digest}`;

/** Bytes to read ahead of a slow consumer, per blob. */
const READ_AHEAD = 256 * 1024;
/**
 * After this many bytes, or an eighth of a small blob, an interruption counts as a new one and the retry budget starts
 * again.
 */
const ENOUGH_PROGRESS = 1024 * 1024;

/** Options for an existence check. */
export interface HasBlobOptions extends OperationOptions {
  size?: number;
  patience?: Patience | undefined;
  /** A response without a matching digest or size, which any web page could give, counts as absent. */
  mustProve?: boolean;
}

/**
 * True if a blob exists; only 404 is false. Throws SIZE_MISMATCH or DIGEST_MISMATCH if the registry has different
 * content there.
 */
export async function hasBlob(repository: Repository, digest: Digest, options: HasBlobOptions = {}): Promise<boolean> {
  const { size, patience, signal, mustProve = false } = options;
  const subject = `blob ${digest} of ${repository.name}`;
  const response = await repository.send({
    method: "HEAD",
    url: path(digest),
    access: "pull",
    accept: [200, 404],
    op: "look for blob",
    subject: digest,
    patience,
    signal,
  });
  if (response.status !== 200) return false;
  const named = headerOf(response, "docker-content-digest");
  if (named !== undefined && isDigest(named) && algorithmOf(named) === algorithmOf(digest) && named !== digest)
    throw digestMismatch(subject, digest, named);
  // Not every registry reports the size of a blob.
  const length = headerOf(response, "content-length");
  const hasLength = length !== undefined && /^[0-9]{1,15}$/.test(length);
  const isRight = size !== undefined && hasLength && Number(length) === size;
  if (named !== digest && !isRight && saysHtml(response))
    throw webPageError({ op: "look for blob", subject: `${digest} in ${repository.name}` }, response.url);
  if (mustProve) return named === digest || isRight;
  if (size !== undefined && hasLength && !isRight) throw sizeMismatch(subject, size, length);
  return true;
}

/**
 * Opens a blob as a stream that ends only if size and digest are correct. An interrupted download resumes where it
 * stopped, as long as attempts make progress or the retry budget lasts.
 */
export async function fetchBlob(
  repository: Repository,
  descriptor: Descriptor,
  options: FetchBlobOptions = {},
): Promise<Readable> {
  const patience = repository.options.transport.patience();
  const first = await openAt(repository, descriptor, 0, { ...options, patience });
  const stream = Readable.from(read(repository, descriptor, first, { ...options, patience }), {
    objectMode: false,
    highWaterMark: READ_AHEAD,
  });
  // A consumer that never starts to read must not keep the connection open.
  stream.once("close", () => first.body.destroy());
  return stream;
}

async function* read(
  repository: Repository,
  descriptor: Descriptor,
  first: HttpResponse,
  options: FetchBlobOptions & { patience: Patience },
): AsyncGenerator<Buffer> {
  const { digest, size } = descriptor;
  const { patience } = options;
  const subject = `blob ${digest} of ${repository.name}`;
  const digester = new Digester(algorithmOf(digest));
  let response = first;
  let broken: StaveError | undefined;
  let failedAt = 0;
  try {
    for (;;) {
      if (broken !== undefined)
        response = await reopen(repository, descriptor, digester.size, { ...options, patience, broken });
      broken = undefined;
      try {
        for await (const chunk of response.body as AsyncIterable<Buffer>) {
          digester.update(chunk);
          if (digester.size > size) throw sizeMismatch(subject, size, `more than ${size}`);
          yield chunk;
        }
      } catch (cause) {
        options.signal?.throwIfAborted();
        const error = networkError({ op: "fetch", subject }, response.url, cause, response.proxy);
        if (!mayPass(error)) throw error;
        // With enough progress this is a new interruption, otherwise the same one again.
        if (digester.size - failedAt >= Math.min(ENOUGH_PROGRESS, size / 8)) {
          failedAt = digester.size;
          patience.progress();
        }
        broken = error;
        continue;
      }
      if (digester.size === size) break;
      // A response that ends cleanly but early: the registry has fewer bytes than expected, so a retry would not help.
      throw sizeMismatch(subject, size, String(digester.size));
    }
  } finally {
    response.body.destroy();
  }
  const actual = digester.digest();
  if (actual !== digest) throw digestMismatch(subject, digest, actual);
}

/** Reopens a blob at an offset after an interruption, with the usual pauses between attempts. */
async function reopen(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  options: FetchBlobOptions & { patience: Patience; broken: StaveError },
): Promise<HttpResponse> {
  let isFirst = true;
  return await withRetry(options.patience, repository.retryHooks(options.signal), async () => {
    // Pause before the first attempt too, as before any second one.
    if (isFirst) {
      isFirst = false;
      return { again: options.broken };
    }
    return { done: await openAt(repository, descriptor, offset, options) };
  });
}

async function openAt(
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  options: FetchBlobOptions & { patience: Patience },
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
    isDocument: options.isDocument,
    patience: options.patience,
    signal: options.signal,
  });
  // A blob may itself be HTML, but then its size is right.
  if (saysHtml(response) && ![size, size - offset].includes(Number(headerOf(response, "content-length")))) {
    response.body.destroy();
    throw webPageError({ op: "fetch blob", subject: `${digest} from ${repository.name}` }, response.url);
  }
  if (offset === 0) return response;
  // Some servers ignore Range and send the whole blob again.
  if (response.status === 200) return { ...response, body: withoutFirst(response.body, offset) };
  const range = headerOf(response, "content-range");
  if (range !== undefined && new RegExp(`^bytes ${offset}-`).test(range)) return response;
  response.body.destroy();
  throw new StaveError(
    "REGISTRY_ERROR",
    `${repository.name} sent range ${JSON.stringify(range?.slice(0, 60) ?? "(none)")} of blob ${digest}, expected it from byte ${offset}`,
    {
      subject: digest,
    },
  );
}

/** Deletes a blob. Throws NOT_FOUND, UNSUPPORTED. */
export async function deleteBlob(
  repository: Repository,
  digest: Digest,
  options: OperationOptions = {},
): Promise<void> {
  const { status } = await repository.send({
    method: "DELETE",
    url: path(digest),
    access: "delete",
    accept: [200, 202, 204],
    op: "delete blob",
    subject: digest,
    signal: options.signal,
  });
  // The specification allows only 202, so a 200 is checked.
  if (status === 200 && (await hasBlob(repository, digest, options)))
    throw unproved(repository, "delete blob", digest, status);
}

// Reads the blobs of a repository: existence checks, and verified downloads that resume after an interruption.
import type { Readable } from "node:stream";
import { headerOf, saysHtml, webPageError } from "../../http/response.ts";
import type { Patience } from "../../http/retry.ts";
import { type Download, downloadStart, verifiedDownload } from "../../http/verified-download.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, type Digest, isDigest } from "../../oci/digest.ts";
import { digestMismatch, sizeMismatch } from "../../util/stream.ts";
import type { FetchBlobOptions, OperationOptions } from "../target.ts";
import type { Repository } from "./repository.ts";
import { unproved } from "./write-proof.ts";

const path = (digest: Digest) => `blobs/${digest}`;

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
  return await verifiedDownload(downloadOf(repository, descriptor, options));
}

/** The first bytes of a blob, which are not verified; an interruption is as in fetchBlob. */
export async function fetchBlobStart(
  repository: Repository,
  descriptor: Descriptor,
  length: number,
  options: OperationOptions = {},
): Promise<Buffer> {
  return await downloadStart(downloadOf(repository, descriptor, options), length);
}

function downloadOf(repository: Repository, { digest, size }: Descriptor, options: FetchBlobOptions): Download {
  const { signal, isDocument } = options;
  const patience = repository.options.transport.patience();
  return {
    digest,
    size,
    subject: `blob ${digest} of ${repository.name}`,
    server: repository.name,
    patience,
    hooks: repository.retryHooks(signal),
    signal,
    ahead: repository.ahead,
    send: (headers, traffic = "download") =>
      repository.stream({
        method: "GET",
        url: path(digest),
        headers,
        access: "pull",
        accept: headers["range"] === undefined ? [200] : [200, 206],
        traffic,
        op: "fetch blob",
        subject: digest,
        isDocument,
        // A range is an attempt; the download goes on without it.
        ...(traffic === "range" ? { retry: false } : { patience }),
        signal,
      }),
  };
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

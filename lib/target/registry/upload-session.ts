// The steps of an upload, each one exchange with the registry: open or mount, chunk, commit, status, cancel (OCI
// distribution 1.1, "Pushing blobs"). upload.ts combines and retries them.
import type { Readable } from "node:stream";
import { isStaveError, StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import { mayPass, type Outcome, type Patience, withRetry } from "../../http/retry.ts";
import type { HttpResponse } from "../../http/types.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { OperationOptions } from "../target.ts";
import { hasBlob } from "./blobs.ts";
import type { Repository } from "./repository.ts";
import { isProof, unproved } from "./write-proof.ts";

/** The chunk size in bytes; each chunked upload holds one chunk in memory. */
export const CHUNK: number = 8 * 1024 * 1024;
/** The largest minimum chunk size that is honoured, because each chunk is held in memory. */
const LARGEST_CHUNK = 128 * 1024 * 1024;

/** An upload in progress. */
export interface Session {
  url: URL;
  /** The number of bytes the registry has. */
  offset: number;
  chunk: number;
}

/** Options of every step. */
export interface StepOptions extends OperationOptions {
  patience: Patience;
}

/**
 * Tries to mount a blob. Returns "mounted", the upload that the registry opened instead, or undefined if it did
 * neither.
 */
export async function mount(
  repository: Repository,
  { digest, size }: Descriptor,
  from: string,
  options: StepOptions,
): Promise<Session | "mounted" | undefined> {
  const { patience, signal } = options;
  const send = (alsoPull: string[]) =>
    repository.send({
      method: "POST",
      url: `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`,
      headers: { "content-length": "0" },
      access: "push",
      alsoPull,
      accept: [201, 202, 400, 401, 403, 404, 405],
      op: "mount blob",
      subject: digest,
      patience,
      signal,
    });
  // A user without read access to the other repository may still push to this one.
  const response = await send([from]).catch((error: unknown) => {
    if (isStaveError(error, "CREDENTIALS_MISSING", "CREDENTIALS_REJECTED", "DENIED", "REGISTRY_ERROR"))
      return undefined;
    throw error;
  });
  if (response?.status === 201) {
    const isThere =
      isProof(repository, response, digest) ||
      (await hasBlob(repository, digest, { ...options, size, mustProve: true }));
    return isThere ? "mounted" : undefined;
  }
  return response?.status === 202 ? await sessionOf(repository, response) : undefined;
}

/** Opens an upload. */
export async function openSession(repository: Repository, options: StepOptions): Promise<Session> {
  const response = await repository.send({
    method: "POST",
    url: "blobs/uploads/",
    headers: { "content-length": "0" },
    access: "push",
    accept: [202],
    op: "open upload",
    subject: "blob",
    patience: options.patience,
    signal: options.signal,
  });
  return await sessionOf(repository, response);
}

/** The upload session that a response names. Throws REGISTRY_ERROR if there is none. */
export async function sessionOf(repository: Repository, response: HttpResponse): Promise<Session> {
  const url = await repository.followed(headerOf(response, "location"), response.url, "push a blob");
  const least = Number(headerOf(response, "oci-chunk-min-length") ?? "0");
  const chunk = Number.isSafeInteger(least) && least > CHUNK ? Math.min(least, LARGEST_CHUNK) : CHUNK;
  return { url, offset: 0, chunk };
}

/** Cancels an upload; never fails. */
export async function cancel(repository: Repository, session: Session): Promise<void> {
  const request = {
    method: "DELETE",
    url: session.url,
    access: "push",
    accept: [200, 202, 204, 404, 405],
    op: "cancel upload",
    subject: "blob",
  } as const;
  // The registry discards it in time anyway, so a failure does not matter.
  await repository.send({ ...request, retry: false }).catch(() => {});
}

/** The state of an upload at the registry; undefined if it is unknown there. */
export async function status(
  repository: Repository,
  session: Session,
  options: StepOptions,
): Promise<Session | undefined> {
  const response = await repository.send({
    method: "GET",
    url: session.url,
    access: "push",
    accept: [200, 202, 204, 400, 404, 405, 416],
    op: "ask for the state of an upload",
    subject: "blob",
    patience: options.patience,
    signal: options.signal,
  });
  if (response.status >= 400) return undefined;
  const { url } = await sessionOf(repository, response).catch(() => session);
  return { ...session, url, offset: received(response) };
}

/** The number of bytes received, from `Range: 0-N`, where N is the offset of the last byte. */
function received(response: HttpResponse): number {
  const found = /^(?:bytes=)?0-([0-9]{1,15})$/.exec(headerOf(response, "range")?.trim() ?? "");
  // "0-0" is also what distribution answers for an empty upload; counting it as one byte would leave a gap.
  const last = Number(found?.[1] ?? "0");
  return last === 0 ? 0 : last + 1;
}

/** True if the registry no longer knows the upload. */
export function isSessionLost(error: StaveError): boolean {
  return (
    error.status === 404 ||
    error.status === 416 ||
    error.registry?.some((entry) => entry.code === "BLOB_UPLOAD_UNKNOWN" || entry.code === "BLOB_UPLOAD_INVALID") ===
      true
  );
}

/** True for an error that may pass on a retry and was not caused by the source. */
export function isPassing(error: StaveError): boolean {
  return mayPass(error) && error.side !== "source";
}

/**
 * Completes an upload, with the whole body or after chunks. Never retries: the caller first checks whether it took
 * effect.
 */
export async function commit(
  repository: Repository,
  session: Session,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  options: StepOptions,
  whole?: Uint8Array | (() => Promise<Readable>),
): Promise<void> {
  const { patience, signal } = options;
  const url = new URL(session.url);
  // Appended as text: rewriting the query could break a signature in it.
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  const response = await repository
    .send({
      method: "PUT",
      url,
      headers: { "content-type": "application/octet-stream", "content-length": String(whole === undefined ? 0 : size) },
      body: whole,
      access: "push",
      accept: [201, 202, 204],
      traffic: "upload",
      op: "push blob",
      subject: digest,
      retry: false,
      patience,
      signal,
    })
    .catch((error: unknown) => {
      if (!isStaveError(error) || !error.registry?.some((entry) => entry.code === "DIGEST_INVALID")) throw error;
      throw new StaveError("DIGEST_MISMATCH", `${repository.name} received bytes that do not match ${digest}`, {
        op: "push blob",
        subject: digest,
        registry: error.registry,
        cause: error,
      });
    });
  if (isProof(repository, response, digest)) return;
  if (!(await hasBlob(repository, digest, { patience, signal, size, mustProve: true })))
    throw unproved(repository, "push blob", digest, response.status);
}

/**
 * Sends bytes to an open upload and advances it. Never retries. Throws NETWORK if the registry reports fewer bytes than
 * were sent.
 */
export async function patch(
  repository: Repository,
  session: Session,
  count: number,
  body: Uint8Array | (() => Promise<Readable>),
  options: StepOptions,
): Promise<void> {
  const { patience, signal } = options;
  const end = session.offset + count;
  const response = await repository.send({
    method: "PATCH",
    url: session.url,
    headers: {
      "content-type": "application/octet-stream",
      "content-length": String(count),
      "content-range": `${session.offset}-${end - 1}`,
    },
    body,
    access: "push",
    accept: [202, 204],
    traffic: "upload",
    op: "push bytes",
    subject: "blob",
    retry: false,
    patience,
    signal,
  });
  const next = await sessionOf(repository, response);
  session.url = next.url;
  const reached = received(response);
  if (reached > 0 && reached < end)
    throw new StaveError("NETWORK", `cannot push bytes: ${repository.name} is missing its last ${end - reached} bytes`);
  session.offset = end;
}

/** Sends one chunk from memory; after an interruption asks how much arrived and sends the rest. */
export async function sendChunk(
  repository: Repository,
  session: Session,
  chunk: Buffer,
  options: StepOptions,
): Promise<void> {
  const { patience } = options;
  const start = session.offset;
  const end = start + chunk.byteLength;
  await withRetry(patience, repository.retryHooks(options.signal), async (attempt): Promise<Outcome<void>> => {
    if (attempt > 1) {
      const now = await status(repository, session, options);
      if (now === undefined || now.offset < start || now.offset > end) throw uploadLost(repository);
      session.url = now.url;
      session.offset = now.offset;
    }
    if (session.offset === end) return { done: undefined };
    const body = chunk.subarray(session.offset - start);
    try {
      await patch(repository, session, body.byteLength, body, options);
      patience.progress();
      return { done: undefined };
    } catch (error) {
      if (isStaveError(error) && (isPassing(error) || error.status === 416)) return { again: error };
      throw error;
    }
  });
}

/** The error for an upload that the registry has lost. */
export function uploadLost(repository: Repository): StaveError {
  return new StaveError("UPLOAD_LOST", `${repository.name} has lost an upload in progress`, {
    subject: repository.name,
    hint: "run the same command again",
  });
}

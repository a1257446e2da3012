// Blobs of a repository on the way up: mount, monolithic, chunked and streamed upload, resumed by upload status
// (OCI distribution 1.1, "Pushing blobs"). Every retry opens the source anew; after a commit without an answer the
// registry is asked first, because the blob often is there.
import { Readable } from "node:stream";
import { isStaveError, StaveError } from "../errors.ts";
import { headerOf } from "../http/response.ts";
import { isRetryableStatus, type Outcome, withRetry } from "../http/retry.ts";
import type { HttpResponse } from "../http/types.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, Digester } from "../oci/digest.ts";
import { bytesSource, type Source } from "../util/stream.ts";
import { hasBlob } from "./blobs.ts";
import type { Repository } from "./repository.ts";
import type { OperationOptions, PushBlobOptions, PushOutcome, PushStreamOptions } from "./target.ts";

/** The size of a chunk where an upload goes in chunks; held in memory once for each such upload. */
const CHUNK = 8 * 1024 * 1024;
/** A registry that asks for larger chunks than this is not obeyed, because each chunk is held in memory. */
const LARGEST_CHUNK = 128 * 1024 * 1024;

/** An upload under way: where its next bytes go, and how large its chunks must be. */
interface Session {
  url: URL;
  /** Bytes the registry has. */
  offset: number;
  chunk: number;
}

/** Stores a blob of known digest and size: see BlobPusher.pushBlob. */
export async function pushBlob(
  repository: Repository,
  descriptor: Descriptor,
  source: Source,
  options: PushBlobOptions = {},
): Promise<PushOutcome> {
  if (await hasBlob(repository, descriptor.digest, options)) return "present";
  let session: Session | undefined;
  for (const from of options.mountFrom ?? []) {
    if (from === repository.options.repository) continue;
    if (session) await cancel(repository, session);
    const mounted = await mount(repository, descriptor.digest, from, options);
    if (mounted === "mounted") return "mounted";
    session = mounted;
  }
  await new Upload(repository, descriptor, source, options).run(session);
  return "pushed";
}

/** Tries to mount; a registry that would not opens an upload instead, which is then used. */
async function mount(
  repository: Repository,
  digest: Digest,
  from: string,
  options: OperationOptions,
): Promise<Session | "mounted" | undefined> {
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
      signal: options.signal,
    });
  // Who may not read the other repository can still push to this one.
  const response = await send([from]).catch((error: unknown) => {
    if (isStaveError(error, "CREDENTIALS_MISSING", "CREDENTIALS_REJECTED", "DENIED", "REGISTRY_ERROR"))
      return undefined;
    throw error;
  });
  if (response?.status === 201) return "mounted";
  return response?.status === 202 ? await sessionOf(repository, response) : undefined;
}

async function openSession(repository: Repository, options: OperationOptions): Promise<Session> {
  const response = await repository.send({
    method: "POST",
    url: "blobs/uploads/",
    headers: { "content-length": "0" },
    access: "push",
    accept: [202],
    op: "open upload",
    subject: "blob",
    signal: options.signal,
  });
  return await sessionOf(repository, response);
}

async function sessionOf(repository: Repository, response: HttpResponse): Promise<Session> {
  const url = await repository.followed(headerOf(response, "location"), response.url, "push a blob");
  const least = Number(headerOf(response, "oci-chunk-min-length") ?? "0");
  const chunk = Number.isSafeInteger(least) && least > CHUNK ? Math.min(least, LARGEST_CHUNK) : CHUNK;
  return { url, offset: 0, chunk };
}

async function cancel(repository: Repository, session: Session): Promise<void> {
  const request = {
    method: "DELETE",
    url: session.url,
    access: "push",
    accept: [200, 202, 204, 404, 405],
    op: "cancel upload",
    subject: "blob",
  } as const;
  // The registry forgets it by itself in time; a failure here changes nothing.
  await repository.send({ ...request, retry: false }).catch(() => {});
}

/** What the registry has of an upload; undefined when it does not know it (any more). */
async function status(
  repository: Repository,
  session: Session,
  options: OperationOptions,
): Promise<Session | undefined> {
  const response = await repository.send({
    method: "GET",
    url: session.url,
    access: "push",
    accept: [200, 202, 204, 400, 404, 405, 416],
    op: "ask for the state of an upload",
    subject: "blob",
    signal: options.signal,
  });
  if (response.status >= 400) return undefined;
  const { url } = await sessionOf(repository, response).catch(() => session);
  return { ...session, url, offset: received(response) };
}

/** Bytes received, from `Range: 0-N` (N is the last byte, so that one byte and none at all look alike: see below). */
function received(response: HttpResponse): number {
  const found = /^(?:bytes=)?0-([0-9]{1,15})$/.exec(headerOf(response, "range")?.trim() ?? "");
  // "0-0" is what distribution answers for an upload without any byte; taking it for one byte would leave a hole.
  const last = Number(found?.[1] ?? "0");
  return last === 0 ? 0 : last + 1;
}

/** The upload of one blob, with its retries. */
class Upload {
  readonly #repository: Repository;
  readonly #descriptor: Descriptor;
  readonly #source: Source;
  readonly #options: PushBlobOptions;
  /** Set when the registry (or a proxy before it) finds the whole too large for one request. */
  #inChunks = false;
  /** Bytes told to the listener that the registry may not have. */
  #told = 0;

  constructor(repository: Repository, descriptor: Descriptor, source: Source, options: PushBlobOptions) {
    this.#repository = repository;
    this.#descriptor = descriptor;
    this.#source = source;
    this.#options = options;
  }

  async run(opened: Session | undefined): Promise<void> {
    const { transport, clock, onWait } = this.#repository.options;
    const hooks = {
      clock,
      signal: this.#options.signal,
      onWait: (ms: number, e: StaveError) => onWait?.(ms, e.message),
    };
    let session = opened;
    await withRetry(transport.retry, hooks, async (attempt): Promise<Outcome<void>> => {
      if (attempt > 1) {
        if (await hasBlob(this.#repository, this.#descriptor.digest, this.#options)) return { done: undefined };
        if (session) session = await status(this.#repository, session, this.#options);
        if (session && session.offset > this.#descriptor.size) session = undefined;
      }
      session ??= await openSession(this.#repository, this.#options);
      try {
        await this.#send(session);
        return { done: undefined };
      } catch (error) {
        this.#takeBack(session.offset);
        if (!isStaveError(error)) throw error;
        if (error.status === 413 && !this.#inChunks) {
          this.#inChunks = true;
          session = undefined;
          return { again: error };
        }
        if (isSessionLost(error)) session = undefined;
        else if (!isPassing(error)) throw error;
        return { again: error };
      }
    });
    this.#tell(this.#descriptor.size - this.#told);
  }

  async #send(session: Session): Promise<void> {
    const { digest, size } = this.#descriptor;
    this.#tell(session.offset - this.#told);
    if (this.#inChunks || session.offset > 0) {
      await sendChunks(this.#repository, session, this.#source, this.#options, (count) => this.#tell(count));
      await commit(this.#repository, session, digest, this.#options);
    } else {
      const body = size === 0 ? new Uint8Array(0) : () => this.#counted();
      await commit(this.#repository, session, digest, this.#options, { body, size });
    }
  }

  async #counted(): Promise<Readable> {
    const stream = await this.#source.open(0);
    const tell = (count: number) => this.#tell(count);
    async function* counted() {
      try {
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          yield chunk;
          tell(chunk.byteLength);
        }
      } catch (error) {
        // Said, so that the registry is not blamed for it, and not asked again.
        throw isStaveError(error) ? error.with({ side: "source" }) : error;
      }
    }
    const body = Readable.from(counted(), { objectMode: false });
    body.once("close", () => stream.destroy());
    return body;
  }

  #tell(count: number): void {
    if (count === 0) return;
    this.#told += count;
    this.#options.onBytes?.(count);
  }

  #takeBack(confirmed: number): void {
    this.#tell(confirmed - this.#told);
  }
}

function isSessionLost(error: StaveError): boolean {
  return (
    error.status === 404 ||
    error.status === 416 ||
    error.registry?.some((entry) => entry.code === "BLOB_UPLOAD_UNKNOWN" || entry.code === "BLOB_UPLOAD_INVALID") ===
      true
  );
}

function isPassing(error: StaveError): boolean {
  return error.status === undefined
    ? isStaveError(error, "NETWORK", "TIMEOUT") && error.side !== "source"
    : isRetryableStatus(error.status);
}

/** Ends an upload, with the whole body or after chunks. Not tried again by itself: the caller asks first what became of it. */
async function commit(
  repository: Repository,
  session: Session,
  digest: Digest,
  options: OperationOptions,
  whole?: { body: Uint8Array | (() => Promise<Readable>); size: number },
): Promise<void> {
  const url = new URL(session.url);
  // Appended as text: re-writing the query could break a signature in it.
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  await repository
    .send({
      method: "PUT",
      url,
      headers: { "content-type": "application/octet-stream", "content-length": String(whole?.size ?? 0) },
      body: whole?.body,
      access: "push",
      accept: [201, 202, 204],
      traffic: "upload",
      op: "push blob",
      subject: digest,
      retry: false,
      signal: options.signal,
    })
    .catch((error: unknown) => {
      if (!isStaveError(error) || !error.registry?.some((entry) => entry.code === "DIGEST_INVALID")) throw error;
      throw new StaveError("DIGEST_MISMATCH", `${repository.name} received other bytes than those of ${digest}`, {
        op: "push blob",
        subject: digest,
        registry: error.registry,
        cause: error,
      });
    });
}

/** Sends what is missing of a source in chunks; moves the session along. */
async function sendChunks(
  repository: Repository,
  session: Session,
  source: Source,
  options: OperationOptions,
  tell: (count: number) => void,
): Promise<void> {
  const stream = await source.open(session.offset);
  try {
    for await (const chunk of inChunks(stream, session.chunk)) {
      await sendChunk(repository, session, chunk, options);
      tell(chunk.byteLength);
    }
  } finally {
    stream.destroy();
  }
}

async function* inChunks(stream: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const part of stream) {
    let rest = part;
    while (held + rest.byteLength >= size) {
      parts.push(rest.subarray(0, size - held));
      rest = rest.subarray(size - held);
      yield Buffer.concat(parts, size);
      parts = [];
      held = 0;
    }
    if (rest.byteLength > 0) parts.push(rest);
    held += rest.byteLength;
  }
  if (held > 0) yield Buffer.concat(parts, held);
}

/** Sends one chunk from memory; after a break, asks how far it got and sends what is missing. */
async function sendChunk(
  repository: Repository,
  session: Session,
  chunk: Buffer,
  options: OperationOptions,
): Promise<void> {
  const { transport, clock, onWait } = repository.options;
  const start = session.offset;
  const end = start + chunk.byteLength;
  const hooks = { clock, signal: options.signal, onWait: (ms: number, e: StaveError) => onWait?.(ms, e.message) };
  await withRetry(transport.retry, hooks, async (attempt): Promise<Outcome<void>> => {
    if (attempt > 1) {
      const now = await status(repository, session, options);
      if (now === undefined || now.offset < start || now.offset > end) throw lost(repository);
      session.url = now.url;
      session.offset = now.offset;
    }
    if (session.offset === end) return { done: undefined };
    const body = chunk.subarray(session.offset - start);
    try {
      const response = await repository.send({
        method: "PATCH",
        url: session.url,
        headers: {
          "content-type": "application/octet-stream",
          "content-length": String(body.byteLength),
          "content-range": `${session.offset}-${end - 1}`,
        },
        body,
        access: "push",
        accept: [202, 204],
        traffic: "upload",
        op: "push chunk",
        subject: "blob",
        retry: false,
        signal: options.signal,
      });
      const next = await sessionOf(repository, response);
      session.url = next.url;
      session.offset = end;
      return { done: undefined };
    } catch (error) {
      if (isStaveError(error) && (isPassing(error) || error.status === 416)) return { again: error };
      throw error;
    }
  });
}

function lost(repository: Repository): StaveError {
  return new StaveError("UPLOAD_LOST", `${repository.name} has lost an upload that was under way`, {
    subject: repository.name,
    hint: "run the same command again",
  });
}

/** Stores a stream of unknown length: see BlobPusher.pushStream. One chunk is held in memory. */
export async function pushStream(
  repository: Repository,
  stream: Readable,
  mediaType: string,
  options: PushStreamOptions = {},
): Promise<Descriptor> {
  const digester = new Digester();
  let session: Session | undefined;
  let held: Buffer | undefined;
  try {
    for await (const chunk of inChunks(stream, CHUNK)) {
      if (options.digest === undefined) digester.update(chunk);
      else digester.size += chunk.byteLength;
      if (held !== undefined) {
        session ??= await openSession(repository, options);
        await sendChunk(repository, session, held, options);
        options.onBytes?.(held.byteLength);
      }
      held = chunk;
    }
  } finally {
    stream.destroy();
  }
  const bytes = held ?? Buffer.alloc(0);
  const digest = options.digest?.() ?? digester.digest();
  const descriptor = { mediaType, digest, size: digester.size };
  // What fitted into one chunk is known by now, and may be there already.
  if (session === undefined) await pushBlob(repository, descriptor, bytesSource(bytes), options);
  else {
    await sendChunk(repository, session, bytes, options);
    options.onBytes?.(bytes.byteLength);
    await commitStream(repository, session, digest, options);
  }
  return descriptor;
}

async function commitStream(
  repository: Repository,
  session: Session,
  digest: Digest,
  options: OperationOptions,
): Promise<void> {
  const { transport, clock, onWait } = repository.options;
  const hooks = { clock, signal: options.signal, onWait: (ms: number, e: StaveError) => onWait?.(ms, e.message) };
  await withRetry(transport.retry, hooks, async (attempt): Promise<Outcome<void>> => {
    if (attempt > 1 && (await hasBlob(repository, digest, options))) return { done: undefined };
    try {
      await commit(repository, session, digest, options);
      return { done: undefined };
    } catch (error) {
      if (!isStaveError(error)) throw error;
      if (isSessionLost(error)) {
        if (await hasBlob(repository, digest, options)) return { done: undefined };
        throw lost(repository).with({ cause: error });
      }
      if (!isPassing(error)) throw error;
      return { again: error };
    }
  });
}

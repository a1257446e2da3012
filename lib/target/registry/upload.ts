// Pushes the blobs of a repository: mount, monolithic, chunked and streamed uploads, resumed by upload status (OCI
// distribution 1.1, "Pushing blobs"). Each attempt at an upload opens its source anew; a chunk is retried from memory.
// After a commit without a response the registry is first asked for the blob, because it often exists.
import { Readable } from "node:stream";
import { isStaveError, StaveError } from "../../errors.ts";
import { type Outcome, withRetry } from "../../http/retry.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { Digester } from "../../oci/digest.ts";
import { giveAway, releaserOf } from "../../util/free-chunks.ts";
import { bytesSource, type Source } from "../../util/stream.ts";
import type { PushBlobOptions, PushOutcome, PushStreamOptions } from "../target.ts";
import { hasBlob } from "./blobs.ts";
import { abilitiesOf } from "./host-abilities.ts";
import type { Repository } from "./repository.ts";
import { inMemory, mayPostWhole, postWhole, SINGLE_POST } from "./single-post.ts";
import {
  append,
  CHUNK,
  cancel,
  commit,
  isPassing,
  isSessionLost,
  mount,
  openSession,
  type Session,
  type StepOptions,
  sendChunk,
  status,
  uploadLost,
} from "./upload-session.ts";

/** How a registry refuses chunks of any size, or such large ones. */
const REFUSALS: ReadonlySet<number> = new Set([400, 405, 411, 415, 416, 501]);

/** Stores a blob of known digest and size: see BlobPusher.pushBlob. */
export async function pushBlob(
  repository: Repository,
  descriptor: Descriptor,
  source: Source,
  options: PushBlobOptions = {},
): Promise<PushOutcome> {
  const steps = { ...options, patience: repository.options.transport.patience() };
  if (!options.isNew && (await isThere(repository, descriptor, steps))) return "present";
  let session: Session | undefined;
  for (const from of options.mountFrom ?? []) {
    if (from === repository.options.repository) continue;
    if (session) await cancel(repository, session);
    const mounted = await mount(repository, descriptor, from, steps);
    if (mounted === "mounted") return "mounted";
    session = mounted;
  }
  await new Upload(repository, descriptor, source, steps).run(session);
  return "pushed";
}

/** Asks the registry for the blob. This needs the digest, which may have to be computed first. */
function isThere(repository: Repository, { digest, size }: Descriptor, options: StepOptions): Promise<boolean> {
  return hasBlob(repository, digest, { ...options, size, mustProve: true });
}

/** The upload of one blob, with its retries. */
class Upload {
  readonly #repository: Repository;
  readonly #descriptor: Descriptor;
  readonly #source: Source;
  readonly #options: PushBlobOptions & StepOptions;
  /** Set when the registry, or a proxy in front of it, finds the blob too large for one request. */
  #inChunks = false;
  /** The bytes go first, and the digest with the commit: it is known once they have been read. */
  #digestLast: boolean;
  /** Bytes reported to `onBytes` so far, including bytes that the registry may not have. */
  #told = 0;

  constructor(repository: Repository, descriptor: Descriptor, source: Source, options: PushBlobOptions & StepOptions) {
    this.#repository = repository;
    this.#descriptor = descriptor;
    this.#source = source;
    this.#options = options;
    this.#digestLast = source.isHashedAsRead === true && descriptor.size > CHUNK;
  }

  async run(opened: Session | undefined): Promise<void> {
    const { size } = this.#descriptor;
    this.#inChunks = size > CHUNK && abilitiesOf(this.#repository).refusesLarge === true;
    let session = opened;
    await withRetry(
      this.#options.patience,
      this.#repository.retryHooks(this.#options.signal),
      async (attempt): Promise<Outcome<void>> => {
        if (attempt > 1) {
          if (await isThere(this.#repository, this.#descriptor, this.#options)) return { done: undefined };
          if (session) session = await status(this.#repository, session, this.#options);
          if (session && session.offset > size) session = undefined;
        }
        try {
          if (attempt === 1 && session === undefined) {
            const posted = await this.#post();
            if (posted === "stored") return { done: undefined };
            session = posted;
          }
        } catch (error) {
          if (!isStaveError(error) || !isPassing(error)) throw error;
          return { again: error };
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
            abilitiesOf(this.#repository).refusesLarge = true;
            await cancel(this.#repository, session);
            session = undefined;
            return { again: error };
          }
          if (this.#digestLast && REFUSALS.has(error.status ?? 0)) {
            this.#digestLast = false;
            await cancel(this.#repository, session);
            session = undefined;
          } else if (isSessionLost(error)) session = undefined;
          else if (!isPassing(error)) {
            // The registry would keep what it has for an hour or longer.
            if (this.#digestLast && !this.#options.signal?.aborted) await cancel(this.#repository, session);
            throw error;
          }
          return { again: error };
        }
      },
    );
    this.#tell(size - this.#told);
  }

  async #post(): Promise<"stored" | Session | undefined> {
    if (!mayPostWhole(this.#repository, this.#descriptor)) return undefined;
    return await postWhole(this.#repository, this.#descriptor, this.#source, this.#options);
  }

  async #send(session: Session): Promise<void> {
    const { size } = this.#descriptor;
    this.#tell(session.offset - this.#told);
    if (this.#inChunks || session.offset > 0) {
      await sendChunks(this.#repository, session, this.#source, this.#options, (count) => this.#tell(count));
      await commit(this.#repository, session, this.#descriptor, this.#options);
    } else if (this.#digestLast) {
      await append(this.#repository, session, size, () => this.#counted(), this.#options);
      await commit(this.#repository, session, this.#descriptor, this.#options);
    } else {
      // A body in memory costs less than a stream of it, but tells nothing of its progress.
      const whole = size <= SINGLE_POST ? inMemory(this.#source, size) : undefined;
      const body = size === 0 ? new Uint8Array(0) : (whole ?? (() => this.#counted()));
      await commit(this.#repository, session, this.#descriptor, this.#options, body);
    }
  }

  async #counted(): Promise<Readable> {
    const stream = await this.#source.open(0);
    const tell = (count: number) => this.#tell(count);
    async function* counted() {
      for await (const chunk of fromSource(stream)) {
        // Its memory may be free by then.
        const { byteLength } = chunk;
        yield chunk;
        tell(byteLength);
      }
    }
    const body = Readable.from(counted(), { objectMode: false });
    body.once("close", () => stream.destroy());
    return releaserOf(stream) === undefined ? body : giveAway(body);
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

// Marks errors of the source, so that the registry is not blamed and the upload is not retried.
async function* fromSource(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* stream;
  } catch (error) {
    throw isStaveError(error) ? error.with({ side: "source" }) : error;
  }
}

/** Sends the missing bytes of a source in chunks and advances the session. */
async function sendChunks(
  repository: Repository,
  session: Session,
  source: Source,
  options: StepOptions,
  tell: (count: number) => void,
): Promise<void> {
  const stream = await source.open(session.offset);
  try {
    for await (const { bytes } of repository.chunker.cut(fromSource(stream), session.chunk)) {
      await sendChunk(repository, session, bytes, options);
      tell(bytes.byteLength);
    }
  } finally {
    stream.destroy();
  }
}

/** Stores a stream of unknown length: see BlobPusher.pushStream. Holds one chunk in memory. */
export async function pushStream(
  repository: Repository,
  stream: Readable,
  mediaType: string,
  options: PushStreamOptions = {},
): Promise<Descriptor> {
  const digester = new Digester();
  const describe = (): Descriptor => {
    const digest = options.digest?.() ?? digester.digest();
    return { mediaType, digest, size: digester.size };
  };
  const steps = { ...options, patience: repository.options.transport.patience() };
  let session: Session | undefined;
  let whole: Descriptor | undefined;
  const open = async (): Promise<number> => {
    session = await openSession(repository, steps);
    return session.chunk;
  };
  const cut = { recycle: options.recycle, sizeOfMany: open };
  try {
    for await (const { bytes, isLast } of repository.chunker.cut(fromSource(stream), CHUNK, cut)) {
      if (options.digest === undefined) digester.update(bytes);
      else digester.size += bytes.byteLength;
      // A stream that fits into one chunk is fully known now, and may already exist.
      if (isLast && session === undefined) {
        whole = describe();
        await pushBlob(repository, whole, bytesSource(bytes), options);
        continue;
      }
      if (session === undefined) throw new StaveError("INTERNAL", "an upload of many chunks was not opened");
      await sendChunk(repository, session, bytes, steps);
      options.onBytes?.(bytes.byteLength);
    }
  } catch (error) {
    // The registry would keep what it has for an hour or longer.
    if (session && isStaveError(error) && error.side === "source" && !options.signal?.aborted)
      await cancel(repository, session);
    throw error;
  } finally {
    stream.destroy();
  }
  if (whole !== undefined) return whole;
  const descriptor = describe();
  if (session === undefined) await pushBlob(repository, descriptor, bytesSource(Buffer.alloc(0)), options);
  else await commitStream(repository, session, descriptor, steps);
  return descriptor;
}

async function commitStream(
  repository: Repository,
  session: Session,
  descriptor: Descriptor,
  options: StepOptions,
): Promise<void> {
  const hooks = repository.retryHooks(options.signal);
  await withRetry(options.patience, hooks, async (attempt): Promise<Outcome<void>> => {
    if (attempt > 1 && (await isThere(repository, descriptor, options))) return { done: undefined };
    try {
      await commit(repository, session, descriptor, options);
      return { done: undefined };
    } catch (error) {
      if (!isStaveError(error)) throw error;
      if (isSessionLost(error)) {
        if (await isThere(repository, descriptor, options)) return { done: undefined };
        throw uploadLost(repository).with({ cause: error });
      }
      if (!isPassing(error)) throw error;
      return { again: error };
    }
  });
}

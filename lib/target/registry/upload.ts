// Pushes the blobs of a repository: mount, monolithic, chunked and streamed uploads, and those whose digest comes last,
// resumed by upload status (OCI distribution 1.1, "Pushing blobs"). Each attempt at an upload opens its source anew; a
// chunk is retried from memory. After a commit without a response the registry is first asked for the blob, because it
// often exists.
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
  CHUNK,
  cancel,
  commit,
  isPassing,
  isSessionLost,
  mount,
  openSession,
  patch,
  type Session,
  type StepOptions,
  sendChunk,
  status,
  uploadLost,
} from "./upload-session.ts";

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

/** An upload that is lost this often ends: each may have sent much before. */
const LOST_OFTEN = 5;

/** The upload of one blob, with its retries. */
class Upload {
  readonly #repository: Repository;
  readonly #descriptor: Descriptor;
  readonly #source: Source;
  readonly #options: PushBlobOptions & StepOptions;
  #session: Session | undefined;
  /** Set when the registry, or a proxy in front of it, finds the blob too large for one request. */
  #inChunks: boolean;
  /** The registry may have a part of the blob. */
  #isBegun = false;
  #lost = 0;
  /** Bytes reported to `onBytes` so far, including bytes that the registry may not have. */
  #told = 0;

  constructor(repository: Repository, descriptor: Descriptor, source: Source, options: PushBlobOptions & StepOptions) {
    this.#repository = repository;
    this.#descriptor = descriptor;
    this.#source = source;
    this.#options = options;
    this.#inChunks = descriptor.size > CHUNK && abilitiesOf(repository).refusesLarge === true;
  }

  async run(opened: Session | undefined): Promise<void> {
    this.#session = opened;
    const { size } = this.#descriptor;
    try {
      const isLate = this.#source.hasLateDigest === true && size > CHUNK && !this.#inChunks;
      if (!isLate || !(await this.#sendsBytesFirst()))
        await withRetry(this.#options.patience, this.#repository.retryHooks(this.#options.signal), (attempt) =>
          this.#attempt(attempt),
        );
    } catch (error) {
      // The registry would keep what it has for an hour or longer.
      if (this.#isBegun && this.#session && !this.#options.signal?.aborted)
        await cancel(this.#repository, this.#session);
      throw error;
    }
    this.#tell(size - this.#told);
  }

  // Sends the bytes, and the digest with the commit: it is known only then. Tried once; true if the blob is stored.
  // After any failure, the digest is computed, and what the registry has is sent no more.
  async #sendsBytesFirst(): Promise<boolean> {
    this.#session ??= await openSession(this.#repository, this.#options);
    this.#isBegun = true;
    try {
      await patch(this.#repository, this.#session, this.#descriptor.size, () => this.#counted(), this.#options);
      await commit(this.#repository, this.#session, this.#descriptor, this.#options);
      return true;
    } catch (error) {
      this.#takeBack(0);
      if (!isStaveError(error) || error.side === "source" || this.#options.signal?.aborted) throw error;
      // Some registries and proxies refuse such requests, but no PUT.
      if (!isPassing(error)) await this.#drop();
      return false;
    }
  }

  async #drop(): Promise<void> {
    if (this.#session) await cancel(this.#repository, this.#session);
    this.#session = undefined;
    this.#isBegun = false;
  }

  async #attempt(attempt: number): Promise<Outcome<void>> {
    const { size } = this.#descriptor;
    if (attempt > 1 || this.#isBegun) {
      if (await isThere(this.#repository, this.#descriptor, this.#options)) return { done: undefined };
      if (this.#session) this.#session = await status(this.#repository, this.#session, this.#options);
      if (this.#session && this.#session.offset > size) this.#session = undefined;
    }
    try {
      if (attempt === 1 && this.#session === undefined) {
        const posted = await this.#post();
        if (posted === "stored") return { done: undefined };
        this.#session = posted;
      }
    } catch (error) {
      if (!isStaveError(error) || !isPassing(error)) throw error;
      return { again: error };
    }
    this.#session ??= await openSession(this.#repository, this.#options);
    try {
      await this.#send(this.#session);
      return { done: undefined };
    } catch (error) {
      this.#takeBack(this.#session.offset);
      if (!isStaveError(error)) throw error;
      if (error.status === 413 && !this.#inChunks) {
        this.#inChunks = true;
        abilitiesOf(this.#repository).refusesLarge = true;
        await this.#drop();
        return { again: error };
      }
      if (isSessionLost(error) && ++this.#lost < LOST_OFTEN) this.#session = undefined;
      else if (!isPassing(error)) throw error;
      return { again: error };
    }
  }

  async #post(): Promise<"stored" | Session | undefined> {
    if (!mayPostWhole(this.#repository, this.#descriptor)) return undefined;
    return await postWhole(this.#repository, this.#descriptor, this.#source, this.#options);
  }

  async #send(session: Session): Promise<void> {
    const { size } = this.#descriptor;
    this.#tell(session.offset - this.#told);
    if (this.#inChunks || session.offset > 0) {
      this.#isBegun = true;
      await sendChunks(this.#repository, session, this.#source, this.#options, (count) => this.#tell(count));
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

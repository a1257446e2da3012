// Frees the memory of chunks early. The garbage collector sees only a small object in front of a large buffer, lets
// megabytes pile up and then marks the whole heap again and again; so the last user of a chunk frees it at once.

/** Freeing less is not worth its time, in bytes. */
const LEAST = 4096;

/**
 * The memory of a chunk that has a buffer of its own; undefined for a part of a larger buffer, which others may share.
 * A part of Node's pool is never a whole buffer: it has at most half of the pool.
 */
export function wholeMemory({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  const isWhole = byteLength === buffer.byteLength && byteLength >= LEAST;
  return isWhole && buffer instanceof ArrayBuffer ? buffer : undefined;
}

/** Frees the memory of a chunk that has a buffer of its own; the chunk is empty afterwards. */
export function release(chunk: Uint8Array): void {
  wholeMemory(chunk)?.transfer(0);
}

/** A copy that has memory of its own. */
export function ownCopy(bytes: Uint8Array): Buffer {
  return joined([bytes]);
}

/** Joins chunks into one buffer that has memory of its own, and frees them. */
export function joinAndRelease(chunks: readonly Uint8Array[]): Buffer {
  const whole = joined(chunks);
  for (const chunk of chunks) release(chunk);
  return whole;
}

function joined(chunks: readonly Uint8Array[]): Buffer {
  const whole = Buffer.allocUnsafeSlow(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const given = new WeakSet<object>();

/** Marks a stream as one whose chunks are of no use to anyone but its reader, who may free them. */
export function giveAway<T extends object>(stream: T): T {
  given.add(stream);
  return stream;
}

/** Frees chunks of a stream that was marked by `giveAway`; those of others are left alone. */
export function releaserOf(stream: object): ((chunk: Uint8Array) => void) | undefined {
  return given.has(stream) ? release : undefined;
}

/**
 * Frees the whole buffer behind a chunk; the caller guarantees that nothing else in it is in use. Shared memory and
 * Node's pool for small buffers are left alone.
 */
export function releaseAround({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}

// Memory of chunks that are done with. The collector sees a small object where there is a large buffer, lets megabytes of
// them pile up and then marks everything there is, again and again; whoever uses a chunk last gives it back at once.

/** The memory of a chunk that fills it alone; undefined for a part of something larger, in which others may be. */
export function wholeMemory({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  const isWhole = byteLength === buffer.byteLength && byteLength > Buffer.poolSize;
  return isWhole && buffer instanceof ArrayBuffer ? buffer : undefined;
}

/** Gives the memory of a chunk back, if it fills it alone; the chunk is empty afterwards. */
export function release(chunk: Uint8Array): void {
  wholeMemory(chunk)?.transfer(0);
}

/**
 * Gives back all memory behind a chunk, of which the caller knows that nothing else in it is in use. What threads share, and
 * Node's pool for small buffers, is left alone.
 */
export function releaseAround({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}

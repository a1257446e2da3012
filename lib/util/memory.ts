// Frees the memory of chunks early. The garbage collector sees only a small object in front of a large buffer, lets
// megabytes pile up and then marks the whole heap again and again; so the last user of a chunk frees it at once.

/**
 * The memory of a chunk that has a buffer of its own; undefined for a part of a larger buffer, which others may share.
 */
export function wholeMemory({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  const isWhole = byteLength === buffer.byteLength && byteLength > Buffer.poolSize;
  return isWhole && buffer instanceof ArrayBuffer ? buffer : undefined;
}

/** Frees the memory of a chunk that has a buffer of its own; the chunk is empty afterwards. */
export function release(chunk: Uint8Array): void {
  wholeMemory(chunk)?.transfer(0);
}

/**
 * Frees the whole buffer behind a chunk; the caller guarantees that nothing else in it is in use. Shared memory and
 * Node's pool for small buffers are left alone.
 */
export function releaseAround({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}

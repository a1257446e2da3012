// libdeflate compiled to WebAssembly: faster than Node's zlib, and its output does not depend on the version of Node or
// on the processor.
import { deflate as libdeflate } from "libdeflate";

/** Identifies the compressor; another version may produce different bytes. */
export const DEFLATE_ENGINE = "libdeflate 0.1.0";

/** Compresses into one complete deflate stream (RFC 1951), at level 1 to 12. */
export function deflate(bytes: Uint8Array, level: number): Buffer {
  prepare();
  const { buffer, byteOffset, length } = libdeflate(bytes, level);
  return Buffer.from(buffer, byteOffset, length);
}

let isPrepared = false;

// The generated WebAssembly wrapper installs process-wide error listeners, which would change how the process exits.
function prepare(): void {
  if (isPrepared) return;
  isPrepared = true;
  const errors = new Set(process.listeners("uncaughtException"));
  const rejections = new Set(process.listeners("unhandledRejection"));
  libdeflate(new Uint8Array(1), 1);
  for (const listener of process.listeners("uncaughtException"))
    if (!errors.has(listener)) process.off("uncaughtException", listener);
  for (const listener of process.listeners("unhandledRejection"))
    if (!rejections.has(listener)) process.off("unhandledRejection", listener);
}

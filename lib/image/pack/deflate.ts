// libdeflate compiled to WebAssembly: quicker than the zlib of Node, and its output is the same whatever version of Node
// and whatever processor runs it.
import { deflate as libdeflate } from "libdeflate";

/** Names what makes the bytes; another version may make others. */
export const DEFLATE_ENGINE = "libdeflate 0.1.0";

/** Compresses into one complete deflate stream (RFC 1951), at level 1 to 12. */
export function deflate(bytes: Uint8Array, level: number): Buffer {
  prepare();
  const { buffer, byteOffset, length } = libdeflate(bytes, level);
  return Buffer.from(buffer, byteOffset, length);
}

let isPrepared = false;

// What is generated around the WebAssembly listens for errors of the whole process, and would change how it ends.
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

// Files inside a single executable: the code of threads and the native library, which have no files of their own there.
import { getRawAsset, isSea } from "node:sea";

/** A file inside this executable, not to be changed; undefined if this is no single executable of stave. */
export function embeddedFile(name: string): Uint8Array | undefined {
  if (!isSea()) return undefined;
  try {
    return new Uint8Array(getRawAsset(name) as ArrayBuffer);
  } catch {
    // A program that contains the library of stave has its files elsewhere.
    return undefined;
  }
}

// Gives freed memory back to the system: glibc keeps the gaps that short-lived buffers leave between long-lived ones.
import { koffi } from "./koffi.ts";

/** Gives back what it can, in a few milliseconds. Does nothing if the C library has no malloc_trim. */
export function giveBackFreedMemory(): void {
  trim ??= trimFunction();
  trim(0);
}

let trim: ((pad: number) => unknown) | undefined;

function trimFunction(): (pad: number) => unknown {
  try {
    return koffi().load(null).func("int malloc_trim(size_t pad)");
  } catch {
    return () => 0;
  }
}

// Keeps freed memory from staying with the process: glibc keeps the gaps that short-lived buffers leave between
// long-lived ones.
import { koffi } from "./koffi.ts";

/** The option of mallopt for the size from which on an allocation has pages of its own (glibc `malloc.h`). */
const M_MMAP_THRESHOLD = -3;
/** That size, in bytes: configs and archives of small specs are larger, what a connection needs is smaller. */
const OWN_PAGES = 256 * 1024;

/**
 * From now on, large allocations have pages of their own, which go back to the system at once. By default, glibc raises
 * the size from which on they have with the first that are freed, up to 32 MiB. Does nothing in other C libraries.
 */
export function separateLargeMemory(): void {
  call("int mallopt(int option, int value)", M_MMAP_THRESHOLD, OWN_PAGES);
}

/** Gives back what it can, in a few milliseconds. Does nothing in C libraries that have no malloc_trim. */
export function giveBackFreedMemory(): void {
  call("int malloc_trim(size_t pad)", 0);
}

const functions = new Map<string, (...values: number[]) => unknown>();

function call(declaration: string, ...values: number[]): void {
  const found = functions.get(declaration) ?? find(declaration);
  functions.set(declaration, found);
  found(...values);
}

function find(declaration: string): (...values: number[]) => unknown {
  try {
    return koffi().load(null).func(declaration);
  } catch {
    return () => 0;
  }
}

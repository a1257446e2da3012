// Keeps freed memory from staying with the process: glibc keeps the gaps that short-lived buffers leave between
// long-lived ones.
import { koffi } from "./koffi.ts";

/** The option of mallopt for the size from which on an allocation gets pages of its own (glibc `malloc.h`). */
const M_MMAP_THRESHOLD = -3;
/** That size, in bytes: configs and archives of small specs are larger, what a connection needs is smaller. */
const OWN_PAGES = 256 * 1024;

/**
 * From now on, large allocations get pages of their own, which go back to the system when they are freed. By default,
 * glibc raises this size, up to 32 MiB, whenever such an allocation is freed. Does nothing in other C libraries.
 */
export function separateLargeMemory(): void {
  callC("int mallopt(int option, int value)", M_MMAP_THRESHOLD, OWN_PAGES);
}

/** Gives back what it can, in a few milliseconds. Does nothing in C libraries that have no malloc_trim. */
export function giveBackFreedMemory(): void {
  callC("int malloc_trim(size_t pad)", 0);
}

const functions = new Map<string, (...values: number[]) => unknown>();

function callC(declaration: string, ...values: number[]): void {
  const found = functions.get(declaration) ?? findFunction(declaration);
  functions.set(declaration, found);
  found(...values);
}

function findFunction(declaration: string): (...values: number[]) => unknown {
  try {
    return koffi().load(null).func(declaration);
  } catch {
    return () => 0;
  }
}

// Keeps freed memory from staying with the process: glibc keeps the gaps that short-lived buffers leave between
// long-lived ones.
import { koffi } from "./koffi.ts";

/** The option of mallopt for the size from which on an allocation gets pages of its own (glibc `malloc.h`). */
const M_MMAP_THRESHOLD = -3;
/** That size, in bytes: configs and archives of small specs are larger, what a connection needs is smaller. */
const OWN_PAGES = 256 * 1024;
/** The option of mallopt for how much free memory at the end of a heap stays with the process (glibc `malloc.h`). */
const M_TRIM_THRESHOLD = -1;
/** That much, in bytes, for each thread's heap; malloc_trim reaches the end of the first heap only. */
const KEPT_FREE = 512 * 1024;

/**
 * From now on, large allocations get pages of their own, which go back to the system when they are freed, and so does
 * free memory at the end of a heap. By default, glibc raises both sizes, up to 32 and 64 MiB, whenever an allocation
 * with pages of its own is freed. Does nothing in other C libraries.
 */
export function separateLargeMemory(): void {
  // Each setting stops glibc from raising both, and leaves the other as high as it was.
  setOption(M_MMAP_THRESHOLD, OWN_PAGES);
  setOption(M_TRIM_THRESHOLD, KEPT_FREE);
}

function setOption(option: number, value: number): void {
  callC("int mallopt(int option, int value)", option, value);
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

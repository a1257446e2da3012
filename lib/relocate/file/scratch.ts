// Scratch memory for files processed in one go: one reused buffer per thread, because allocating one per small file
// overwhelms the garbage collector.

const LARGEST = 4 << 20;

let memory: Buffer = Buffer.alloc(0);
let isTaken = false;

/** Lends a buffer while `work` runs, which must neither keep it nor await anything. */
export function withScratch<T>(size: number, work: (buffer: Buffer) => T): T {
  if (isTaken || size > LARGEST) return work(Buffer.allocUnsafeSlow(size));
  if (memory.length < size) memory = Buffer.allocUnsafeSlow(Math.min(LARGEST, Math.max(1 << 18, 2 * size)));
  isTaken = true;
  try {
    return work(memory.subarray(0, size));
  } finally {
    isTaken = false;
  }
}

// Memory for files that are read and changed in one go: one buffer per thread that is used again and again, because a new one
// for each of many small files is more than the collector keeps up with.

const LARGEST = 4 << 20;

let memory: Buffer = Buffer.alloc(0);
let isTaken = false;

/** Lends a buffer of a size while `work` runs, which must neither keep it nor wait for anything. */
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

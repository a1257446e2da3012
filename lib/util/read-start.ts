// Reads the start of files that have no size, such as those in /proc, which are generated while they are read.
import { closeSync, constants, openSync, readSync } from "node:fs";

const AT_ONCE = 64 * 1024;

/** The first `limit` bytes of a file as text; undefined if it cannot be read. */
export function readStart(path: string, limit: number): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const parts: Buffer[] = [];
    for (let left = limit; left > 0; ) {
      const part = Buffer.allocUnsafe(Math.min(left, AT_ONCE));
      const count = readSync(file, part, 0, part.length, null);
      if (count === 0) break;
      parts.push(part.subarray(0, count));
      left -= count;
    }
    return Buffer.concat(parts).toString("utf8");
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

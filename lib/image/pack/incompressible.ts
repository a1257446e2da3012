// Detects incompressible bytes by sampling.

// Samples of this length at this distance: 1 byte in 16.
const RUN = 64;
const STEP = 1024;
// For N random bytes, the sum of the squared counts of the 256 values is N + N²/256. Text reaches 20 times that,
// programs 3 to 8 times, archives with their headers hardly more. Below this factor there is almost nothing to gain.
const SLACK = 1.06;

/** True if bytes look random; always false for short input. */
export function isIncompressible(bytes: Buffer): boolean {
  if (bytes.length < 16 * STEP) return false;
  const counts = new Uint32Array(256);
  let seen = 0;
  for (let from = 0; from + RUN <= bytes.length; from += STEP) {
    for (let at = from; at < from + RUN; at++) {
      const byte = bytes[at] ?? 0;
      counts[byte] = (counts[byte] ?? 0) + 1;
    }
    seen += RUN;
  }
  let squares = 0;
  for (const count of counts) squares += count * count;
  return squares < (seen + (seen * seen) / 256) * SLACK;
}

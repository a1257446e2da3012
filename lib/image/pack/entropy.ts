// Tells bytes that no compression makes smaller from others, by a look at a few of them.

// Runs of this length, at this distance: 1 byte in 16.
const RUN = 64;
const STEP = 1024;
// For N random bytes the counts of the 256 values, squared, add up to N + N²/256; text reaches 20 times that, programs 3
// to 8 times, archives with their headers hardly more. Up to this factor there is next to nothing to gain.
const SLACK = 1.06;

/** Whether a stretch of bytes looks like random numbers: short stretches never do. */
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

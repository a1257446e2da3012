// The cache of the dynamic loader, /etc/ld.so.cache, as `ldconfig` of glibc writes it.
import type { ByteString } from "../util/byte-string.ts";

/** An entry: a library by its name, and its file. */
export interface CachedLibrary {
  readonly name: ByteString;
  readonly path: ByteString;
}

const MAGIC = "glibc-ld.so.cache1.1";
const OLD_MAGIC = "ld.so-1.7.0";
const MOST_ENTRIES = 200_000;
const ELF_LIBC6 = 3;

/** Reads the entries in their order. Of a malformed cache, those before the damage; the loader does the same. */
export function readLibraryCache(bytes: Buffer): CachedLibrary[] {
  const start = formatStart(bytes);
  if (start < 0 || start + 48 > bytes.length) return [];
  const cache = bytes.subarray(start);
  // Byte 28 says the byte order (glibc 2.33 and later): 2 is little-endian, 3 is big-endian.
  const isBig = cache[28] === 3;
  const u32 = (at: number): number => (isBig ? cache.readUInt32BE(at) : cache.readUInt32LE(at));
  const text = (at: number): ByteString | undefined => {
    const end = at < cache.length ? cache.indexOf(0, at) : -1;
    return end < 0 || end - at > 4096 ? undefined : cache.toString("latin1", at, end);
  };
  const found: CachedLibrary[] = [];
  const count = Math.min(u32(20), MOST_ENTRIES);
  for (let at = 48, left = count; left > 0 && at + 24 <= cache.length; at += 24, left--) {
    if ((u32(at) & 0xff) !== ELF_LIBC6) continue;
    const [name, path] = [text(u32(at + 4)), text(u32(at + 8))];
    if (name === undefined || path === undefined) break;
    found.push({ name, path });
  }
  return found;
}

// The current format may follow the old one, aligned to 8 bytes.
function formatStart(bytes: Buffer): number {
  if (bytes.toString("latin1", 0, MAGIC.length) === MAGIC) return 0;
  if (bytes.toString("latin1", 0, OLD_MAGIC.length) !== OLD_MAGIC) return -1;
  return bytes.indexOf(MAGIC, 0, "latin1");
}

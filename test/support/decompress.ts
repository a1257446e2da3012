// Decompresses in memory, with the code of the program.
import { type CompressionMethod, Decompressor } from "../../lib/util/decompress.ts";

/** The decompressed content of chunks, read in order. */
export async function decompressed(method: CompressionMethod, chunks: readonly Buffer[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  using decompressor = new Decompressor(method, (bytes) => void pieces.push(Buffer.from(bytes)), "the content");
  for (const chunk of chunks) await decompressor.write(chunk);
  await decompressor.end();
  return Buffer.concat(pieces);
}

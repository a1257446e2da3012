// Reads zstd content of several frames (RFC 8878, 3.1: frames may follow each other). Node's decoder stops at the end of
// the first frame when more follows in the same chunk, and says nothing (seen in Node 24.21, 2026-11-21).
import { Transform, type TransformCallback } from "node:stream";
import { createZstdDecompress, type ZstdDecompress } from "node:zlib";

/** Decompresses everything that is written to it; about each frame it is as strict as Node's decoder. */
export function createZstdReader(): Transform {
  return new ZstdReader();
}

class ZstdReader extends Transform {
  // The decoder of the frame under way.
  #decoder: ZstdDecompress | undefined;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#decoder ??= this.#open();
    const decoder = this.#decoder;
    const before = decoder.bytesWritten;
    decoder.write(chunk, (error) => {
      const taken = decoder.bytesWritten - before;
      if (error || taken === chunk.length) done(error);
      // The frame has ended inside the chunk: the rest belongs to the next one.
      else this.#end(decoder, () => this._transform(chunk.subarray(taken), "binary", done));
    });
  }

  override _flush(done: TransformCallback): void {
    if (this.#decoder === undefined) done();
    else this.#end(this.#decoder, done);
  }

  override _read(size: number): void {
    this.#decoder?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#decoder?.destroy();
    done(error);
  }

  #open(): ZstdDecompress {
    const decoder = createZstdDecompress();
    decoder.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) decoder.pause();
    });
    decoder.on("error", (error) => this.destroy(error));
    return decoder;
  }

  #end(decoder: ZstdDecompress, then: () => void): void {
    const ended = (): void => {
      this.#decoder = undefined;
      then();
    };
    if (decoder.readableEnded) ended();
    else decoder.once("end", ended).end();
  }
}

// Follows the structure of zstd frames without decompressing them (RFC 8878, section 3.1), to check that content ends
// with a frame. Node 22 takes truncated content for complete; only Node 24 reports it.

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const DICTIONARY_SIZES = [0, 1, 2, 4];
const CONTENT_SIZES = [0, 2, 4, 8];
const RLE = 1;

type State = "magic" | "skippable size" | "descriptor" | "block";

/** Reads headers of frames and blocks, and skips everything else. */
export class ZstdFrames {
  #state: State = "magic";
  // The bytes of the header that is being read; the largest has 4.
  readonly #header = Buffer.alloc(4);
  #filled = 0;
  #skip = 0;
  #hasChecksum = false;
  #frames = 0;
  /** False if bytes follow that do not begin a frame. */
  isValid = true;

  /** True if at least one frame was read, and the last one to its end. */
  get isComplete(): boolean {
    return this.isValid && this.#frames > 0 && this.#state === "magic" && this.#filled === 0 && this.#skip === 0;
  }

  /** Reads the next bytes. */
  read(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.isValid; ) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      this.#header[this.#filled++] = chunk[at++] ?? 0;
      if (this.#filled < HEADER_SIZES[this.#state]) continue;
      const value = this.#header.readUIntLE(0, this.#filled);
      this.#filled = 0;
      this.#next(value);
    }
  }

  #next(value: number): void {
    if (this.#state === "magic") {
      if (value === FRAME) this.#state = "descriptor";
      else if ((value & ~0xf) >>> 0 === SKIPPABLE) this.#state = "skippable size";
      else this.isValid = false;
    } else if (this.#state === "skippable size") {
      this.#skip = value;
      this.#end();
    } else if (this.#state === "descriptor") {
      const isSingleSegment = (value & 0x20) !== 0;
      this.#hasChecksum = (value & 4) !== 0;
      const contentSize = CONTENT_SIZES[value >> 6] ?? 0;
      this.#skip = (isSingleSegment ? Math.max(1, contentSize) : 1 + contentSize) + (DICTIONARY_SIZES[value & 3] ?? 0);
      this.#state = "block";
    } else {
      const isLast = (value & 1) === 1;
      this.#skip = ((value >> 1) & 3) === RLE ? 1 : value >> 3;
      if (!isLast) return;
      if (this.#hasChecksum) this.#skip += 4;
      this.#end();
    }
  }

  #end(): void {
    this.#frames++;
    this.#state = "magic";
  }
}

const HEADER_SIZES: Record<State, number> = { magic: 4, "skippable size": 4, descriptor: 1, block: 3 };

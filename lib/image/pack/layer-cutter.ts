// Cuts a layer as it is: takes its first and last member off, which hold the folders above its prefixes and the end of
// its archive, and passes on what is between, without decompressing it.
import type { CompressionMethod } from "../../util/decompress.ts";
import { type TarFolder, TarSplitter } from "../archive/tar-splitter.ts";
import { type Compression, compressPiece } from "./compression.ts";
import { beginsMember, firstMember, lastMember } from "./member.ts";

/** The layer was not divided by stave: it must be decompressed to be cut. */
export class NotDivided extends Error {}

// More than the largest first member of stave has: a piece of 2 MiB.
const FIRST_LIMIT = 4 * 1024 * 1024;
/** The end of an archive has at most 10 KiB of zeros, which take far less. */
const TAIL = 512;
const END_LIMIT = 16 * 1024;

/** The first member of a layer. */
export interface LayerStart {
  /** Its length in the layer. */
  readonly length: number;
  /** The folders that it begins with. */
  readonly folders: readonly TarFolder[];
  /** The entries behind these; layers of earlier versions have some in the same member. */
  readonly rest: Buffer;
}

/** Finds the first member of a layer that is pushed piece by piece. */
export class StartFinder {
  readonly #method: CompressionMethod;
  readonly #known: LayerStart | undefined;
  /** The bytes pushed so far. */
  bytes: Buffer = Buffer.alloc(0);
  // How much must be there before it is tried again.
  #next = 0;

  /** With a known first member, waits for its bytes only. */
  constructor(method: CompressionMethod, known?: LayerStart) {
    this.#method = method;
    this.#known = known;
  }

  /** Takes the next bytes; returns the first member once it is complete. Throws NotDivided. */
  push(chunk: Buffer, isLast = false): LayerStart | undefined {
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
    if (this.#known !== undefined && this.bytes.length >= this.#known.length) return this.#known;
    if (this.bytes.length < this.#next && !isLast) return undefined;
    const member = firstMember(this.#method, this.bytes, FIRST_LIMIT);
    if (member === undefined) {
      const isOther = this.bytes.length >= 4 && !beginsMember(this.#method, this.bytes);
      if (isOther || isLast || this.bytes.length > FIRST_LIMIT) throw new NotDivided();
      this.#next = 2 * this.bytes.length;
      return undefined;
    }
    const splitter = new TarSplitter(() => {}, "a layer");
    splitter.push(member.content);
    if (splitter.hasEnded) throw new NotDivided();
    const { folders, folderBytes } = splitter;
    return { length: member.length, folders, rest: member.content.subarray(folderBytes) };
  }
}

/** Cuts one layer that is pushed piece by piece. */
export class LayerCutter {
  readonly #compression: Compression;
  readonly #method: CompressionMethod;
  #start: StartFinder | undefined;
  // The last bytes, which may hold the end of the archive.
  #tail: Buffer = Buffer.alloc(0);
  /** The bytes of the end of the archive. */
  endSize = 0;

  /**
   * `compression` is that of what must be compressed again: entries in the first member, which need not be found again
   * if it is `known`.
   */
  constructor(compression: Compression, known?: LayerStart) {
    this.#compression = compression;
    this.#method = compression.method;
    this.#start = new StartFinder(compression.method, known);
  }

  /** Takes the next bytes of the layer; returns those to pass on. Throws NotDivided. */
  push(chunk: Buffer, isLast = false): Buffer[] {
    if (this.#start === undefined) {
      if (chunk.length < TAIL) return this.#holdBack(Buffer.concat([this.#tail, chunk]));
      return [this.#tail, ...this.#holdBack(chunk)];
    }
    const start = this.#start.push(chunk, isLast);
    if (start === undefined) return [];
    const behind = this.#start.bytes.subarray(start.length);
    this.#start = undefined;
    // Compressed pieces may be views of memory that is used again.
    const again = start.rest.length === 0 ? [] : compressPiece(this.#compression, start.rest);
    return [...again.map((part) => Buffer.from(part)), ...this.#holdBack(behind)];
  }

  /** Ends the layer; returns the last bytes to pass on. Throws NotDivided. */
  end(): Buffer[] {
    const out = this.#start === undefined ? [] : this.push(Buffer.alloc(0), true);
    const end = lastMember(this.#method, this.#tail, END_LIMIT);
    if (end === undefined || end.content.some((byte) => byte !== 0)) throw new NotDivided();
    this.endSize = end.content.length;
    return [...out, this.#tail.subarray(0, end.at)];
  }

  #holdBack(bytes: Buffer): Buffer[] {
    const at = Math.max(0, bytes.length - TAIL);
    this.#tail = bytes.subarray(at);
    return at === 0 ? [] : [bytes.subarray(0, at)];
  }
}

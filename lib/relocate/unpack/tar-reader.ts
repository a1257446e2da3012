// Reads tar archives strictly: what Python's `tarfile` writes (POSIX pax, and GNU as before Python 3.8), with names as
// bytes. Anything that another reader could interpret differently is refused. Node's usual reader decodes names as
// UTF-8 and drops pax records that are not, which gives such files wrong names; Spack's archives may contain them.
import { StaveError } from "../../errors.ts";
import { hasChecksum, isKnownFormat, nameIn, numberAt, TarRecords, textAt } from "../../image/archive/tar-records.ts";
import { BLOCK, padding, type TarType } from "../../image/archive/tar-writer.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { withoutTrailing } from "../../util/without-trailing.ts";

/** One entry, as its headers describe it. */
export interface TarMember {
  readonly type: TarType;
  /** Directories without their trailing slash. */
  readonly name: ByteString;
  /** The target of a symlink, or the entry name that a hard link refers to; empty otherwise. */
  readonly linkName: ByteString;
  /** Permissions, setuid, setgid and sticky bit. */
  readonly mode: number;
  /** The bytes of content; 0 for everything but files. */
  readonly size: number;
}

/** Receives the members in order. */
export interface TarVisitor {
  member(member: TarMember): void;
  /** The next bytes of the current file, valid only during the call. */
  content(bytes: Buffer): void;
  /** The current file is complete; called for empty files too. */
  contentEnd(): void;
}

/** Maximum number of bytes of a header for another header (long names, pax records). */
const META_LIMIT = 1 << 20;
/** The longest name or target: Linux' PATH_MAX. */
const NAME_LIMIT = 4096;

const FILE_TYPES: ReadonlyMap<string, TarType> = new Map([
  ["0", "file"],
  ["\0", "file"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["5", "directory"],
]);
// Headers that describe the next one: pax records, a GNU long name, a GNU long target.
const META_TYPES = new Set(["x", "g", "L", "K"]);
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["3", "a character device"],
  ["4", "a block device"],
  ["6", "a FIFO"],
]);

/** Parses an archive that is pushed piece by piece. Throws ARCHIVE_UNSAFE and CONTENT_INVALID, naming the member. */
export class TarReader {
  readonly #visitor: TarVisitor;
  readonly #isForeign: boolean;
  #partial: Buffer = Buffer.alloc(0);
  // The bytes still to come of the member's content and of its padding.
  #content = 0;
  #padding = 0;
  #isFile = false;
  #meta: { type: string; parts: Buffer[] } | undefined;
  #overrides = new TarRecords(failure);
  #hasEnded = false;
  #members = 0;

  /**
   * `isForeign`: the archive is a layer made by another tool. It may also contain devices and FIFOs, which are passed
   * over, records of file attributes, and padding of any content after its end.
   */
  constructor(visitor: TarVisitor, { isForeign = false }: { isForeign?: boolean } = {}) {
    this.#visitor = visitor;
    this.#isForeign = isForeign;
  }

  /** Takes the next bytes. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#content > 0) {
        const piece = chunk.subarray(at, at + this.#content);
        at += piece.length;
        this.#content -= piece.length;
        if (this.#meta) this.#meta.parts.push(Buffer.from(piece));
        else this.#visitor.content(piece);
        if (this.#content === 0) this.#endContent();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, chunk.length - at);
        at += skipped;
        this.#padding -= skipped;
      } else if (this.#partial.length > 0 || chunk.length - at < BLOCK) {
        const piece = chunk.subarray(at, at + BLOCK - this.#partial.length);
        at += piece.length;
        this.#partial = Buffer.concat([this.#partial, piece]);
        if (this.#partial.length < BLOCK) continue;
        const block = this.#partial;
        this.#partial = Buffer.alloc(0);
        this.#block(block);
      } else {
        this.#block(chunk.subarray(at, at + BLOCK));
        at += BLOCK;
      }
    }
  }

  /**
   * Passes over the content of the current file and its padding, for a caller that can: returns how many bytes of the
   * archive must not be pushed.
   */
  skipContent(): number {
    if (this.#meta || this.#partial.length > 0) return 0;
    const left = this.#content + this.#padding;
    if (this.#content > 0) {
      this.#content = 0;
      this.#endContent();
    }
    this.#padding = 0;
    return left;
  }

  /** Ends the input. Throws CONTENT_INVALID if the end of the archive is missing. */
  end(): void {
    const isWhole = this.#isForeign ? this.#content === 0 : this.#hasEnded;
    if (!isWhole || this.#partial.length > 0)
      throw invalid("ends in the middle, expected two blocks of zeros at its end");
  }

  #block(block: Buffer): void {
    if (isZero(block)) {
      if (this.#overrides.path !== undefined || this.#overrides.linkpath !== undefined)
        throw invalid("ends where a member was announced");
      this.#hasEnded = true;
      return;
    }
    // Some readers stop at the first block of zeros, others do not.
    if (this.#hasEnded && this.#isForeign) return;
    if (this.#hasEnded) throw unsafe("has data after its end");
    this.#header(block);
  }

  #header(block: Buffer): void {
    const what = `member ${++this.#members}`;
    if (!hasChecksum(block)) throw invalid(`has a wrong checksum in the header of ${what}`);
    if (!isKnownFormat(block)) throw invalid(`has an unknown format in the header of ${what}`);
    const flag = block.toString("latin1", 156, 157);
    const size = numberAt(block, 124, 12) ?? invalidNumber(what, "size");
    if (META_TYPES.has(flag)) {
      if (size > META_LIMIT) throw unsafe(`has a header of ${size} bytes for ${what}, expected at most ${META_LIMIT}`);
      this.#meta = { type: flag, parts: [] };
      this.#begin(size);
      return;
    }
    if (this.#isForeign && REFUSED.has(flag)) {
      this.#overrides = new TarRecords(failure);
      return;
    }
    const member = this.#member(block, what, flag, size);
    this.#overrides = new TarRecords(failure);
    this.#visitor.member(member);
    this.#isFile = member.type === "file";
    this.#begin(member.size);
  }

  #member(block: Buffer, what: string, flag: string, size: number): TarMember {
    const { path, linkpath } = this.#overrides;
    const given = path ?? nameIn(block);
    const shown = given === "" ? what : shownName(given);
    // Very old archives mark folders only by their name.
    const isOldFolder = FILE_TYPES.get(flag) === "file" && given.endsWith("/");
    const type = isOldFolder && this.#isForeign ? "directory" : FILE_TYPES.get(flag);
    if (type === undefined)
      throw unsafe(`has ${REFUSED.get(flag) ?? `a member of type ${JSON.stringify(flag)}`}: ${shown}`);
    if (type === "file" && isOldFolder) throw unsafe(`has a file whose name ends with a slash: ${shown}`);
    const name = type === "directory" ? withoutTrailing(given, "/") : given;
    const isLink = type === "symlink" || type === "hardlink";
    const linkName = linkpath ?? textAt(block, 157, 100);
    // Other readers, too, take links and folders to be without content whatever their size.
    const bytes = this.#isForeign && type !== "file" ? 0 : (this.#overrides.size ?? size);
    if (name === "" || name.length > NAME_LIMIT) throw unsafe(`has a name of ${name.length} bytes: ${shown}`);
    if (isLink && (linkName === "" || linkName.length > NAME_LIMIT))
      throw unsafe(`has a link with a target of ${linkName.length} bytes: ${shown}`);
    if (!isLink && linkName !== "" && !this.#isForeign) throw unsafe(`has a target but is not a link: ${shown}`);
    if (type !== "file" && bytes !== 0) throw unsafe(`has contents for a ${type}: ${shown}`);
    const mode = numberAt(block, 100, 8) ?? invalidNumber(shown, "mode");
    return { type, name, linkName: isLink ? linkName : "", mode: mode & 0o7777, size: bytes };
  }

  #begin(size: number): void {
    this.#content = size;
    this.#padding = padding(size, BLOCK);
    if (size === 0) this.#endContent();
  }

  #endContent(): void {
    const meta = this.#meta;
    this.#meta = undefined;
    if (meta) this.#overrides.add(meta.type, Buffer.concat(meta.parts).toString("latin1"));
    else if (this.#isFile) this.#visitor.contentEnd();
    if (!meta) this.#isFile = false;
  }
}

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.equals(ZEROS);
}

const ZEROS = Buffer.alloc(BLOCK);

function invalidNumber(what: string, field: string): never {
  throw invalid(`has no ${field} for ${what}`);
}

function failure(code: "CONTENT_INVALID" | "ARCHIVE_UNSAFE", how: string): StaveError {
  return code === "CONTENT_INVALID" ? invalid(how) : unsafe(how);
}

function invalid(how: string): StaveError {
  return new StaveError("CONTENT_INVALID", `the archive ${how}`, { hint: "push the spec again" });
}

function unsafe(how: string): StaveError {
  return new StaveError("ARCHIVE_UNSAFE", `the archive ${how}`, {
    hint: "it was not made by Spack or stave; do not use it",
  });
}

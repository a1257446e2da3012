// Writes a layer as eStargz (stargz-snapshotter, docs/estargz.md): a gzip layer whose files can be fetched one by one.
// The content of each file begins with a gzip member of its own; a table of these, itself an entry of the archive,
// follows, and a footer that says where it is. Readers that do not know this see an ordinary layer.
import { isUtf8 } from "node:buffer";
import { crc32 } from "node:zlib";
import { StaveError } from "../../errors.ts";
import { type Digest, Digester, digestOf } from "../../oci/digest.ts";
import { shownName } from "../../util/byte-string.ts";
import { contentLength, headersLength, readHeaders, type TarHeaders } from "../archive/tar-headers.ts";
import { BLOCK, endOfArchive, padding, tarHeader } from "../archive/tar-writer.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";

/** The annotation of a layer with the digest of its table. */
export const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";
/** The annotation with the size of the archive, which podman wants for partial pulls. */
export const UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size";

/** What is known of a layer once it is written. */
export interface EstargzSummary {
  readonly diffId: Digest;
  /** The digest of the table's text. */
  readonly tocDigest: Digest;
  /** The size of the archive with the table, in bytes. */
  readonly archiveSize: number;
}

/** Files are divided into chunks of this size, each of which is verified on its own. */
const CHUNK = 4 * 1024 * 1024;
const TABLE = "stargz.index.json";
/** Says that no file needs to be fetched before the container starts. */
const LANDMARK = ".no.prefetch.landmark";
const LANDMARK_CONTENT = Buffer.from([0x0f]);

interface TableEntry {
  name: string;
  type: "reg" | "dir" | "symlink" | "hardlink" | "chunk";
  size?: number;
  linkName?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  offset?: number;
  digest?: Digest;
  chunkOffset?: number;
  chunkSize?: number;
  chunkDigest?: Digest;
}

const TYPES: ReadonlyMap<string, TableEntry["type"]> = new Map([
  ["0", "reg"],
  ["\0", "reg"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["5", "dir"],
]);

/** The file whose content is being written. */
interface OpenFile {
  readonly entry: TableEntry;
  readonly size: number;
  readonly digester: Digester;
  chunk: TableEntry;
  chunkDigester: Digester;
  written: number;
}

/**
 * Turns an archive that is pushed piece by piece into a layer. Throws CONTENT_INVALID if it is no archive,
 * ARCHIVE_UNSAFE if other readers could take it for another one, UNSUPPORTED for a name that the table cannot hold.
 */
export class EstargzWriter {
  readonly #compression: Compression;
  readonly #subject: string;
  readonly #archive = new Digester();
  readonly #table: TableEntry[] = [];
  // What is compressed next, into members that no offset points into.
  #waiting: Buffer[] = [];
  #waitingSize = 0;
  // The bytes of the layer so far.
  #size = 0;
  #out: Buffer[] = [];
  // The headers of the next entry, as far as they were pushed.
  #header: Buffer = Buffer.alloc(0);
  #file: OpenFile | undefined;
  // The padding that is still to come.
  #padding = 0;
  #hasEnded = false;

  constructor(compression: Compression, subject: string) {
    this.#compression = compression;
    this.#subject = subject;
    const headers = tarHeader({ type: "file", name: LANDMARK, linkName: "", executable: false, size: 1 });
    this.#take(Buffer.concat([headers, LANDMARK_CONTENT, Buffer.alloc(padding(1, BLOCK))]));
  }

  /** Takes the next bytes of the archive; returns those of the layer that are complete. */
  push(chunk: Buffer): Buffer[] {
    this.#take(chunk);
    return this.#taken();
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#hasEnded) {
      if (this.#file !== undefined) at += this.#content(this.#file, chunk.subarray(at));
      else if (this.#padding > 0) {
        const count = Math.min(this.#padding, chunk.length - at);
        this.#write(chunk.subarray(at, at + count));
        this.#padding -= count;
        at += count;
      } else at += this.#headers(chunk.subarray(at));
    }
  }

  /** Ends the archive; returns the last bytes of the layer. */
  end(): { readonly bytes: Buffer[]; readonly summary: EstargzSummary } {
    if (!this.#hasEnded)
      throw new StaveError("CONTENT_INVALID", `the archive of ${this.#subject} has no end`, { subject: this.#subject });
    this.#flush();
    const offset = this.#size;
    const text = Buffer.from(JSON.stringify({ version: 1, entries: this.#table }));
    const header = tarHeader({ type: "file", name: TABLE, linkName: "", executable: false, size: text.length });
    this.#write(Buffer.concat([header, text, Buffer.alloc(padding(text.length, BLOCK))]));
    this.#write(endOfArchive(this.#archive.size + this.#waitingSize));
    this.#flush();
    this.#out.push(footer(offset));
    const summary = {
      diffId: this.#archive.digest(),
      tocDigest: digestOf(text),
      archiveSize: this.#archive.size,
    };
    return { bytes: this.#taken(), summary };
  }

  #headers(bytes: Buffer): number {
    const known = this.#header.length;
    const all = known === 0 ? bytes : Buffer.concat([this.#header, bytes.subarray(0, HEADERS_AT_ONCE)]);
    const length = headersLength(all, this.#subject);
    if (all.length < length) {
      this.#header = Buffer.from(all);
      return Math.min(bytes.length, all.length - known);
    }
    const own = all.subarray(0, length);
    this.#header = Buffer.alloc(0);
    const headers = readHeaders(own, this.#subject);
    if (headers === undefined) this.#hasEnded = true;
    else {
      this.#write(own);
      this.#begin(headers);
    }
    return length - known;
  }

  #begin(headers: TarHeaders): void {
    const { flag, size } = headers;
    const type = TYPES.get(flag);
    // Devices and the like are not in layers of specs.
    if (type === undefined) throw this.#unsupported(`a ${JSON.stringify(flag)} entry`);
    const entry: TableEntry = { name: this.#text(headers.name), type };
    if (type === "hardlink" || type === "symlink") entry.linkName = this.#text(headers.linkName);
    entry.mode = headers.mode;
    if (headers.user !== 0) entry.uid = headers.user;
    if (headers.group !== 0) entry.gid = headers.group;
    this.#table.push(entry);
    if (type !== "reg" || size === 0) return;
    entry.size = size;
    const digesters = { digester: new Digester(), chunkDigester: new Digester() };
    this.#file = { entry, size, chunk: entry, written: 0, ...digesters };
    this.#padding = contentLength(headers) - size;
    this.#openChunk(this.#file);
  }

  #openChunk({ chunk, size, written }: OpenFile): void {
    this.#flush();
    chunk.offset = this.#size;
    if (written > 0) chunk.chunkOffset = written;
    // The last one has no size: it is what is left.
    if (size - written > CHUNK) chunk.chunkSize = CHUNK;
  }

  #content(file: OpenFile, bytes: Buffer): number {
    const end = Math.min(file.size, Math.floor(file.written / CHUNK) * CHUNK + CHUNK);
    const part = bytes.subarray(0, end - file.written);
    file.digester.update(part);
    file.chunkDigester.update(part);
    file.written += part.length;
    this.#write(part);
    if (file.written < end) return part.length;
    file.chunk.chunkDigest = file.chunkDigester.digest();
    if (file.written < file.size) {
      file.chunk = { name: file.entry.name, type: "chunk" };
      file.chunkDigester = new Digester();
      this.#table.push(file.chunk);
      this.#openChunk(file);
    } else {
      file.entry.digest = file.digester.digest();
      this.#file = undefined;
    }
    return part.length;
  }

  #write(bytes: Buffer): void {
    // The bytes are valid during the call only.
    this.#waiting.push(Buffer.from(bytes));
    this.#waitingSize += bytes.length;
    if (this.#waitingSize >= pieceSizeOf(this.#compression)) this.#compress(false);
  }

  #flush(): void {
    if (this.#waitingSize > 0) this.#compress(true);
  }

  // Whole pieces, whatever the sizes of the bytes that were pushed: the same archive gives the same layer.
  #compress(isAll: boolean): void {
    const all = Buffer.concat(this.#waiting);
    const size = pieceSizeOf(this.#compression);
    let at = 0;
    for (; isAll ? at < all.length : at + size <= all.length; at += size)
      for (const part of compressPiece(this.#compression, all.subarray(at, at + size))) {
        this.#out.push(Buffer.from(part));
        this.#size += part.length;
      }
    this.#archive.update(all.subarray(0, at));
    this.#waiting = at < all.length ? [all.subarray(at)] : [];
    this.#waitingSize = Math.max(0, all.length - at);
  }

  #taken(): Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #text(name: string): string {
    const bytes = Buffer.from(name, "latin1");
    if (isUtf8(bytes)) return bytes.toString();
    throw this.#unsupported(`the name ${shownName(name)}, which is not UTF-8`);
  }

  #unsupported(what: string): StaveError {
    return new StaveError("UNSUPPORTED", `${this.#subject} has ${what}: eStargz cannot hold it`, {
      subject: this.#subject,
      hint: "leave out `estargz`",
    });
  }
}

const HEADERS_AT_ONCE = 1 << 20;

// An empty gzip member with an extra field (RFC 1952, 2.3.1.1) that holds the offset of the table in hex digits.
function footer(offset: number): Buffer {
  const field = Buffer.from(`${offset.toString(16).padStart(16, "0")}STARGZ`, "latin1");
  const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 0, 0, 0x53, 0x47, 0, 0]);
  head.writeUInt16LE(field.length + 4, 10);
  head.writeUInt16LE(field.length, 14);
  const empty = Buffer.alloc(13);
  empty.set([1, 0, 0, 0xff, 0xff]);
  empty.writeUInt32LE(crc32(""), 5);
  return Buffer.concat([head, field, empty]);
}

// Reads the facts of a layer from its stream, in one pass and in bounded memory.
import type { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { type TarMember, TarReader, type TarVisitor } from "../relocate/unpack/tar-reader.ts";
import { compressionOf } from "../relocate/unpack/unpack.ts";
import type { ByteString } from "../util/byte-string.ts";
import { Decompressor } from "../util/decompress.ts";
import { isElf } from "../util/elf.ts";
import { ElfCollector } from "./elf-collector.ts";
import type { LayerEntry, LayerFacts } from "./layer-facts.ts";
import { readLibraryCache } from "./library-cache.ts";
import { isStatusFile, readStatus, STATUS_BYTES, type SystemPackage } from "./system-packages.ts";

/** Limits on a layer. */
const MOST_ENTRIES = 5_000_000;
const MOST_BYTES = 1_000_000_000_000;
/** How much of a script is read. The kernel reads 255 bytes; the second line is for `sbang`. */
export const SCRIPT_BYTES = 1024;
const CACHE_BYTES = 16 * 1024 * 1024;
const TEXT_BYTES = 1024 * 1024;

const CACHE_PATH = "etc/ld.so.cache";
const TEXT_PATHS = /^etc\/(?:os-release|passwd|group|ld-musl-[\w-]+\.path)$|^usr\/lib\/os-release$/;

/** A layer to read. */
export interface LayerSource {
  readonly mediaType: string;
  /** Its name in messages. */
  readonly subject: string;
  /** Called with the number of bytes of each piece, as stored. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/**
 * Reads a layer. Consumes the stream to its end, so that it is verified, or destroys it. Throws
 * CONTENT_INVALID, ARCHIVE_UNSAFE, TOO_LARGE, and the stream's error.
 */
export async function readLayer(stream: Readable, layer: LayerSource): Promise<LayerFacts> {
  const { mediaType, subject, onBytes } = layer;
  const collector = new LayerCollector(subject);
  const reader = new TarReader(collector, { isForeign: true });
  let size = 0;
  const take = (bytes: Buffer): void => {
    size += bytes.length;
    if (size > MOST_BYTES) throw tooLarge(subject, `more than ${MOST_BYTES} bytes`);
    reader.push(bytes);
  };
  const compression = compressionOf(mediaType);
  using decompressor = compression === "none" ? undefined : new Decompressor(compression, take, subject);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (decompressor === undefined) take(chunk);
      else await decompressor.write(chunk);
      onBytes?.(chunk.length);
    }
    await decompressor?.end();
    reader.end();
    return collector.facts();
  } finally {
    stream.destroy();
  }
}

function tooLarge(subject: string, how: string): StaveError {
  return new StaveError("TOO_LARGE", `${subject} has ${how}`, { subject });
}

/** The first two lines of a script, given the first bytes of the file; undefined for other files. */
export function scriptIn(head: Buffer): ByteString | undefined {
  const text = head.toString("latin1", 0, SCRIPT_BYTES);
  return text.startsWith("#!") ? text.split("\n", 2).join("\n") : undefined;
}

/** Collects the facts of one file from its bytes. */
export class FileCollector {
  readonly #size: number;
  readonly #limit: number;
  #elf: ElfCollector | undefined;
  #head: Buffer = Buffer.alloc(0);

  /** Keeps the first `limit` bytes of a file that is not an ELF file. */
  constructor(size: number, limit: number = SCRIPT_BYTES) {
    this.#size = size;
    this.#limit = limit;
  }

  /** Takes the next bytes. */
  push(bytes: Buffer): void {
    this.#elf?.push(bytes);
    const room = this.#limit - this.#head.length;
    if (this.#elf !== undefined || room <= 0) return;
    const before = this.#head;
    this.#head = Buffer.concat([before, bytes.subarray(0, room)]);
    if (before.length >= 4 || !isElf(this.#head)) return;
    this.#elf = new ElfCollector(this.#size);
    this.#elf.push(before);
    this.#elf.push(bytes);
  }

  /** The bytes that were kept. */
  get head(): Buffer {
    return this.#head;
  }

  /** The entry of the file. An ELF file that is unreadable, or nothing to load, has no facts. */
  entry(isExecutable: boolean): LayerEntry & { kind: "file" } {
    const elf = this.#elf?.facts();
    const script = isExecutable ? scriptIn(this.#head) : undefined;
    return {
      kind: "file",
      size: this.#size,
      isExecutable,
      ...(elf && { elf }),
      ...(script !== undefined && { script }),
    };
  }

  /** True if it is an ELF file that may be loaded, but whose tables cannot be read. */
  get isElf(): boolean {
    return this.#elf !== undefined;
  }
}

/** Builds the facts of a layer out of the members of its archive. */
class LayerCollector implements TarVisitor {
  readonly #subject: string;
  readonly #entries = new Map<ByteString, LayerEntry>();
  readonly #removed: ByteString[] = [];
  readonly #opaque: ByteString[] = [];
  readonly #texts = new Map<ByteString, string>();
  readonly #packages: SystemPackage[] = [];
  #cache: LayerFacts["cache"];
  #unread = 0;
  #path = "";
  #isExecutable = false;
  #file: FileCollector | undefined;

  constructor(subject: string) {
    this.#subject = subject;
  }

  member({ type, name, linkName, mode, size }: TarMember): void {
    const path = plainPath(name);
    this.#file = undefined;
    if (path === undefined || path === "") return;
    if (this.#entries.size >= MOST_ENTRIES) throw tooLarge(this.#subject, `more than ${MOST_ENTRIES} members`);
    const slash = path.lastIndexOf("/") + 1;
    const last = path.slice(slash);
    // OCI image 1.1, "Whiteouts".
    if (last === ".wh..wh..opq") this.#opaque.push(path.slice(0, Math.max(0, slash - 1)));
    else if (last.startsWith(".wh.")) this.#removed.push(path.slice(0, slash) + last.slice(4));
    else if (type === "directory") this.#entries.set(path, { kind: "folder" });
    else if (type === "symlink") this.#entries.set(path, { kind: "link", target: linkName });
    else if (type === "hardlink") this.#entries.set(path, { kind: "same", target: plainPath(linkName) ?? "" });
    else {
      this.#path = path;
      this.#isExecutable = (mode & 0o111) !== 0;
      this.#file = new FileCollector(size, limitOf(path));
    }
  }

  content(bytes: Buffer): void {
    this.#file?.push(bytes);
  }

  contentEnd(): void {
    const file = this.#file;
    if (file === undefined) return;
    const entry = file.entry(this.#isExecutable);
    if (file.isElf && entry.elf === undefined && this.#isExecutable) this.#unread++;
    this.#entries.set(this.#path, entry);
    if (this.#path === CACHE_PATH) this.#cache = readLibraryCache(file.head);
    else if (isStatusFile(this.#path)) this.#packages.push(...readStatus(this.#path, file.head.toString("utf8")));
    else if (TEXT_PATHS.test(this.#path)) this.#texts.set(this.#path, file.head.toString("utf8"));
  }

  facts(): LayerFacts {
    return {
      entries: this.#entries,
      ...{ removed: this.#removed, opaque: this.#opaque, cache: this.#cache, texts: this.#texts, unread: this.#unread },
      packages: this.#packages,
    };
  }
}

function limitOf(path: ByteString): number {
  if (path === CACHE_PATH) return CACHE_BYTES;
  if (isStatusFile(path)) return STATUS_BYTES;
  return TEXT_PATHS.test(path) ? TEXT_BYTES : SCRIPT_BYTES;
}

// Without `./`, slashes at the ends and doubled ones; undefined if it leaves the root.
function plainPath(name: ByteString): ByteString | undefined {
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(name)) return name;
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") ? undefined : parts.join("/");
}

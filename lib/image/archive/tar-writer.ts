// Writes tar headers with exactly Spack's bytes (Python `tarfile`, POSIX pax format, and Spack `util/archive.py`, which
// omits owners and times). Contents and the order of entries are up to the caller.
import { isUtf8 } from "node:buffer";
import { type ByteString, isPlainAscii, pythonText } from "../../util/byte-string.ts";

/** The block size of tar: headers have it, contents are padded to it. */
export const BLOCK = 512;
/** The archive is padded to a multiple of this size (Python `tarfile.RECORDSIZE`). */
export const RECORD = 10_240;

/** The entry types that occur. */
export type TarType = "file" | "hardlink" | "symlink" | "directory";

/** One entry of an archive. */
export interface TarEntry {
  readonly type: TarType;
  /** Without a leading slash; directories without a trailing one. */
  readonly name: ByteString;
  /** The target of a symlink, or the entry name that a hard link refers to; empty otherwise. */
  readonly linkName: ByteString;
  /** The owner may execute it; ignored for directories and symlinks. */
  readonly executable: boolean;
  /** The bytes of content after the header; 0 for everything but files. */
  readonly size: number;
  /** The number of the user and group that own it; default root. */
  readonly owner?: { readonly user: number; readonly group: number } | undefined;
}

const FLAGS: Record<TarType, string> = { file: "0", hardlink: "1", symlink: "2", directory: "5" };
const NAME_LENGTH = 100;
const LARGEST_OCTAL_SIZE = 8 ** 11 - 1;

/** The header of an entry: one block, preceded by a pax header of at least two blocks if needed. */
export function tarHeader(entry: TarEntry): Buffer {
  const name = entry.type === "directory" ? `${entry.name}/` : entry.name;
  const records: [string, ByteString][] = [];
  if (needsRecord(name)) records.push(["path", name]);
  if (needsRecord(entry.linkName)) records.push(["linkpath", entry.linkName]);
  const isLarge = entry.size > LARGEST_OCTAL_SIZE;
  if (isLarge) records.push(["size", String(entry.size)]);
  const isOpen = entry.type === "directory" || entry.type === "symlink" || entry.executable;
  const mode = isOpen ? "0000755" : "0000644";
  const header = block({
    name,
    linkName: entry.linkName,
    mode,
    size: isLarge ? 0 : entry.size,
    flag: FLAGS[entry.type],
    owner: entry.owner,
  });
  return records.length === 0 ? header : Buffer.concat([paxHeader(records), header]);
}

/** How many NUL bytes pad `size` bytes to a multiple of `unit`. */
export function padding(size: number, unit: number): number {
  return (unit - (size % unit)) % unit;
}

/** The end of an archive whose entries have `size` bytes: two NUL blocks, padded to a whole record. */
export function endOfArchive(size: number): Buffer {
  return Buffer.alloc(2 * BLOCK + padding(size + 2 * BLOCK, RECORD));
}

function needsRecord(name: ByteString): boolean {
  return name.length > NAME_LENGTH || !isPlainAscii(name);
}

// A pax header with its records; a name that is not UTF-8 makes all records binary.
function paxHeader(records: readonly [string, ByteString][]): Buffer {
  const isBinary = records.some(([, value]) => !isPlainAscii(value) && !isUtf8(Buffer.from(value, "latin1")));
  const lines = records.map(([key, value]) => paxRecord(key, value));
  const body = (isBinary ? paxRecord("hdrcharset", "BINARY") : "") + lines.join("");
  const header = block({ name: "././@PaxHeader", linkName: "", mode: "0000000", size: body.length, flag: "x" });
  return Buffer.concat([header, Buffer.from(body, "latin1"), Buffer.alloc(padding(body.length, BLOCK))]);
}

// `LENGTH KEY=VALUE\n`, where the length includes its own digits.
function paxRecord(key: string, value: ByteString): ByteString {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

interface Fields {
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly mode: string;
  readonly size: number;
  readonly flag: string;
  readonly owner?: TarEntry["owner"];
}

// The usual fields: uid, gid and mtime are 0, the checksum field holds spaces while it is computed; owner names, device
// numbers and the prefix field are NUL.
const TEMPLATE = Buffer.alloc(BLOCK);
TEMPLATE.write("0000000\0", 108, "latin1");
TEMPLATE.write("0000000\0", 116, "latin1");
TEMPLATE.write("00000000000\0", 136, "latin1");
TEMPLATE.write("        ", 148, "latin1");
TEMPLATE.write("ustar\x0000", 257, "latin1");

function block({ name, linkName, mode, size, flag, owner }: Fields): Buffer {
  const header = Buffer.from(TEMPLATE);
  header.write(ustarText(name), 0, "latin1");
  header.write(mode, 100, "latin1");
  if (owner !== undefined) {
    header.write(owner.user.toString(8).padStart(7, "0"), 108, "latin1");
    header.write(owner.group.toString(8).padStart(7, "0"), 116, "latin1");
  }
  header.write(size.toString(8).padStart(11, "0"), 124, "latin1");
  header.write(flag, 156, "latin1");
  header.write(ustarText(linkName), 157, "latin1");
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += header[at] ?? 0;
  header.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  return header;
}

// Each non-ASCII character becomes one question mark, then the text is cut (Python's codec handler `replace`).
function ustarText(name: ByteString): string {
  if (isPlainAscii(name)) return name.slice(0, NAME_LENGTH);
  return pythonText(name)
    .replace(/[\u0080-\u{10ffff}]/gu, "?")
    .slice(0, NAME_LENGTH);
}

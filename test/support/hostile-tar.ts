// Creates tar headers with arbitrary content, for hostile archives.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { BLOCK } from "../../lib/image/archive/tar-writer.ts";
import type { Unpacked } from "../../lib/relocate/unpack/tree-writer.ts";
import { type UnpackOptions, unpackArchive } from "../../lib/relocate/unpack/unpack.ts";
import { temporaryFolder } from "./tree.ts";

/** The raw fields of a header; names have one character per byte. */
export interface RawHeader {
  name?: string;
  mode?: string;
  size?: number | string | Buffer;
  type?: string;
  linkName?: string;
  magic?: string;
  prefix?: string;
  /** Replaces the correct checksum. */
  checksum?: string;
}

/** One header with its content, padded. */
export function rawMember(fields: RawHeader, content: string | Buffer = ""): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  const { name = "", mode = "0000644", type = "0", linkName = "", magic = "ustar\x0000", prefix = "" } = fields;
  const { size = bytes.length } = fields;
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, "latin1");
  block.write(mode, 100, 8, "latin1");
  block.write("0000000\x000000000\0", 108, 16, "latin1");
  if (Buffer.isBuffer(size)) size.copy(block, 124);
  else block.write(typeof size === "number" ? size.toString(8).padStart(11, "0") : size, 124, 12, "latin1");
  block.write("00000000000\0        ", 136, 20, "latin1");
  block.write(type, 156, 1, "latin1");
  block.write(linkName, 157, 100, "latin1");
  block.write(magic, 257, 8, "latin1");
  block.write(prefix, 345, 155, "latin1");
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(fields.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
  return Buffer.concat([block, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** One pax record. */
export function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + String(rest.length).length;
  length = rest.length + String(length).length;
  return `${length}${rest}`;
}

/** A pax header for the next member. */
export function pax(records: Record<string, string>, type = "x"): Buffer {
  const body = Object.entries(records).map(([key, value]) => record(key, value));
  return rawMember({ name: "././@PaxHeader", type }, body.join(""));
}

/** The end-of-archive blocks. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);

/** A new empty folder, alone in another one. */
export function newFolder(): string {
  const folder = join(temporaryFolder(), "unpacked");
  mkdirSync(folder);
  return folder;
}

/** Unpacks an archive in memory. */
export function unpackBytes(bytes: Buffer, more: Partial<UnpackOptions> = {}, folder = newFolder()): Promise<Unpacked> {
  // In pieces with arbitrary boundaries.
  const pieces = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, at) =>
    bytes.subarray(at * 1000, at * 1000 + 1000),
  );
  return unpackArchive(Readable.from(pieces, { objectMode: false }), folder, { compression: "none", ...more });
}

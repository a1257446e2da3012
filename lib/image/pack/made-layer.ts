// A layer that is made of a list instead of a prefix: links, folders and small files. Pure; the archive is compressed
// while it is written, so that a hundred thousand links need little memory.
import { type Digest, Digester, digestOf } from "../../oci/digest.ts";
import type { ByteString } from "../../util/byte-string.ts";
import { BLOCK, endOfArchive, padding, type TarEntry, tarHeader } from "../archive/tar-writer.ts";
import { type Compression, compressPiece, layerMediaType, pieceSizeOf } from "./compression.ts";

/** An entry of a made layer; the path has no slash at its start or end. */
export type MadeEntry = { readonly path: ByteString; readonly owner?: TarEntry["owner"] } & (
  | { readonly kind: "folder" }
  | { readonly kind: "link"; readonly target: ByteString }
  | { readonly kind: "file"; readonly content: Buffer }
);

/** A layer with its bytes. */
export interface MadeLayer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  readonly bytes: Buffer;
}

/** Makes a layer; folders must come before what is in them. */
export function makeLayer(entries: Iterable<MadeEntry>, compression: Compression): MadeLayer {
  const archive = new Digester();
  const packed: Buffer[] = [];
  const limit = pieceSizeOf(compression);
  let waiting: Buffer[] = [];
  let size = 0;
  const flush = (): void => {
    if (size === 0) return;
    const piece = Buffer.concat(waiting);
    archive.update(piece);
    // Compressed pieces may be views of memory that is used again.
    for (const part of compressPiece(compression, piece)) packed.push(Buffer.from(part));
    waiting = [];
    size = 0;
  };
  const write = (bytes: Buffer): void => {
    waiting.push(bytes);
    size += bytes.length;
    if (size >= limit) flush();
  };
  for (const entry of entries) {
    write(tarHeader(headerOf(entry)));
    if (entry.kind !== "file") continue;
    write(entry.content);
    write(Buffer.alloc(padding(entry.content.length, BLOCK)));
  }
  flush();
  write(endOfArchive(archive.size));
  flush();
  const bytes = Buffer.concat(packed);
  return {
    mediaType: layerMediaType(compression),
    digest: digestOf(bytes),
    size: bytes.length,
    diffId: archive.digest(),
    bytes,
  };
}

function headerOf(entry: MadeEntry): TarEntry {
  const common = { name: entry.path, linkName: "", executable: false, size: 0, owner: entry.owner };
  if (entry.kind === "folder") return { ...common, type: "directory" };
  if (entry.kind === "link") return { ...common, type: "symlink", linkName: entry.target };
  return { ...common, type: "file", size: entry.content.length };
}

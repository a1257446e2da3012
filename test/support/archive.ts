// Creates archives in one call, and invented prefixes for them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type ArchiveJob, type ArchiveSummary, archivePieces } from "../../lib/image/archive/archive.ts";
import type { Relocatable } from "../../lib/image/archive/build-info-writer.ts";
import { makeTree, type TreeItem, temporaryFolder } from "./tree.ts";

/** A whole archive. */
export interface Packed {
  archive: Buffer;
  diffId: string;
  summary: ArchiveSummary;
}

/** Packs a prefix; the digest is checked against the bytes. */
export function pack(job: ArchiveJob, pieceSize = 1 << 20, onPiece = () => {}): Packed {
  const generator = archivePieces(job, () => Buffer.alloc(pieceSize));
  const pieces: Buffer[] = [];
  for (;;) {
    const { done, value } = generator.next();
    if (done) {
      const archive = Buffer.concat([...pieces, value.end]);
      assert.equal(value.sha256, createHash("sha256").update(archive).digest("hex"));
      return { archive, diffId: `sha256:${value.sha256}`, summary: value };
    }
    pieces.push(value);
    onPiece();
  }
}

/** The build info at the end of an archive, and the padding after it. */
export function buildInfo(archive: Buffer): string {
  return archive.toString("utf8", archive.lastIndexOf("{sbang_install_path"));
}

/** A job for a tree that counts as installed at /s/p. */
export function jobFor(items: Iterable<TreeItem>, more: Partial<Relocatable> = {}): ArchiveJob & { directory: string } {
  const directory = join(temporaryFolder(), "p");
  makeTree(directory, [{ type: "dir", path: "" }, ...items]);
  return { ...AT, directory, ...more };
}

/** The description of a tree at /s/p. */
export const AT: ArchiveJob = {
  root: "/s",
  prefix: "/s/p",
  spackPrefix: "/s",
  hashToPrefix: [["a".repeat(32), "/s/p"]],
  mentioned: ["/s/p", "/s/bin/sbang", "/s"],
  legacy: false,
};

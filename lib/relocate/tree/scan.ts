// Scans a tree without a file list for files that contain an old root. The rules are those of Spack's archives; Spack's
// own files, in `.spack` and `.spack-db`, are left out.
import { FileClassifier, isProgram } from "../../image/archive/file-kind.ts";
import { beginsWithTerm, searchTerms } from "../../image/archive/prefix-search.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import { DATABASE_FOLDER } from "../../spack/store/store.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { type OpenFile, Tree } from "../file/open-file.ts";
import { WINDOW } from "../file/text-file.ts";
import { PathSearch } from "../prefix/path-search.ts";
import type { PrefixMap } from "../prefix/prefix-map.ts";
import { Breath } from "./pauses.ts";
import { walkTree } from "./walk-tree.ts";

/** The result of a scan; paths below the tree. */
export interface ScanReport {
  readonly texts: ByteString[];
  readonly binaries: ByteString[];
  readonly links: ByteString[];
  /** Files that contain an old prefix and are neither text nor program. */
  readonly others: ByteString[];
  /** Sockets, FIFOs and devices, as printable paths. */
  readonly skipped: string[];
  /** The size of all files of the first four lists. */
  readonly bytes: number;
}

/** How to scan a tree. */
export interface ScanOptions {
  readonly map: PrefixMap;
  readonly signal?: AbortSignal | undefined;
  /** Called for each file that was read, with its size in bytes. */
  readonly onFile?: ((path: string, size: number) => void) | undefined;
}

/** Folders with Spack's data about a tree rather than its content. */
export const SPACK_FOLDERS: ReadonlySet<string> = new Set([METADATA_FOLDER, DATABASE_FOLDER]);

type Kind = "texts" | "binaries" | "others";

/** Reads every file of a tree once, however many names it has; for a link, only its target. */
export async function scanTree(directory: string, { map, signal, onFile }: ScanOptions): Promise<ScanReport> {
  using tree = new Tree(directory, true);
  const terms = searchTerms(map.pairs.map((pair) => pair.old.toString("utf8")));
  const breath = new Breath(signal);
  const seen = new Set<string>();
  const lists: Record<Kind | "links", ByteString[]> = { texts: [], binaries: [], others: [], links: [] };
  const skipped: string[] = [];
  let bytes = 0;
  for (const { path, type } of walkTree(tree.held, (_path, name) => !SPACK_FOLDERS.has(name))) {
    if (type === "other") skipped.push(shownName(path));
    if (type === "symlink" && beginsWithTerm(Buffer.from(tree.held.target(path), "latin1"), terms))
      lists.links.push(path);
    if (type !== "file") continue;
    await tree.read(path, async (file) => {
      if (file.inode !== undefined && seen.has(file.inode)) return;
      if (file.inode !== undefined) seen.add(file.inode);
      const kind = await classify(file, terms, map, breath);
      onFile?.(shownName(path), file.size);
      if (kind === undefined) return;
      lists[kind].push(path);
      bytes += file.size;
    });
  }
  return { ...lists, skipped, bytes };
}

async function classify(
  file: OpenFile,
  terms: readonly Buffer[],
  map: PrefixMap,
  breath: Breath,
): Promise<Kind | undefined> {
  const classifier = new FileClassifier(terms);
  const search = new PathSearch(map);
  const buffer = Buffer.allocUnsafe(Math.min(file.size, WINDOW));
  for (let at = 0; at < file.size; ) {
    const piece = buffer.subarray(0, file.read(buffer, at));
    if (piece.length === 0) break;
    at += piece.length;
    // The first bytes identify a program, whatever it contains.
    if (at === piece.length && isProgram(piece)) return "binaries";
    classifier.add(piece);
    search.add(piece, at >= file.size);
    await breath.after(piece.length);
  }
  if (classifier.end() === "text") return "texts";
  return search.found ? "others" : undefined;
}

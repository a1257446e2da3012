// Lists the contents of a prefix after relocation: the manifest that `spack verify` reads (`install_manifest.json`),
// which Spack leaves as the build machine wrote it (Spack `verify.py`), and the files that still contain an old prefix.
import { createHash, hash } from "node:crypto";
import { type BigIntStats, lstatSync } from "node:fs";
import { base32 } from "../../spack/spec/dag-hash.ts";
import { INSTALL_MANIFEST, INSTALL_TIMES, METADATA_FOLDER, pythonTime } from "../../spack/store/prefix-metadata.ts";
import { writeJson } from "../../spack/text/json-writer.ts";
import { type ByteString, bytesOfText, pythonText, shownName } from "../../util/byte-string.ts";
import { type OpenFile, Tree, whileRelocating } from "../file/open-file.ts";
import { WINDOW } from "../file/text-file.ts";
import { PathSearch } from "../prefix/path-search.ts";
import type { PrefixMap } from "../prefix/prefix-map.ts";
import { Breath } from "../tree/pauses.ts";
import { SPACK_FOLDERS } from "../tree/scan.ts";
import { walkTree } from "../tree/walk-tree.ts";
import type { Finisher } from "./finish.ts";

/** How to take an inventory. */
export interface InventoryOptions {
  /** The recorded prefix; `directory` is its location. */
  readonly prefix: string;
  /** The replaced prefixes; without it, leftovers are not searched. */
  readonly map?: PrefixMap | undefined;
  /** Finishes each file before it is listed. */
  readonly finisher?: Finisher | undefined;
  /** The mode of the manifest; default 0644. */
  readonly mode?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The result of an inventory. */
export interface Inventory {
  /** Printable paths below the prefix of files and links that contain an old prefix; those in `.spack` do not count. */
  readonly leftovers: string[];
}

/**
 * Reads everything in a prefix and writes its install manifest, as Spack would on the machine where it is. Entries are
 * sorted by name, so that the same prefix gives the same bytes. Throws FILE_SYSTEM, and ARCHIVE_UNSAFE if the existing
 * manifest is anything but a regular file.
 */
export async function writeInventory(directory: string, options: InventoryOptions): Promise<Inventory> {
  const writer = new Manifest(options.prefix);
  using tree = new Tree(directory, true);
  const leftovers = await look(tree, options, (path, entry) => writer.add(path, entry));
  tree.held.write(INSTALL_MANIFEST, writer.end(), options.mode ?? 0o644);
  return { leftovers };
}

/** Finds the files and links of a tree that contain an old prefix, under any name. Writes nothing. */
export async function findLeftovers(directory: string, map: PrefixMap, signal?: AbortSignal): Promise<string[]> {
  using tree = new Tree(directory, true);
  return await look(tree, { map, signal }, undefined);
}

type LookOptions = Pick<InventoryOptions, "map" | "finisher" | "signal">;

interface Entry {
  readonly stats: BigIntStats;
  readonly target?: ByteString;
  readonly sha1?: string;
}

async function look(
  tree: Tree,
  { map, finisher, signal }: LookOptions,
  onEntry: ((path: ByteString, entry: Entry) => void) | undefined,
): Promise<string[]> {
  const reader = new EntryReader(tree, finisher, new Breath(signal));
  const leftovers: string[] = [];
  onEntry?.("", { stats: lstatSync(tree.held.folder(""), { bigint: true }) });
  for (const { path, type } of walkTree(tree.held)) {
    if (path === INSTALL_MANIFEST) continue;
    const search = map === undefined || map.isEmpty || isSpacks(path) ? undefined : new PathSearch(map);
    if (type === "symlink") {
      const target = tree.held.target(path);
      search?.add(Buffer.from(target, "latin1"), true);
      onEntry?.(path, { stats: statsOf(tree, path), target });
    } else if (type === "file" && (search !== undefined || onEntry !== undefined))
      onEntry ? onEntry(path, await reader.read(path, search)) : await reader.read(path, search);
    else onEntry?.(path, { stats: statsOf(tree, path) });
    if (search?.found) leftovers.push(shownName(path));
  }
  return leftovers;
}

const isSpacks = (path: ByteString): boolean =>
  path.includes(METADATA_FOLDER) && path.split("/").some((part) => SPACK_FOLDERS.has(part));

function statsOf(tree: Tree, path: ByteString): BigIntStats {
  try {
    return lstatSync(tree.locate(path), { bigint: true });
  } catch (cause) {
    throw whileRelocating(cause, path);
  }
}

// Reads each file once for all purposes, unless finishing changes it.
class EntryReader {
  readonly #tree: Tree;
  readonly #finisher: Finisher | undefined;
  readonly #breath: Breath;
  // One buffer for all files: allocating one per file overwhelms the garbage collector.
  #buffer: Buffer = Buffer.alloc(0);

  constructor(tree: Tree, finisher: Finisher | undefined, breath: Breath) {
    this.#tree = tree;
    this.#finisher = finisher;
    this.#breath = breath;
  }

  async read(path: ByteString, search: PathSearch | undefined): Promise<Entry> {
    const found = await this.#contents(path, search, ({ stats }, head) =>
      Boolean(this.#finisher?.wants(head, Number(stats.mode))),
    );
    if (found.sha1 !== undefined) return found;
    await this.#finisher?.finish(path);
    return await this.#contents(path, search, () => false);
  }

  // Without a checksum if only the start of the file was read because it needs finishing.
  #contents(
    path: ByteString,
    search: PathSearch | undefined,
    isWanted: (file: OpenFile, head: Buffer) => boolean,
  ): Promise<Entry> {
    return this.#tree.read(path, async (file) => {
      const { stats } = file;
      // In one call if there is one piece: most files are small.
      const sha1 = file.size > WINDOW ? createHash("sha1") : undefined;
      let sum = EMPTY;
      const size = Math.min(file.size, WINDOW);
      if (this.#buffer.length < size) this.#buffer = Buffer.allocUnsafeSlow(Math.max(size, SMALL));
      const buffer = this.#buffer.subarray(0, size);
      for (let at = 0; at < file.size; ) {
        const piece = buffer.subarray(0, file.read(buffer, at));
        if (piece.length === 0) break;
        if (at === 0 && isWanted(file, piece)) return { stats };
        at += piece.length;
        if (sha1 === undefined) sum = hash("sha1", piece, "buffer");
        else sha1.update(piece);
        search?.add(piece, at >= file.size);
        await this.#breath.after(piece.length);
      }
      return { stats, sha1: base32(sha1?.digest() ?? sum).toUpperCase() };
    });
  }
}

const SMALL = 1 << 18;
const EMPTY = hash("sha1", "", "buffer");

// The text of the manifest (Python's json with its default of escaping everything outside ASCII).
class Manifest {
  readonly #prefix: ByteString;
  readonly #entries: string[] = [];

  constructor(prefix: string) {
    this.#prefix = bytesOfText(prefix);
  }

  add(path: ByteString, { stats, target, sha1 }: Entry): void {
    if (path.slice(path.lastIndexOf("/") + 1) === INSTALL_TIMES) return;
    const fields = [`"mode":${stats.mode}`, `"owner":${stats.uid}`, `"group":${stats.gid}`];
    if (target !== undefined) fields.push(`"dest":${quoted(target)}`);
    if (sha1 !== undefined) fields.push(`"hash":"${sha1}"`, `"time":${seconds(stats.mtimeNs)}`, `"size":${stats.size}`);
    this.#entries.push(`${quoted(path === "" ? this.#prefix : `${this.#prefix}/${path}`)}:{${fields.join(",")}}`);
  }

  end(): string {
    return `{${this.#entries.join(",")}}`;
  }
}

const quoted = (bytes: ByteString): string => writeJson(pythonText(bytes));

// A time as Python writes it.
function seconds(nanoseconds: bigint): string {
  const time = pythonTime(nanoseconds);
  return Number.isInteger(time) ? `${time}.0` : String(time);
}

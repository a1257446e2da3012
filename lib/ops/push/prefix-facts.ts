// The facts of an installed prefix: a push need not fetch what it has just sent. They lack only the file that each push
// writes into the layer, and which nothing starts.
import { closeSync, lstatSync, openSync, readSync } from "node:fs";
import { fileError } from "../../errors.ts";
import { type KeptLocation, keptEntries } from "../../image/archive/kept-walk.ts";
import type { WalkEntry } from "../../image/archive/prefix-walk.ts";
import { readElfFacts } from "../../loader/elf-facts.ts";
import type { FileEntry, LayerEntry, LayerFacts } from "../../loader/layer-facts.ts";
import { SCRIPT_BYTES, scriptIn } from "../../loader/layer-reader.ts";
import { type ByteString, fsPath, shownName } from "../../util/byte-string.ts";
import { isElf } from "../../util/elf.ts";

/** Reads a prefix. Throws what walking it throws, and FILE_SYSTEM for a file that cannot be read. */
export function readPrefixFacts(location: KeptLocation): LayerFacts {
  const entries = new Map<ByteString, LayerEntry>();
  const links = new Map<string, ByteString>();
  let unread = 0;
  for (const entry of keptEntries(location)) {
    if (entry.type === "directory") entries.set(entry.name, { kind: "folder" });
    else if (entry.type === "symlink") entries.set(entry.name, { kind: "link", target: entry.target });
    else {
      const { made, isUnread } = fileEntry(entry, links);
      entries.set(entry.name, made);
      if (isUnread) unread++;
    }
  }
  return { entries, removed: [], opaque: [], cache: undefined, texts: new Map(), unread, packages: [] };
}

function fileEntry({ path, name }: WalkEntry, links: Map<string, ByteString>): { made: LayerEntry; isUnread: boolean } {
  try {
    const { size, mode, nlink, dev, ino } = lstatSync(fsPath(path));
    if (nlink > 1) {
      const key = `${dev}:${ino}`;
      const first = links.get(key);
      if (first !== undefined) return { made: { kind: "same", target: first }, isUnread: false };
      links.set(key, name);
    }
    return readFile(path, { kind: "file", size, isExecutable: (mode & 0o111) !== 0 });
  } catch (cause) {
    throw fileError(cause, "read", shownName(path));
  }
}

function readFile(path: ByteString, plain: FileEntry): { made: FileEntry; isUnread: boolean } {
  const { size, isExecutable } = plain;
  const file = openSync(fsPath(path), "r");
  try {
    const read = (offset: number, length: number): Buffer | undefined => {
      const bytes = Buffer.allocUnsafe(length);
      return readSync(file, bytes, 0, length, offset) === length ? bytes : undefined;
    };
    const head = read(0, Math.min(size, SCRIPT_BYTES)) ?? Buffer.alloc(0);
    if (isElf(head)) {
      const elf = readElfFacts({ size, read });
      return { made: { ...plain, ...(elf && { elf }) }, isUnread: elf === undefined && isExecutable };
    }
    const script = isExecutable ? scriptIn(head) : undefined;
    return { made: { ...plain, ...(script !== undefined && { script }) }, isUnread: false };
  } finally {
    closeSync(file);
  }
}

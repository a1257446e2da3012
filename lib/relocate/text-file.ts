// Relocates one text file in place. A small one is read whole; of a larger one only windows are in memory: when it grows
// its content is first moved up by as much as the new text will ever be ahead of the old one, then written from the start.
import type { OpenFile } from "./open-file.ts";
import type { PrefixMap } from "./prefix-map.ts";
import { withScratch } from "./scratch.ts";
import { TextRelocation } from "./text.ts";

/** How much of a file is in memory at once, in bytes. */
export const WINDOW: number = 4 << 20;

/** Replaces the prefixes in a text file; tells whether there were any. */
export function relocateTextFile(file: OpenFile, map: PrefixMap, isDryRun: boolean, window: number = WINDOW): boolean {
  if (file.size > window) return relocateLarge(file, map, isDryRun, window);
  return withScratch(file.size, (bytes) => {
    const text = new TextRelocation(map);
    const pieces = text.push(bytes.subarray(0, file.read(bytes, 0)), true);
    if (!text.changed || isDryRun) return text.changed;
    const changed = Buffer.concat(pieces);
    file.write(changed, 0);
    if (changed.length < file.size) file.truncate(changed.length);
    return true;
  });
}

function relocateLarge(file: OpenFile, map: PrefixMap, isDryRun: boolean, window: number): boolean {
  const buffer = Buffer.allocUnsafe(window);
  const { size } = file;
  let lead = 0;
  const isChanged = replace(file, map, buffer, { start: 0, size }, (_pieces, written, read) => {
    lead = Math.max(lead, written - read);
  });
  if (!isChanged || isDryRun) return isChanged;
  if (lead > 0) moveUp(file, lead, buffer);
  let end = 0;
  replace(file, map, buffer, { start: lead, size }, (pieces) => {
    const bytes = Buffer.concat(pieces);
    file.write(bytes, end);
    end += bytes.length;
  });
  file.truncate(end);
  return true;
}

// Reads `size` bytes of content, which begin at `start`, window by window; hands out the new text, with how much of it
// there is by then and how much of the old one was read. Tells whether anything was replaced.
function replace(
  file: OpenFile,
  map: PrefixMap,
  buffer: Buffer,
  { start, size }: { start: number; size: number },
  onText: (pieces: readonly Buffer[], written: number, read: number) => void,
): boolean {
  const text = new TextRelocation(map);
  let written = 0;
  for (let read = 0; read < size; ) {
    const wanted = Math.min(buffer.length, size - read);
    const got = file.read(buffer.subarray(0, wanted), start + read);
    read += got;
    // A file that became shorter meanwhile ends here.
    const isLast = got < wanted || read === size;
    const pieces = text.push(buffer.subarray(0, got), isLast);
    for (const piece of pieces) written += piece.length;
    onText(pieces, written, read);
    if (isLast) break;
  }
  return text.changed;
}

/** Replaces the first bytes of a file by at least as many others. */
export function insertHead(file: OpenFile, oldLength: number, head: Buffer, window: number): void {
  const lead = head.length - oldLength;
  if (lead > 0) moveUp(file, lead, Buffer.allocUnsafe(Math.min(window, file.size)));
  file.write(head, 0);
}

// Moves the content towards the end. The room is taken first, so that a full disk is found out before anything changed.
function moveUp(file: OpenFile, by: number, buffer: Buffer): void {
  const { size } = file;
  const zeros = Buffer.alloc(Math.min(by, buffer.length));
  for (let at = size; at < size + by; at += zeros.length)
    file.write(zeros.subarray(0, Math.min(zeros.length, size + by - at)), at);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - buffer.length);
    const piece = buffer.subarray(0, end - start);
    file.read(piece, start);
    file.write(piece, start + by);
    end = start;
  }
}

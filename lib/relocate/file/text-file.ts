// Relocates one text file in place. A small file is read whole. A large one is processed in windows: if it grows, its
// content is first moved up by the most that the new text ever gets ahead of the old one, then written from the start.

import type { PrefixMap } from "../prefix/prefix-map.ts";
import { type OpenFile, unfit } from "./open-file.ts";
import { withScratch } from "./scratch.ts";
import { TextRelocation, TextTooLong } from "./text-replacer.ts";

/** How much of a file is in memory at once, in bytes. */
export const WINDOW: number = 4 << 20;

/** How many times longer a text may become, beyond FREE_GROWTH. Paths of packages that move to a long root reach 3. */
const MOST_TIMES_LONGER = 16;
const FREE_GROWTH = 64 * 1024;

/**
 * Replaces the prefixes in a text file. Returns true if there were any. Throws RELOCATION_FAILED, leaving the file
 * unchanged, if it would grow too much.
 */
export function relocateTextFile(file: OpenFile, map: PrefixMap, isDryRun: boolean, window: number = WINDOW): boolean {
  try {
    return file.size > window ? relocateLarge(file, map, isDryRun, window) : relocateSmall(file, map, isDryRun);
  } catch (error) {
    if (!(error instanceof TextTooLong)) throw error;
    throw unfit(file.path, `would grow from ${file.size} to more than ${mostOf(file)} bytes`);
  }
}

const mostOf = ({ size }: OpenFile): number => size * MOST_TIMES_LONGER + FREE_GROWTH;

function relocateSmall(file: OpenFile, map: PrefixMap, isDryRun: boolean): boolean {
  return withScratch(file.size, (bytes) => {
    const text = new TextRelocation(map, mostOf(file));
    const given = bytes.subarray(0, file.read(bytes, 0));
    if (isDryRun) text.measure(given, true);
    const changed = isDryRun ? given : text.push(given, true);
    if (!text.changed || isDryRun) return text.changed;
    file.write(changed, 0);
    if (changed.length < file.size) file.truncate(changed.length);
    return true;
  });
}

// The first pass only counts: how far the new text ever gets ahead of the old one, and whether its length is allowed.
function relocateLarge(file: OpenFile, map: PrefixMap, isDryRun: boolean, window: number): boolean {
  const buffer = Buffer.allocUnsafe(window);
  const { size } = file;
  const measured = new TextRelocation(map, mostOf(file));
  let lead = 0;
  let written = 0;
  eachPiece(file, buffer, { start: 0, size }, (piece, read, isLast) => {
    written += measured.measure(piece, isLast);
    lead = Math.max(lead, written - read);
  });
  if (!measured.changed || isDryRun) return measured.changed;
  if (lead > 0) moveUp(file, lead, buffer);
  const text = new TextRelocation(map);
  let end = 0;
  eachPiece(file, buffer, { start: lead, size }, (piece, _read, isLast) => {
    const bytes = text.push(piece, isLast);
    file.write(bytes, end);
    end += bytes.length;
  });
  file.truncate(end);
  return true;
}

// Reads `size` bytes of content from `start`, window by window, with the number of bytes read so far.
function eachPiece(
  file: OpenFile,
  buffer: Buffer,
  { start, size }: { start: number; size: number },
  onPiece: (piece: Buffer, read: number, isLast: boolean) => void,
): void {
  for (let read = 0; read < size; ) {
    const wanted = Math.min(buffer.length, size - read);
    const got = file.read(buffer.subarray(0, wanted), start + read);
    read += got;
    // A file that became shorter meanwhile ends here.
    const isLast = got < wanted || read === size;
    onPiece(buffer.subarray(0, got), read, isLast);
    if (isLast) break;
  }
}

/** Replaces the first bytes of a file with at least as many new ones. */
export function insertHead(file: OpenFile, oldLength: number, head: Buffer, window: number): void {
  const lead = head.length - oldLength;
  if (lead > 0) moveUp(file, lead, Buffer.allocUnsafe(Math.min(window, file.size)));
  file.write(head, 0);
}

// Moves the content towards the end. The space is allocated first, so that a full disk is detected before anything
// changes.
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

// Relocates the C strings of one file in place, window by window, and explains those that have no room.
import { shownName } from "../../util/byte-string.ts";
import type { PrefixMap } from "../prefix/prefix-map.ts";
import { type Edit, LOOK_AHEAD, nextString, type StringMatch, type StringRule, type StuckString } from "./c-strings.ts";
import type { OpenFile } from "./open-file.ts";
import { withScratch } from "./scratch.ts";
import { WINDOW } from "./text-file.ts";

/** A string that cannot be changed, for messages. */
export interface StuckReport {
  /** The string in the file, cut when it is long. */
  readonly string: string;
  readonly oldPrefix: string;
  readonly newPrefix: string;
  readonly reason: StuckString["reason"];
  /** Maximum number of bytes that any new prefix may have. */
  readonly room: number;
}

/** The result for the strings of a file. */
export interface StringsReport {
  readonly isChanged: boolean;
  /** The first string without enough room; later ones were not examined. */
  readonly stuck: StuckReport | undefined;
}

/** A part of a file. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** How the strings of a file are relocated. */
export interface StringOptions {
  readonly dryRun: boolean;
  readonly rule?: StringRule;
  /** Ranges that were already replaced and are skipped. */
  readonly done?: readonly Range[];
  /** How much of the file is in memory at once, in bytes. */
  readonly window?: number;
}

/** Replaces the prefixes in the strings of a file, up to the first one that cannot be changed. */
export function relocateStringFile(file: OpenFile, map: PrefixMap, options: StringOptions): StringsReport {
  const size = Math.min(file.size, Math.max(options.window ?? WINDOW, 2 * reachOf(map)));
  return withScratch(size, (buffer) => relocateStrings(file, map, options, buffer));
}

const reachOf = (map: PrefixMap): number => map.longest + LOOK_AHEAD;

function relocateStrings(
  file: OpenFile,
  map: PrefixMap,
  { dryRun, rule, done = [] }: StringOptions,
  buffer: Buffer,
): StringsReport {
  const reach = reachOf(map);
  const writer = new EditWriter(file, buffer);
  let isChanged = false;
  // The offset of the window in the file, and the position in it where the search continues.
  let start = 0;
  let from = 0;
  for (;;) {
    const bytes = buffer.subarray(0, file.read(buffer, start));
    const isLast = bytes.length < buffer.length || start + bytes.length >= file.size;
    const before = isLast ? bytes.length : bytes.length - reach;
    const next = (): StringMatch | undefined => nextString(bytes, map, from, before, rule);
    for (let match = next(); match; match = next()) {
      const at = start + (match.stuck ?? match.edit).at;
      const part = done.find((range) => at >= range.start && at < range.end);
      if (part !== undefined) {
        from = part.end - start;
        continue;
      }
      if (match.stuck) {
        writer.flush(start);
        return { isChanged, stuck: describe(file, start, match.stuck) };
      }
      if (!dryRun) writer.write(match.edit, start);
      isChanged = true;
      from = match.end;
    }
    // The end of this window is read again as part of the next.
    writer.flush(start);
    if (isLast) return { isChanged, stuck: undefined };
    start += Math.max(from, before);
    from = 0;
  }
}

// Writes back only the changed parts of a window; nearby edits share one call, as there may be millions.
class EditWriter {
  readonly #file: OpenFile;
  readonly #window: Buffer;
  #start = 0;
  #end = 0;

  constructor(file: OpenFile, window: Buffer) {
    this.#file = file;
    this.#window = window;
  }

  write({ at, bytes }: Edit, windowStart: number): void {
    if (at > this.#end + CLOSE) this.flush(windowStart);
    if (this.#start === this.#end) this.#start = at;
    bytes.copy(this.#window, at);
    this.#end = at + bytes.length;
  }

  flush(windowStart: number): void {
    if (this.#end > this.#start)
      this.#file.write(this.#window.subarray(this.#start, this.#end), windowStart + this.#start);
    this.#start = 0;
    this.#end = 0;
  }
}

const CLOSE = 4096;
const SHOWN = 256;

function describe(file: OpenFile, start: number, { at, pair, reason }: StuckString): StuckReport {
  const position = start + at;
  const first = Math.max(0, position - SHOWN);
  const around = Buffer.alloc(position - first + pair.old.length + SHOWN);
  const bytes = around.subarray(0, file.read(around, first));
  const begin = bytes.lastIndexOf(0, position - first) + 1;
  const end = bytes.indexOf(0, position - first);
  const shown = (part: Buffer): string => shownName(part.toString("latin1"));
  return {
    string: shown(bytes.subarray(begin, end < 0 ? bytes.length : end)),
    oldPrefix: shown(pair.old),
    newPrefix: shown(pair.new),
    reason,
    // To make a string shorter, more bytes must become free than other strings may share.
    room: reason === "grow" ? pair.old.length : pair.old.length - LOOK_AHEAD,
  };
}

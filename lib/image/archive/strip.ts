// Removes the debug sections of programs and libraries with the program `strip`, into a copy. The copy is used only if
// every byte that is loaded is as in the file.
import { spawnSync } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { debugSections } from "../../util/debug-sections.ts";
import { ElfFile, type ElfSegment, ET, type FileParts, SHT, unlessUnreadable } from "../../util/elf.ts";

/** How to strip. Plain data, because it is sent to other threads. */
export interface StripTool {
  /** The absolute path of `strip` of binutils or `eu-strip` of elfutils, which take the same options. */
  readonly program: string;
  /** Identifies the program: another version may leave out other bytes. */
  readonly id: string;
  /** A folder that only this user can write to. */
  readonly scratch: string;
}

/** A copy of a file without debug sections. */
export interface StrippedFile {
  readonly fd: number;
  readonly size: number;
}

/** The time that the program has for one file, in milliseconds. */
const TIMEOUT = 60_000;
const COMPARED_AT_ONCE = 1 << 20;
/** The headers of all segments begin behind the header of the file, which names the sections. */
const HEADER = { bits64: 64, bits32: 52 } as const;

let made = 0;

/**
 * A copy of an opened file without debug sections; it has no name any more, and the caller closes it. Undefined if
 * there is nothing to remove; "whole" if the file must stay as it is: the program refuses it, or would change what is
 * loaded, or other data follows the ELF file.
 */
export function strippedCopy(fd: number, size: number, tool: StripTool): StrippedFile | "whole" | undefined {
  const file = unlessUnreadable(() => new ElfFile(partsOf(fd, size)));
  if (file === undefined || unlessUnreadable(() => hasDebugSections(file)) !== true) return undefined;
  if (unlessUnreadable(() => endOf(file)) !== size) return "whole";
  const path = join(tool.scratch, `${threadId}-${made++}`);
  try {
    // The descriptor is the very file that was opened, however its path is spelled.
    const { status } = spawnSync(tool.program, ["--strip-debug", "-o", path, "/dev/fd/3"], {
      stdio: ["ignore", "ignore", "ignore", fd],
      cwd: tool.scratch,
      timeout: TIMEOUT,
      killSignal: "SIGKILL",
    });
    return (status === 0 ? openVerified(path, file) : undefined) ?? "whole";
  } finally {
    rmSync(path, { force: true, recursive: true });
  }
}

function openVerified(path: string, before: ElfFile): StrippedFile | undefined {
  const fd = openOutput(path);
  if (fd === undefined) return undefined;
  const stats = fstatSync(fd);
  const isGood =
    stats.isFile() &&
    stats.size < before.size &&
    unlessUnreadable(() => {
      const after = new ElfFile(partsOf(fd, stats.size));
      return !hasDebugSections(after) && isLoadedAlike(before, after);
    });
  if (isGood) return { fd, size: stats.size };
  closeSync(fd);
  return undefined;
}

function openOutput(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // The program made none, or something else.
    return undefined;
  }
}

function partsOf(fd: number, size: number): FileParts {
  return {
    size,
    read(offset, length) {
      const bytes = Buffer.allocUnsafe(length);
      return readSync(fd, bytes, 0, length, offset) === length ? bytes : undefined;
    },
  };
}

function hasDebugSections(file: ElfFile): boolean {
  return (file.type === ET.exec || file.type === ET.dyn) && debugSections(file).length > 0;
}

// Where the last part of the file ends that its headers know of.
function endOf(file: ElfFile): number {
  const filled = file.sections().filter(({ type }) => type !== SHT.nobits);
  const parts = [file.sectionTable, ...filled, ...file.segments()];
  return parts.reduce((end, { offset, length }) => Math.max(end, offset + length), 0);
}

// True if both have the same segments with the same bytes, and so the same dynamic section and needed libraries. The
// header of the file is in the first segment, and says where the sections are.
function isLoadedAlike(one: ElfFile, other: ElfFile): boolean {
  const same = (["is64", "isLittle", "type", "machine", "entry"] as const).every((key) => one[key] === other[key]);
  const [before, after] = [one.segments(), other.segments()];
  if (!same || before.length !== after.length) return false;
  const header = one.is64 ? HEADER.bits64 : HEADER.bits32;
  return before.every((segment, at) => {
    const twin = after[at];
    return twin !== undefined && isSamePlace(segment, twin) && hasSameBytes(one, other, segment, header);
  });
}

function isSamePlace(one: ElfSegment, other: ElfSegment): boolean {
  return (["type", "offset", "address", "length"] as const).every((key) => one[key] === other[key]);
}

function hasSameBytes(one: ElfFile, other: ElfFile, { offset, length }: ElfSegment, header: number): boolean {
  const end = offset + length;
  for (let at = Math.max(offset, header); at < end; at += COMPARED_AT_ONCE) {
    const size = Math.min(COMPARED_AT_ONCE, end - at);
    if (!one.read(at, size).equals(other.read(at, size))) return false;
  }
  return true;
}

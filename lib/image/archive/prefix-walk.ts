// The entries of a prefix in the order of Spack's archives (Spack `util/archive.py`, reproducible_tarfile_from_prefix):
// parents first, in each directory what is no directory before the sub-directories, both by name. Contents are not read.
import { type Dirent, lstatSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { type ByteString, bytesOfText, compareNames, fsPath, shownName } from "../../util/byte-string.ts";

/** What is found in a prefix. Hard links are not told apart here: they are files with a link count above 1. */
export interface WalkEntry {
  readonly type: "file" | "symlink" | "directory";
  /** Its name in the archive: the absolute path without the sysroot and the leading slash. */
  readonly name: ByteString;
  /** Its path below the prefix; empty for the prefix itself, undefined for the directories above it. */
  readonly relative: ByteString | undefined;
  /** Where it is on disk, sysroot included. */
  readonly path: ByteString;
  /** The target of a symlink, as it is written; empty otherwise. */
  readonly target: ByteString;
}

/** What cannot be in an archive and is left out, as Spack leaves it out in silence. */
export interface SkippedEntry {
  /** Below the prefix, fit for a message. */
  readonly path: string;
  readonly kind: "socket" | "FIFO" | "device";
}

/** Where a prefix is. */
export interface PrefixLocation {
  /** The absolute path that is recorded, and that goes into the archive. */
  readonly prefix: string;
  /** Where it is really found, when it is below a sysroot; the prefix itself when not given. */
  readonly directory?: string | undefined;
}

/** The file that each push writes anew; the one of an earlier push is left out. */
export const BUILD_INFO = ".spack/binary_distribution";

/**
 * Walks a prefix. Throws SPEC_NOT_INSTALLED when the prefix is missing or no directory, FILE_SYSTEM for a directory or
 * link that cannot be read, CONFLICT when something vanishes on the way.
 */
export function* walkPrefix(
  location: PrefixLocation,
  onSkipped: (entry: SkippedEntry) => void = () => {},
): Generator<WalkEntry> {
  const { name, path } = locate(location);
  checkPrefix(path, location.prefix);
  const parts = name.split("/");
  for (let length = 1; length < parts.length; length++)
    yield { type: "directory", name: parts.slice(0, length).join("/"), relative: undefined, path, target: "" };
  const old = oldBuildInfo(path);
  const stack: WalkEntry[] = [{ type: "directory", name, relative: "", path, target: "" }];
  for (let parent = stack.pop(); parent !== undefined; parent = stack.pop()) {
    yield parent;
    const inner: WalkEntry[] = [];
    for (const entry of sortedEntries(parent.path)) {
      const relative = parent.relative === "" ? entry.name : `${parent.relative}/${entry.name}`;
      const child = {
        name: `${parent.name}/${entry.name}`,
        relative,
        path: `${parent.path}/${entry.name}`,
        target: "",
      };
      if (old?.isIt(relative, child.path)) continue;
      if (entry.isDirectory()) inner.push({ ...child, type: "directory" });
      else if (entry.isSymbolicLink()) yield { ...child, type: "symlink", target: readLink(child.path) };
      else if (entry.isFile()) yield { ...child, type: "file" };
      else onSkipped({ path: shownName(relative), kind: kindOf(entry) });
    }
    for (let at = inner.length - 1; at >= 0; at--) {
      const child = inner[at];
      if (child !== undefined) stack.push(child);
    }
  }
}

/** The path of a prefix on disk and its name in archives. Throws SPEC_NOT_INSTALLED for a relative one. */
export function locate({ prefix, directory }: PrefixLocation): { name: ByteString; path: ByteString } {
  if (!prefix.startsWith("/"))
    throw new StaveError("SPEC_NOT_INSTALLED", `the prefix ${JSON.stringify(prefix)} is no absolute path`, {
      subject: prefix,
    });
  const name = bytesOfText(prefix)
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
  return { name, path: directory === undefined ? `/${name}` : bytesOfText(directory).replace(/(?<=.)\/+$/, "") };
}

function checkPrefix(path: ByteString, prefix: string): void {
  const hint = "install the spec again, or leave it out";
  let isDirectory: boolean;
  try {
    isDirectory = statSync(fsPath(path)).isDirectory();
  } catch (cause) {
    const code = systemCode(cause);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw fileError(cause, "read prefix", shownName(path));
    throw new StaveError("SPEC_NOT_INSTALLED", `the prefix ${shownName(path)} is missing`, {
      subject: prefix,
      hint,
      cause,
    });
  }
  if (isDirectory) return;
  throw new StaveError("SPEC_NOT_INSTALLED", `the prefix ${shownName(path)} is a file, expected a directory`, {
    subject: prefix,
    hint,
  });
}

// The build info of an earlier push, which Spack recognises by device and inode: under whatever name it is linked.
function oldBuildInfo(prefix: ByteString): { isIt(relative: ByteString, path: ByteString): boolean } | undefined {
  const identify = (path: ByteString): { id: string; links: bigint } => {
    const { dev, ino, nlink } = lstatSync(fsPath(path), { bigint: true });
    return { id: `${dev}:${ino}`, links: nlink };
  };
  try {
    const { id, links } = identify(`${prefix}/${BUILD_INFO}`);
    return { isIt: (relative, path) => relative === BUILD_INFO || (links > 1n && identify(path).id === id) };
  } catch (cause) {
    if (systemCode(cause) === "ENOENT" || systemCode(cause) === "ENOTDIR") return undefined;
    throw fileError(cause, "read", shownName(`${prefix}/${BUILD_INFO}`));
  }
}

function sortedEntries(path: ByteString): Dirent[] {
  try {
    return readdirSync(fsPath(path), { withFileTypes: true, encoding: "latin1" }).sort((a, b) =>
      compareNames(a.name, b.name),
    );
  } catch (cause) {
    throw whilePacking(cause, "read directory", path);
  }
}

function readLink(path: ByteString): ByteString {
  try {
    return readlinkSync(fsPath(path), "latin1");
  } catch (cause) {
    throw whilePacking(cause, "read link", path);
  }
}

function kindOf(entry: Dirent): SkippedEntry["kind"] {
  return entry.isSocket() ? "socket" : entry.isFIFO() ? "FIFO" : "device";
}

/** The error of something below a prefix that could be listed a moment ago and cannot be read now. */
export function whilePacking(cause: unknown, op: string, path: ByteString): StaveError {
  const code = systemCode(cause);
  const shown = shownName(path);
  if (code === "ENOENT" || code === "ENOTDIR" || code === "EINVAL" || code === "ELOOP")
    return changed(shown, "it is no longer what it was", cause);
  const error = fileError(cause, op, shown);
  return code === "EACCES" || code === "EPERM"
    ? error.with({ hint: "make it readable, or push as the user who installed the spec" })
    : error;
}

/** The error of a prefix that something writes into while it is packed. */
export function changed(path: string, how: string, cause?: unknown): StaveError {
  return new StaveError("CONFLICT", `${path} changed while it was packed: ${how}`, {
    subject: path,
    hint: "wait until nothing writes into the prefix, and push again",
    ...(cause === undefined ? {} : { cause }),
  });
}

// Walks the entries of a prefix in the order of Spack's archives (Spack `util/archive.py`,
// reproducible_tarfile_from_prefix): parents first; in each directory non-directories before subdirectories, both by
// name. Does not read contents.
import { type Dirent, lstatSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { type ByteString, bytesOfText, compareNames, fsPath, shownName } from "../../util/byte-string.ts";

/** An entry of a prefix. Hard links are not detected here: they are files with a link count above 1. */
export interface WalkEntry {
  readonly type: "file" | "symlink" | "directory";
  /** Its name in the archive: the absolute path without the sysroot and the leading slash. */
  readonly name: ByteString;
  /** Its path below the prefix; empty for the prefix itself, undefined for the directories above it. */
  readonly relative: ByteString | undefined;
  /** Its path on disk, sysroot included. */
  readonly path: ByteString;
  /** The target of a symlink as written; empty otherwise. */
  readonly target: ByteString;
}

/** An entry that cannot be archived; Spack silently leaves it out, too. */
export interface SkippedEntry {
  /** The path below the prefix, safe to print. */
  readonly path: string;
  readonly kind: "socket" | "FIFO" | "device";
}

/** The location of a prefix. */
export interface PrefixLocation {
  /** The absolute path that is recorded and written into the archive. */
  readonly prefix: string;
  /** Its actual directory, if below a sysroot; default: the prefix. */
  readonly directory?: string | undefined;
}

/** The file that each push writes anew; that of an earlier push is left out. */
export const BUILD_INFO = ".spack/binary_distribution";

/**
 * Walks a prefix. Throws SPEC_NOT_INSTALLED if the prefix is missing or not a directory, FILE_SYSTEM for an unreadable
 * directory or link, CONFLICT if an entry disappears during the walk.
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
    throw new StaveError("SPEC_NOT_INSTALLED", `the prefix ${JSON.stringify(prefix)} is not an absolute path`, {
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

// The build info of an earlier push, identified by device and inode as in Spack, so that hard links to it also match.
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
  if (entry.isSocket()) return "socket";
  return entry.isFIFO() ? "FIFO" : "device";
}

/** The error for an entry below a prefix that was listed a moment ago and cannot be read now. */
export function whilePacking(cause: unknown, op: string, path: ByteString): StaveError {
  const code = systemCode(cause);
  const shown = shownName(path);
  if (code === "ENOENT" || code === "ENOTDIR" || code === "EINVAL" || code === "ELOOP")
    return changed(shown, "it was replaced or removed", cause);
  const error = fileError(cause, op, shown);
  return code === "EACCES" || code === "EPERM"
    ? error.with({ hint: "make it readable, or push as the user who installed the spec" })
    : error;
}

/** The error for a prefix that is modified while it is packed. */
export function changed(path: string, how: string, cause?: unknown): StaveError {
  return new StaveError("CONFLICT", `${path} changed while it was packed: ${how}`, {
    subject: path,
    hint: "wait until nothing writes to the prefix, then push again",
    ...(cause === undefined ? {} : { cause }),
  });
}

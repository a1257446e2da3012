// Paths below another root: a mounted image, a chroot, a test folder. A recorded path `/opt/store` is at
// `DIR/opt/store`, and its symbolic links resolve below DIR too.
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileError, StaveError, systemCode } from "../errors.ts";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * The place on this machine of an absolute path recorded below another root. Follows symbolic links as a process with
 * that root would, so the result never lies outside; missing parts are kept as written. Without a root, returns the
 * path unchanged. Throws FILE_SYSTEM for a relative path and for too many links.
 */
export function underSysroot(sysroot: string | undefined, path: string): string {
  if (sysroot === undefined) return path;
  if (!path.startsWith("/"))
    throw new StaveError(
      "FILE_SYSTEM",
      `cannot find ${path} under ${sysroot}: the path is relative, expected an absolute one`,
    );
  // The path so far, below the root; one string, so that a path of thousands of parts stays fast.
  let done = "";
  const todo = path.split("/").reverse();
  let links = 0;
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done = done.slice(0, Math.max(0, done.lastIndexOf("/")));
      continue;
    }
    const target = linkAt(`${sysroot}${done}/${part}`);
    if (target === undefined) {
      done += `/${part}`;
      continue;
    }
    if (++links > MAX_LINKS)
      throw new StaveError(
        "FILE_SYSTEM",
        `cannot find ${path} under ${sysroot}: more than ${MAX_LINKS} symbolic links`,
      );
    if (target.startsWith("/")) done = "";
    todo.push(...target.split("/").reverse());
  }
  return join(sysroot, done);
}

function linkAt(place: string): string | undefined {
  try {
    return readlinkSync(place);
  } catch (error) {
    // Not a link, absent or not accessible: keep the part as written.
    if (["EINVAL", "ENOENT", "ENOTDIR", "EACCES", "ENAMETOOLONG"].includes(systemCode(error) ?? "")) return undefined;
    throw fileError(error, "read the link", place);
  }
}

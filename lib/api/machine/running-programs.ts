// What the running programs of this user use below a folder, as /proc shows it.
import { readdirSync, readlinkSync, realpathSync } from "node:fs";
import { fileError, systemCode } from "../../errors.ts";
import { readStart } from "../../util/read-start.ts";

/** In bytes, of what one process has mapped or has in its environment. */
const PROC_FILE_LIMIT = 4 * 1024 * 1024;
/** The most processes that are looked at. */
const MOST_PROCESSES = 50_000;

/**
 * Those of the folders from which running programs have opened code, or that they name in their environment, such as
 * the PATH of a shell. Links do not matter: /proc has real paths, an environment those that were typed. A folder that
 * cannot be resolved counts as used. `root` is where most of them are. None where /proc does not show it, as for the
 * processes of other users. Throws FILE_SYSTEM if the root cannot be resolved.
 */
export function foldersInUse(root: string, folders: Iterable<string>): Set<string> {
  const found = new Set<string>();
  // A deprecated spec is a link to the one that replaced it: two folders may have one real path.
  const named = new Map<string, string[]>();
  for (const folder of folders) {
    const real = realPath(folder);
    if (real === undefined) found.add(folder);
    for (const name of new Set([folder, real ?? folder])) named.set(name, [...(named.get(name) ?? []), folder]);
  }
  if (named.size === 0) return found;
  for (const path of pathsBelow(placesOf(root, named.keys())))
    for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/")))
      for (const folder of named.get(at) ?? []) found.add(folder);
  return found;
}

// Few places to search for instead of thousands: the root, under both names, and what is not below it.
function placesOf(root: string, folders: Iterable<string>): Set<string> {
  const places = new Set<string>();
  try {
    places.add(root).add(realpathSync(root));
  } catch (cause) {
    throw fileError(cause, "resolve", root);
  }
  const roots = [...places];
  for (const folder of folders) if (!roots.some((one) => folder.startsWith(`${one}/`))) places.add(folder);
  return places;
}

// What does not exist has no other name.
function realPath(folder: string): string | undefined {
  try {
    return realpathSync(folder);
  } catch (error) {
    return ["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "") ? folder : undefined;
  }
}

function pathsBelow(folders: ReadonlySet<string>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const name of processes()) {
    const files = ["maps", "environ"].map((file) => readStart(`/proc/${name}/${file}`, PROC_FILE_LIMIT) ?? "");
    for (const text of [linkOf(`/proc/${name}/exe`), ...files])
      for (const folder of folders)
        for (let at = text.indexOf(folder); at >= 0; at = text.indexOf(folder, at + 1)) {
          const [path = ""] = END.exec(text.slice(at, at + 4096)) ?? [];
          found.add(path);
        }
  }
  return found;
}

// A path ends where no path in a list of them, or in a line, goes on.
// biome-ignore lint/suspicious/noControlCharactersInRegex: variables end with NUL
const END = /^[^\u0000\n:;]*/;

function processes(): string[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^[0-9]+$/.test(name))
      .slice(0, MOST_PROCESSES);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

// What the running programs of this user use below a folder, as /proc shows it.
import { readdirSync, readlinkSync } from "node:fs";
import { readStart } from "../../util/read-start.ts";

/** In bytes, of what one process has mapped or has in its environment. */
const PROC_FILE_LIMIT = 4 * 1024 * 1024;
/** The most processes that are looked at. */
const MOST_PROCESSES = 50_000;

/**
 * The paths below a folder that running programs have opened as code, or name in their environment, such as the PATH of
 * a shell. Empty where /proc does not show it, as for the processes of other users.
 */
export function pathsInUse(folder: string): ReadonlySet<string> {
  const found = new Set<string>();
  const start = `${folder}/`;
  for (const name of processes()) {
    const files = ["maps", "environ"].map((file) => readStart(`/proc/${name}/${file}`, PROC_FILE_LIMIT) ?? "");
    for (const text of [linkOf(`/proc/${name}/exe`), ...files])
      for (let at = text.indexOf(start); at >= 0; at = text.indexOf(start, at + 1)) {
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

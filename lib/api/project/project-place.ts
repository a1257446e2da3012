// Finds `stave.yaml`. Apart from its reader, because most folders have none.
import { lstatSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { kindAt } from "../../util/inspect-path.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** The name of the file. */
export const PROJECT_FILE = "stave.yaml";

/**
 * The nearest file, from the working folder up to the first folder with spack.yaml or .git, or the home folder.
 * Undefined if there is none that belongs to this user alone; folders of others are not searched.
 */
export function projectFile({ uid, home, cwd }: Pick<Surroundings, "uid" | "home" | "cwd">): string | undefined {
  if (uid === undefined) return undefined;
  for (let folder = resolve(cwd); isOwn(folder, uid, "folder"); folder = dirname(folder)) {
    const file = join(folder, PROJECT_FILE);
    if (isOwn(file, uid, "file")) return file;
    const isTop = folder === resolve(home) || folder === dirname(folder);
    if (isTop || ["spack.yaml", ".git"].some((name) => kindAt(join(folder, name), undefined) !== undefined)) break;
  }
  return undefined;
}

// What others may change is not this user's word.
function isOwn(path: string, uid: number, kind: "file" | "folder"): boolean {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.uid !== uid || (found.mode & OTHERS_WRITE) !== 0) return false;
    return kind === "file" ? found.isFile() : found.isDirectory();
  } catch {
    return false;
  }
}

const OTHERS_WRITE = 0o022;

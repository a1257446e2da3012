// koffi of a single executable. The system loads native libraries only from files, so it is written to a folder that
// only this user can change, and compared with the embedded one at every start.
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants as osConstants } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "../../api/machine/cache-folder.ts";
import type { Surroundings } from "../../api/machine/surroundings.ts";
import { messageOf, StaveError } from "../../errors.ts";
import { embeddedFile } from "../../util/embedded.ts";
import { makeFolder } from "../../util/folder.ts";
import { type Koffi, loadKoffiBy } from "../../util/koffi.ts";

/** The name of the library inside the executable. */
const EMBEDDED = "koffi.node";
/** Write permission of the group or of others. */
const OTHERS_WRITE = 0o022;

/** Loads koffi from inside this executable, if it is one. Nothing is written before koffi is needed. */
export function useEmbeddedKoffi(around: Surroundings): void {
  const bytes = embeddedFile(EMBEDDED);
  if (bytes !== undefined) loadKoffiBy(() => loadFromFile(bytes, around));
}

// A folder may be read-only, another user's, or mounted with `noexec`: then the next one is tried.
function loadFromFile(bytes: Uint8Array, around: Surroundings): Koffi {
  const { env } = around;
  const reasons: string[] = [];
  const lasting = [
    cacheFolder(around, "native"),
    ...(env["XDG_RUNTIME_DIR"] ? [`${env["XDG_RUNTIME_DIR"]}/stave`] : []),
  ];
  for (const folder of lasting) {
    try {
      return opened(lastingFile(folder, bytes, around.uid));
    } catch (error) {
      reasons.push(messageOf(error));
    }
  }
  for (const parent of [env["TMPDIR"] || "/tmp", "/dev/shm"]) {
    try {
      const folder = mkdtempSync(join(parent, "stave-"));
      try {
        const path = join(folder, EMBEDDED);
        writeFileSync(path, bytes, { mode: 0o600, flag: "wx" });
        return opened(path);
      } finally {
        // A loaded library does not need its file.
        rmSync(folder, { recursive: true, force: true });
      }
    } catch (error) {
      reasons.push(messageOf(error));
    }
  }
  throw new StaveError("FILE_SYSTEM", `cannot load the native library of stave: ${reasons.join("; ")}`, {
    hint: "set XDG_CACHE_HOME to a folder of yours on a file system without `noexec`",
  });
}

function opened(path: string): Koffi {
  const module = { exports: {} };
  process.dlopen(module, path, osConstants.dlopen.RTLD_LAZY);
  return module.exports as Koffi;
}

/** The library in a folder that lasts; writes it unless the same bytes are there. Throws if others can change it. */
function lastingFile(folder: string, bytes: Uint8Array, owner: number | undefined): string {
  makeFolder(folder, 0o700);
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== owner || (found.mode & OTHERS_WRITE) !== 0)
    throw new Error(`${folder} can be changed by other users`);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const path = join(folder, `koffi-${digest.slice(0, 16)}.node`);
  if (digestOf(path, owner) === digest) return path;
  const temporary = `${path}.${process.pid}`;
  try {
    rmSync(temporary, { force: true });
    writeFileSync(temporary, bytes, { mode: 0o600, flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return path;
}

// Undefined for a file that is missing, or not a file of this user alone.
function digestOf(path: string, owner: number | undefined): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { uid, mode } = fstatSync(file);
    if (uid !== owner || (mode & OTHERS_WRITE) !== 0) return undefined;
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

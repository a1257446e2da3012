// The directory of an image layout as a whole: detects, checks and creates it, and names its files.
import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { fileError, isStaveError, StaveError, systemCode } from "../../errors.ts";
import { emptyIndex, parseBySchema } from "../../oci/manifest.ts";
import { makeFolder } from "../../util/folder.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { readBounded } from "../../util/read-file.ts";
import { replaceWith } from "../../util/replace-file.ts";
import { createTemporary } from "../../util/temporary-file.ts";
import type { Clock } from "../../util/time.ts";
import { JOURNAL_NAME } from "./layout-journal.ts";
import { LOCK_NAME, refuseLinks, TEMPORARY_FOLDER, withListLock } from "./layout-presence.ts";

/** Maximum number of bytes of `oci-layout`. */
const MARKER_LIMIT = 64 * 1024;
const layoutSchema = z.looseObject({ imageLayoutVersion: z.string() });

/** True if a directory is an image layout. */
export function isLayoutFolder(directory: string): boolean {
  return kindAt(join(directory, "oci-layout")) === "file";
}

/** Checks that the directory is a layout. Throws NOT_FOUND, FILE_SYSTEM, CONTENT_INVALID. */
export async function checkLayout(directory: string): Promise<void> {
  const path = join(directory, "oci-layout");
  try {
    const { imageLayoutVersion } = parseBySchema((await readBounded(path, MARKER_LIMIT)).bytes, layoutSchema, path);
    if (!imageLayoutVersion.startsWith("1."))
      throw new StaveError(
        "CONTENT_INVALID",
        `${path} has layout version ${JSON.stringify(imageLayoutVersion.slice(0, 40))}, expected 1.0.0`,
        { subject: path },
      );
  } catch (cause) {
    const error = fileError(cause, "read", path);
    const code = error.system ?? systemCode(error.cause);
    if (code === "ENOTDIR")
      throw new StaveError("FILE_SYSTEM", `${directory} is a file, expected an image layout directory`, {
        subject: directory,
        hint: "name a folder",
      });
    if (!isStaveError(error, "NOT_FOUND")) throw error;
    const isThere = await stat(directory).then(
      () => true,
      () => false,
    );
    throw new StaveError(
      "NOT_FOUND",
      isThere
        ? `${directory} is not an image layout directory: it has no oci-layout file`
        : `there is no directory ${directory}`,
      { subject: directory, hint: "check the path" },
    );
  }
}

/** Decides by name what may already be in a folder that becomes a layout. */
type MayStay = (name: string) => Promise<boolean>;

const NOTHING: MayStay = () => Promise.resolve(false);

/**
 * True if a directory is no layout but can become one: it must be missing or empty, except for entries that `mayStay`
 * allows. Throws USAGE for a folder with other content.
 */
export async function mayBecomeLayout(directory: string, mayStay: MayStay = NOTHING): Promise<boolean> {
  try {
    await checkLayout(directory);
    return false;
  } catch (error) {
    if (!isStaveError(error, "NOT_FOUND")) throw error;
  }
  refuseLinks(directory);
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return true;
    throw fileError(cause, "read", directory);
  }
  for (const name of names) {
    if (OURS.has(name) || (await mayStay(name))) continue;
    throw new StaveError(
      "USAGE",
      `${directory} is not empty and not an image layout directory (it has ${JSON.stringify(name)})`,
      { subject: directory, hint: "choose an empty or new folder" },
    );
  }
  return true;
}

/** Makes the directory a layout if it is not one. Throws as `mayBecomeLayout`, and FILE_SYSTEM. */
export async function createLayout(directory: string, clock: Clock, mayStay?: MayStay): Promise<void> {
  if (!(await mayBecomeLayout(directory, mayStay))) return;
  try {
    makeFolder(directory);
    makeFolder(join(directory, "blobs", "sha256"));
    const write = async (name: string, text: string): Promise<void> => {
      const temporary = await createTemporary(join(directory, TEMPORARY_FOLDER), clock);
      await replaceWith(join(directory, name), temporary, (file) => file.appendFile(text));
    };
    // Several processes may get here at once; the marker is written last, after everything else.
    await withListLock(directory, clock, async () => {
      const isThere = await stat(join(directory, "index.json")).then(
        () => true,
        () => false,
      );
      if (!isThere) await write("index.json", EMPTY);
      await write("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
    });
  } catch (cause) {
    throw fileError(cause, "write", directory);
  }
}

const EMPTY = JSON.stringify(emptyIndex());

/** True if, judging by file sizes, a layout lists nothing. */
export async function isEmptyLayout(directory: string): Promise<boolean> {
  const sizes = await Promise.all(
    ["index.json", JOURNAL_NAME].map((name) =>
      lstat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return (sizes[0] ?? 0) <= EMPTY.length && sizes[1] === 0;
}

/** What an interrupted or concurrent creation of the layout may have left. */
const OURS = new Set([LOCK_NAME, TEMPORARY_FOLDER, "blobs", "index.json", "oci-layout"]);
/** The files and folders of a layout through which all its content is reached. */
export const LAYOUT_FILES: readonly string[] = [...OURS, JOURNAL_NAME, "blobs/sha256", "blobs/sha512"];
/** What a layout contains while a process writes to it, or after a writer was killed. */
export const LEFTOVERS: readonly string[] = [TEMPORARY_FOLDER, JOURNAL_NAME];

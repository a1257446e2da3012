// The journal of a layout: changes of a long index.json that are not written to it yet, one line each, in order. An
// incomplete last line counts as not written.
import { constants, lstatSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import * as z from "zod";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { descriptorSchema } from "../../oci/descriptor.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { type Assignment, isSound } from "./layout-entries.ts";

/** The file name of the journal in the layout directory. */
export const JOURNAL_NAME = ".stave-journal";
const JOURNAL_LIMIT = 256 * 1024 * 1024;

const lineSchema = z.array(z.tuple([z.string().max(300), z.array(descriptorSchema).max(100_000)])).max(1_000_000);

/** Complete lines of a journal. */
export interface JournalPart {
  readonly assignments: readonly Assignment[];
  /** The offset after the last complete line, in bytes. */
  readonly end: number;
}

/** The journal of one layout. Writers hold the layout's lock; readers do not. */
export class LayoutJournal {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The size in bytes, 0 if there is no journal. */
  size(): number {
    try {
      return lstatSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
    } catch (cause) {
      throw fileError(cause, "look at", this.path);
    }
  }

  /** Reads the complete lines from an offset on. Throws CONTENT_INVALID for a malformed line. */
  async read(start: number): Promise<JournalPart> {
    const text = await this.#bytes(start);
    const end = text.lastIndexOf(10) + 1;
    const assignments: Assignment[] = [];
    for (const line of text.subarray(0, end).toString("utf8").split("\n").slice(0, -1))
      for (const assignment of parseBySchema(line, lineSchema, this.path)) {
        if (!isSound(assignment))
          throw new StaveError("CONTENT_INVALID", `${this.path} has an entry under a wrong key`, {
            subject: this.path,
          });
        assignments.push(assignment);
      }
    return { assignments, end: start + end };
  }

  async #bytes(start: number): Promise<Buffer> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(this.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const { size } = await handle.stat();
      if (size > JOURNAL_LIMIT)
        throw new StaveError("TOO_LARGE", `${this.path} has ${size} bytes, more than the limit of ${JOURNAL_LIMIT}`, {
          subject: this.path,
        });
      const bytes = Buffer.alloc(Math.max(0, size - start));
      let have = 0;
      while (have < bytes.byteLength) {
        const { bytesRead } = await handle.read(bytes, have, bytes.byteLength - have, start + have);
        if (bytesRead === 0) break;
        have += bytesRead;
      }
      return bytes.subarray(0, have);
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return Buffer.alloc(0);
      throw fileError(cause, "read", this.path);
    } finally {
      await handle?.close();
    }
  }

  /** Appends a line at `end`, the end of the last complete one, and returns its own end. The line is then on disk. */
  async append(assignments: readonly Assignment[], end: number): Promise<number> {
    const line = Buffer.from(`${JSON.stringify(assignments)}\n`);
    let handle: FileHandle | undefined;
    try {
      handle = await open(this.path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o666);
      // Cut off what a killed writer left unfinished.
      await handle.truncate(end);
      await handle.write(line, 0, line.byteLength, end).then(async ({ bytesWritten }) => {
        if (bytesWritten < line.byteLength)
          await handle?.write(line, bytesWritten, line.byteLength - bytesWritten, end + bytesWritten);
      });
      await handle.datasync();
      return end + line.byteLength;
    } catch (cause) {
      await handle?.truncate(end).catch(() => {});
      throw fileError(cause, "write", this.path);
    } finally {
      await handle?.close();
    }
  }

  /** Removes the journal after a fold. */
  async remove(): Promise<void> {
    try {
      await rm(this.path, { force: true });
    } catch (cause) {
      throw fileError(cause, "remove", this.path);
    }
  }
}

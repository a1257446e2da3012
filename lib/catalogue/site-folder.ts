// The folder of a catalogue: documents are written beside those of the last run, and the start document is replaced
// last, so that readers see the old or the new catalogue, never a mixture. Removes only what an earlier run wrote.
import { lstatSync } from "node:fs";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileError, isStaveError, StaveError } from "../errors.ts";
import { Digester, hexOf } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { closeAfterError } from "../util/close-all.ts";
import { LockFile } from "../util/file-lock.ts";
import { makeFolder } from "../util/folder.ts";
import { kindAt } from "../util/inspect-path.ts";
import { replaceFile } from "../util/replace-file.ts";
import type { Clock } from "../util/time.ts";

/** Marks a folder as that of a catalogue; the first file that is written. Each run locks it. */
const MARKER = ".stave-catalogue";
const MARKER_TEXT = "This folder was written by `stave web`, which replaces its files.\n";
const FOLDERS = ["assets", "data", "plain"] as const;
/** The end of the name of a file that is being written. */
const NEW = ".new";
const FILES = ["index.html", "catalogue.json"].flatMap((name) => [name, `${name}${NEW}`]);
const OWN = new Set<string>([...FOLDERS, ...FILES]);
/** How long to wait for another run, in seconds. */
const LOCK_TIMEOUT = 60;
const DATA_NAME = /^(?:[0-9a-f]{16}|new-[0-9]+)$/;

/** How to open a folder. */
export interface SiteFolderOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** A folder that receives a catalogue. Other runs wait until it is closed. */
export class SiteFolder implements AsyncDisposable {
  readonly #folder: string;
  readonly #fresh: string;
  readonly #digester = new Digester();
  readonly #folders = new Set<string>();
  #lock: LockFile | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#fresh = join("data", `new-${process.pid}`);
  }

  /** Checks a folder, and changes nothing. Throws USAGE if it has other files, FILE_SYSTEM if it cannot be read. */
  static async check(folder: string): Promise<void> {
    let names: string[];
    try {
      names = await readdir(folder);
    } catch (cause) {
      const error = fileError(cause, "read", folder);
      if (error.system === "ENOENT") return;
      throw error;
    }
    // Version control and web servers keep files of their own beside the pages.
    const others = names.filter((name) => !OWN.has(name) && !name.startsWith("."));
    const isOurs = names.includes(MARKER);
    const [first] = isOurs ? others : names.filter((name) => !name.startsWith("."));
    if (first !== undefined) throw occupied(folder, first);
    for (const name of names) {
      if (!OWN.has(name) && name !== MARKER) continue;
      // Another run may have renamed its new file meanwhile.
      const info = lstatSync(join(folder, name), { throwIfNoEntry: false });
      const isFolder = FOLDERS.some((own) => own === name);
      // A link could lead anywhere.
      if (info !== undefined && !(isFolder ? info.isDirectory() : info.isFile())) throw occupied(folder, name);
    }
  }

  /**
   * Prepares a folder, which is created if it does not exist. Throws what `check` throws, and CONFLICT if another run
   * does not end.
   */
  static async open(folder: string, options: SiteFolderOptions): Promise<SiteFolder> {
    await SiteFolder.check(folder);
    const site = new SiteFolder(folder);
    await site.#write(MARKER, MARKER_TEXT);
    site.#lock = await lockOf(join(folder, MARKER), options);
    try {
      await rm(join(folder, site.#fresh), { recursive: true, force: true });
    } catch (error) {
      await closeAfterError(() => site.close());
      throw error;
    }
    return site;
  }

  /** Lets other runs write. */
  async close(): Promise<void> {
    await this.#lock?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Writes a document below the folder of data. */
  async writeData(path: string, text: string): Promise<void> {
    this.#digester.update(Buffer.from(`${path}\0${text.length}\0${text}`));
    await this.#write(join(this.#fresh, path), text);
  }

  /** Gives the data their final name, which follows from their content, and returns their folder. */
  async nameData(): Promise<string> {
    const name = join("data", hexOf(this.#digester.digest()).slice(0, 16));
    const [from, to] = [join(this.#folder, this.#fresh), join(this.#folder, name)];
    try {
      makeFolder(from);
      // The same name means the same content, which readers may be using.
      if (kindAt(to) === "folder") await rm(from, { recursive: true, force: true });
      else await rename(from, to);
    } catch (cause) {
      throw fileError(cause, "write", to);
    }
    return name;
  }

  /** Writes or replaces a file at once. */
  async replace(path: string, text: string): Promise<void> {
    const full = join(this.#folder, path);
    this.#make(dirname(full));
    await replaceFile(full, { temporary: `${full}${NEW}`, isDurable: false }, (file) => file.writeFile(text));
  }

  /** Removes what the catalogue no longer needs; `kept` are paths of files and of the folder of data. */
  async removeOthers(kept: ReadonlySet<string>): Promise<number> {
    let removed = 0;
    for (const folder of FOLDERS) {
      const names = await readdir(join(this.#folder, folder));
      for (const name of names) {
        const path = join(folder, name);
        const isOurs =
          folder === "data" ? DATA_NAME.test(name) : /^[\w-]{1,60}\.(?:html|js|css|svg)(?:\.new)?$/.test(name);
        if (!isOurs || kept.has(path)) continue;
        await rm(join(this.#folder, path), { recursive: true, force: true });
        removed++;
      }
    }
    return removed;
  }

  /** Removes the data of a run that failed. */
  async discard(): Promise<void> {
    await rm(join(this.#folder, this.#fresh), { recursive: true, force: true });
  }

  async #write(path: string, text: string): Promise<void> {
    const full = join(this.#folder, path);
    try {
      this.#make(dirname(full));
      await writeFile(full, text);
    } catch (cause) {
      throw fileError(cause, "write", full);
    }
  }

  #make(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      makeFolder(folder);
    } catch (cause) {
      throw fileError(cause, "write", folder);
    }
    this.#folders.add(folder);
  }
}

// Without locks, pages are better written than not: two runs at once are rare.
async function lockOf(path: string, { clock, signal }: SiteFolderOptions): Promise<LockFile | undefined> {
  let lock: LockFile;
  try {
    lock = await LockFile.open(path);
  } catch (error) {
    if (!isStaveError(error, "UNSUPPORTED")) throw error;
    return undefined;
  }
  try {
    await lock.lock("exclusive", { clock, signal, timeout: LOCK_TIMEOUT, hint: "wait until the other run has ended" });
    return lock;
  } catch (error) {
    await closeAfterError(() => lock.close());
    if (!isStaveError(error, "FILE_SYSTEM")) throw error;
    return undefined;
  }
}

function occupied(folder: string, name: string): StaveError {
  return new StaveError("USAGE", `${printable(folder)} has other content: ${printable(name)}`, {
    subject: folder,
    hint: "name a new folder for the catalogue, or an empty one",
  });
}

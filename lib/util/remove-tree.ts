// Removes a folder of a held tree with its content, which is not trusted: links are removed but never followed, even if
// a folder is replaced by a link meanwhile, and deep trees need neither more descriptors nor more time per entry.
import { randomBytes } from "node:crypto";
import { renameSync, rmdirSync, unlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { fileError, systemCode } from "../errors.ts";
import { type ByteString, shownName } from "./byte-string.ts";
import type { HeldTree } from "./held-tree.ts";

/** Folders deeper than this are moved up first, so that the tree always holds the parents of the current one. */
const DEEPEST = 10;
/** Other work gets a turn after this many removals. */
const BATCH = 500;

/**
 * Removes what is at a path, if anything, even folders without write permission. Throws ARCHIVE_UNSAFE and FILE_SYSTEM.
 */
export async function removeTree(tree: HeldTree, path: ByteString): Promise<void> {
  try {
    const stats = tree.stats(path);
    if (stats === undefined) return;
    if (stats.isDirectory()) await new Removal(tree, path).run();
    else remove(() => unlinkSync(tree.at(path)));
  } catch (cause) {
    throw fileError(cause, "remove", `${tree.directory}/${shownName(path)}`);
  }
}

class Removal {
  readonly #tree: HeldTree;
  readonly #top: ByteString;
  /** The folders that were moved up. */
  readonly #moved: ByteString[] = [];
  #count = 0;

  constructor(tree: HeldTree, top: ByteString) {
    this.#tree = tree;
    this.#top = top;
  }

  async run(): Promise<void> {
    this.#open(this.#top);
    await this.#empty(this.#top, 1);
    for (let next = this.#moved.pop(); next !== undefined; next = this.#moved.pop()) await this.#folder(next, 1);
    remove(() => rmdirSync(this.#tree.at(this.#top)));
  }

  async #folder(path: ByteString, depth: number): Promise<void> {
    this.#open(path);
    await this.#empty(path, depth + 1);
    remove(() => rmdirSync(this.#tree.at(path)));
  }

  async #empty(folder: ByteString, depth: number): Promise<void> {
    for (const entry of this.#tree.entries(folder)) {
      const path = `${folder}/${entry.name}`;
      if (++this.#count % BATCH === 0) await setImmediate();
      if (!entry.isDirectory()) remove(() => unlinkSync(this.#tree.at(path)));
      else if (depth < DEEPEST) await this.#folder(path, depth);
      else this.#moveUp(path);
    }
  }

  #moveUp(path: ByteString): void {
    const up = `${this.#top}/.stave-${randomBytes(12).toString("hex")}`;
    // Moving a folder into another one changes its `..`, which requires permission to write to it.
    this.#open(path);
    // Both parent folders are held, so the second lookup keeps the path of the first valid.
    renameSync(this.#tree.at(path), this.#tree.at(up));
    this.#moved.push(up);
  }

  // Gives this user full permission on a folder.
  #open(folder: ByteString): void {
    const mode = this.#tree.stats(folder)?.mode ?? 0o700;
    if ((mode & 0o700) !== 0o700) this.#tree.chmod(folder, 0o700);
  }
}

function remove(work: () => void): void {
  try {
    work();
  } catch (cause) {
    if (systemCode(cause) !== "ENOENT") throw cause;
  }
}

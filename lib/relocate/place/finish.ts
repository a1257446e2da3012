// Applies Spack's post-install hooks after relocation: scripts whose first line is too long for the system go through
// `sbang` (Spack `hooks/sbang.py`), and search paths lose folders that do not exist (Spack
// `hooks/drop_redundant_rpaths.py`).
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { ELF_MAGIC } from "../../util/elf.ts";
import { dropRpathItems } from "../file/elf-file.ts";
import { type OpenFile, Tree } from "../file/open-file.ts";
import { insertHead, WINDOW } from "../file/text-file.ts";

/** How to finish a prefix. */
export interface FinishOptions {
  /** The recorded path of the script `sbang`. */
  readonly sbang: string;
  /** The longest first line, its newline included, in bytes: 127 on Linux, 511 on macOS. */
  readonly longestLine?: number | undefined;
  /** True if an absolute path in a search path exists; without it, search paths are left alone. */
  readonly exists?: ((path: string) => boolean) | undefined;
}

/** The changed files, as printable paths below the prefix. */
export interface FinishReport {
  readonly shebangs: string[];
  readonly rpaths: string[];
}

// The smallest limit of all Linux versions.
const LONGEST_LINE = 127;
// Longer first lines are left alone.
const LINE_LIMIT = 4096;
const ANY_EXECUTE = 0o111;

/** Finishes the files of one prefix, for callers that read them all anyway. Dispose of it when done. */
export class Finisher implements Disposable {
  readonly #tree: Tree;
  readonly #options: FinishOptions;
  readonly #seen = new Set<string>();
  readonly report: { readonly shebangs: string[]; readonly rpaths: string[] } = { shebangs: [], rpaths: [] };

  constructor(directory: string, options: FinishOptions) {
    this.#tree = new Tree(directory, false);
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]();
  }

  /** True if a file with this mode and first bytes (at least four, if it has them) may need finishing. */
  wants(head: Buffer, mode: number): boolean {
    return (isScript(head) && (mode & ANY_EXECUTE) !== 0) || (this.#options.exists !== undefined && isElf(head));
  }

  /** Finishes a file that is wanted. Throws FILE_SYSTEM. */
  async finish(path: ByteString): Promise<void> {
    const { sbang, longestLine = LONGEST_LINE, exists } = this.#options;
    await this.#tree.open(path, (file) => {
      if (file.inode !== undefined && this.#seen.has(file.inode)) return;
      if (file.inode !== undefined) this.#seen.add(file.inode);
      const shown = shownName(path);
      const head = readHead(file);
      if (isScript(head) && shortenShebang(file, sbang, longestLine)) this.report.shebangs.push(shown);
      if (exists !== undefined && isElf(head) && dropRpathItems(file, (item) => isKept(item, exists)))
        this.report.rpaths.push(shown);
    });
  }
}

const isScript = (head: Buffer): boolean => head.length >= 2 && head.toString("latin1", 0, 2) === "#!";
const isElf = (head: Buffer): boolean => head.length >= 4 && head.readUInt32BE(0) === ELF_MAGIC;

function readHead(file: OpenFile): Buffer {
  const head = Buffer.alloc(4);
  return head.subarray(0, file.read(head, 0));
}

// Keeps existing paths, and items that the loader expands.
function isKept(item: Buffer, exists: (path: string) => boolean): boolean {
  const text = item.toString("utf8");
  return text.startsWith("$") || (text.startsWith("/") && exists(text));
}

/**
 * Inserts the `sbang` line before a script's first line if that is too long; returns true if it did. The old line
 * becomes a comment in the language of its interpreter.
 */
export function shortenShebang(file: OpenFile, sbang: string, longestLine: number): boolean {
  const bytes = Buffer.alloc(LINE_LIMIT);
  const start = bytes.subarray(0, file.read(bytes, 0));
  const newline = start.indexOf("\n");
  // A first line without newline counts if the file ends with it.
  if (newline < 0 && start.length === LINE_LIMIT) return false;
  const line = newline < 0 ? start : start.subarray(0, newline + 1);
  if (line.length <= longestLine) return false;
  const first = Buffer.from(`#!/bin/sh ${sbang}\n`, "utf8");
  const interpreter = /^#![ \t]*([^ \t\0\n]+)/.exec(line.toString("latin1"))?.[1];
  if (interpreter === undefined || line.equals(first)) return false;
  insertHead(file, line.length, Buffer.concat([first, asComment(line, interpreter)]), WINDOW);
  return true;
}

function asComment(line: Buffer, interpreter: string): Buffer {
  const rest = line.subarray(2);
  if (/\/lua(?:jit)?$/.test(interpreter)) return Buffer.concat([Buffer.from("--!"), rest]);
  if (interpreter.endsWith("/node")) return Buffer.concat([Buffer.from("//!"), rest]);
  if (interpreter.endsWith("/php")) return Buffer.concat([Buffer.from("<?php "), line, Buffer.from(" ?>")]);
  return line;
}

// Relocates the files of a tree: headers and C strings of programs, texts, links (Spack `binary_distribution.py`,
// relocate_package). The caller provides the list of files, from an archive's build info or from a scan.
import { isStaveError, StaveError } from "../../errors.ts";
import type { RelocatableFiles } from "../../image/archive/build-info-writer.ts";
import { isProgram } from "../../image/archive/file-kind.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { ELF_MAGIC } from "../../util/elf.ts";
import { SAFETY_SIZE } from "../file/c-strings.ts";
import { elfRanges, forgetElfPaths, relocateElfFile } from "../file/elf-file.ts";
import { relocateLink } from "../file/links.ts";
import { type OpenFile, Tree } from "../file/open-file.ts";
import { type FindPatchelf, patchHeaders, programFor } from "../file/patchelf.ts";
import { relocateStringFile, type StuckReport } from "../file/string-file.ts";
import { relocateTextFile } from "../file/text-file.ts";
import type { PrefixMap } from "../prefix/prefix-map.ts";
import { Breath } from "./pauses.ts";

/** How to relocate a tree. */
export interface RelocateOptions {
  readonly map: PrefixMap;
  /** The files to relocate; paths below the tree. */
  readonly files: RelocatableFiles;
  /** Files of other formats: prefixes in them are replaced if the length can stay the same. Spack leaves them alone. */
  readonly others?: readonly ByteString[] | undefined;
  /** Report all changes, and whether they are possible, but make none. */
  readonly dryRun?: boolean | undefined;
  /** Finds `patchelf`, in case a search path or interpreter must grow. */
  readonly findPatchelf?: FindPatchelf | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each examined file with its size in bytes. */
  readonly onFile?: ((path: string, size: number) => void) | undefined;
}

/** What was changed, or would be, as printable paths below the tree. */
export interface RelocationReport {
  readonly texts: string[];
  readonly links: string[];
  /** Search path or interpreter changed in place. */
  readonly headers: string[];
  /** Search path or interpreter made longer by `patchelf`. */
  readonly patched: string[];
  /** C strings changed. */
  readonly strings: string[];
  /** Mach-O files: their C strings are relocated, their load commands are not. */
  readonly machO: string[];
  /** Files of other formats changed. */
  readonly others: string[];
}

/** How many failures are reported in full. */
const MOST_FAILURES = 100;

/**
 * Relocates the files of a tree in place. One file's failure does not stop the others; at the end all failures are
 * thrown as one RELOCATION_FAILED, and the tree is unusable unless it was a dry run. Throws ARCHIVE_UNSAFE at once for
 * paths that leave the tree, and FILE_SYSTEM.
 */
export async function relocateTree(directory: string, options: RelocateOptions): Promise<RelocationReport> {
  using tree = new Tree(directory, options.dryRun ?? false);
  const relocation = new Relocation(tree, options);
  return options.map.isEmpty ? relocation.report : await relocation.run();
}

class Relocation {
  readonly #tree: Tree;
  readonly #options: RelocateOptions;
  readonly #seen = new Set<string>();
  readonly #failures: StaveError[] = [];
  #failed = 0;
  readonly #breath: Breath;
  readonly report: RelocationReport = {
    texts: [],
    links: [],
    headers: [],
    patched: [],
    strings: [],
    machO: [],
    others: [],
  };

  constructor(tree: Tree, options: RelocateOptions) {
    this.#tree = tree;
    this.#options = options;
    this.#breath = new Breath(options.signal);
  }

  async run(): Promise<RelocationReport> {
    const { files, others = [], map } = this.#options;
    for (const path of files.links)
      await this.#each(path, () => {
        if (relocateLink(this.#tree, path, map)) this.report.links.push(shownName(path));
        return 0;
      });
    for (const path of files.texts) await this.#open(path, (file) => this.#text(file));
    for (const path of files.binaries) await this.#open(path, (file) => this.#binary(file));
    for (const path of others) await this.#open(path, (file) => this.#other(file));
    const [first, ...more] = this.#failures;
    if (first === undefined) return this.report;
    if (more.length === 0) throw first;
    const message = `${this.#failed} files cannot be relocated`;
    throw new StaveError("RELOCATION_FAILED", message, { errors: this.#failures });
  }

  #text(file: OpenFile): void {
    if (relocateTextFile(file, this.#options.map, this.#tree.isDryRun)) this.report.texts.push(shownName(file.path));
  }

  async #binary(file: OpenFile): Promise<void> {
    const { map } = this.#options;
    const isDryRun = this.#tree.isDryRun;
    const shown = shownName(file.path);
    if (isMachO(file)) this.report.machO.push(shown);
    const outcome = relocateElfFile(file, map);
    if (outcome.kind === "changed") this.report.headers.push(shown);
    if (outcome.kind === "grow") {
      const { findPatchelf = () => undefined, signal } = this.#options;
      const program = programFor(file, findPatchelf);
      if (isDryRun) forgetElfPaths(file, outcome.paths);
      else await patchHeaders(file, outcome.paths, program, this.#tree.held, signal);
      this.report.patched.push(shown);
    }
    const done = map.isNested && outcome.kind !== "same" ? elfRanges(file) : [];
    const { isChanged, stuck } = relocateStringFile(file, map, { dryRun: isDryRun, done });
    if (stuck !== undefined) throw stuckError(shown, stuck);
    if (isChanged) this.report.strings.push(shown);
  }

  // All or nothing: a file that mixes old and new paths would be worse than either.
  #other(file: OpenFile): void {
    const { map } = this.#options;
    const { isChanged, stuck } = relocateStringFile(file, map, { dryRun: true, rule: "pad" });
    if (stuck !== undefined || !isChanged) return;
    if (!this.#tree.isDryRun) relocateStringFile(file, map, { dryRun: false, rule: "pad" });
    this.report.others.push(shownName(file.path));
  }

  // Opens a file unless it was already handled under another name.
  async #open(path: ByteString, work: (file: OpenFile) => void | Promise<void>): Promise<void> {
    await this.#each(path, () =>
      this.#tree.open(path, async (file) => {
        if (file.inode !== undefined && this.#seen.has(file.inode)) return 0;
        if (file.inode !== undefined) this.#seen.add(file.inode);
        await work(file);
        return file.size;
      }),
    );
  }

  async #each(path: ByteString, work: () => number | Promise<number>): Promise<void> {
    this.#options.signal?.throwIfAborted();
    let size = 0;
    try {
      size = await work();
    } catch (error) {
      if (!isStaveError(error, "RELOCATION_FAILED")) throw error;
      this.#failed++;
      if (this.#failures.length < MOST_FAILURES) this.#failures.push(error);
    }
    this.#options.onFile?.(shownName(path), size);
    await this.#breath.after(size);
  }
}

function isMachO(file: OpenFile): boolean {
  const head = Buffer.alloc(8);
  return file.read(head, 0) === head.length && isProgram(head) && head.readUInt32BE(0) !== ELF_MAGIC;
}

function stuckError(path: string, { string, oldPrefix, newPrefix, reason, room }: StuckReport): StaveError {
  const [text, old, now] = [string, oldPrefix, newPrefix].map((each) => JSON.stringify(each));
  const problem =
    reason === "grow"
      ? `in the string ${text} there is room for a prefix of ${room} bytes, ${now} has ${Buffer.byteLength(newPrefix)}`
      : `the string ${text} may share its last ${SAFETY_SIZE} bytes with others, so ${now} would have to end like ${old}`;
  const or = reason === "shrink" && room > 0 ? ` or have at most ${room} bytes` : "";
  return new StaveError("RELOCATION_FAILED", `cannot relocate ${path}: ${problem}${or}`, {
    subject: path,
    hint: "choose a shorter root, or build with more room: config:install_tree:padded_length",
  });
}

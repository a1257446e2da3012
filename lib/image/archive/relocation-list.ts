// Collects the files and links of a prefix that need relocation while its archive is made: the lists of the build info.

import { type ByteString, compareNames } from "../../util/byte-string.ts";
import type { Relocatable, RelocatableFiles } from "./build-info-writer.ts";
import { type Classifier, FileClassifier, type Relocation } from "./file-kind.ts";
import { LegacyClassifier } from "./file-kind-legacy.ts";
import { beginsWithTerm, searchTerms } from "./prefix-search.ts";

/** One name of a file, and how it is relocated. */
interface Found {
  readonly relative: ByteString;
  /** Device and inode of a file with several links; otherwise undefined. */
  readonly inode: string | undefined;
  readonly relocation: Relocation;
}

/** Decides what is listed; entries are added in archive order. */
export interface RelocationList {
  /** Returns a classifier for a file's content; undefined if the content does not matter. */
  classifier(relative: ByteString): Classifier | undefined;
  file(relative: ByteString, inode: string | undefined, relocation: Relocation): void;
  /** Adds another name of a file that was added before. */
  hardLink(relative: ByteString, inode: string): void;
  symlink(relative: ByteString, target: ByteString): void;
  end(): RelocatableFiles;
}

/** Creates the list for an archive, in the format of Spack 1.x or of Spack before 1.0. */
export function relocationList(spec: Relocatable): RelocationList {
  return spec.legacy ? new LegacyList(spec) : new List(spec);
}

// Spack 1.x: archive order, one name per file; files under `.spack` are left out (links there are not).
class List implements RelocationList {
  readonly #terms: readonly Buffer[];
  readonly #files = { binaries: [] as ByteString[], links: [] as ByteString[], texts: [] as ByteString[] };

  constructor(spec: Relocatable) {
    this.#terms = searchTerms(spec.mentioned);
  }

  classifier(relative: ByteString): Classifier | undefined {
    return relative.split("/", 1)[0] === ".spack" ? undefined : new FileClassifier(this.#terms);
  }

  file(relative: ByteString, _inode: string | undefined, relocation: Relocation): void {
    if (relocation === "binary") this.#files.binaries.push(relative);
    if (relocation === "text") this.#files.texts.push(relative);
  }

  hardLink(): void {}

  symlink(relative: ByteString, target: ByteString): void {
    if (beginsWithTerm(Buffer.from(target, "latin1"), this.#terms)) this.#files.links.push(relative);
  }

  end(): RelocatableFiles {
    return this.#files;
  }
}

// Spack 0.22 and 0.23: a separate walk that sorts files and directories together and leaves out `man` and `.spack` at
// every depth; of a file with several names, the first one in this walk is listed.
class LegacyList implements RelocationList {
  readonly #terms: readonly Buffer[];
  readonly #root: Buffer;
  readonly #found: Found[] = [];
  readonly #kinds = new Map<string, Relocation>();
  readonly #links: ByteString[] = [];

  constructor(spec: Relocatable) {
    this.#terms = searchTerms(spec.mentioned);
    this.#root = Buffer.from(spec.root, "utf8");
  }

  classifier(): Classifier {
    return new LegacyClassifier(this.#terms);
  }

  file(relative: ByteString, inode: string | undefined, relocation: Relocation): void {
    if (inode !== undefined) this.#kinds.set(inode, relocation);
    if (isVisited(relative)) this.#found.push({ relative, inode, relocation });
  }

  hardLink(relative: ByteString, inode: string): void {
    const relocation = this.#kinds.get(inode) ?? "none";
    if (isVisited(relative)) this.#found.push({ relative, inode, relocation });
  }

  symlink(relative: ByteString, target: ByteString): void {
    if (isVisited(relative) && beginsWithTerm(Buffer.from(target, "latin1"), [this.#root])) this.#links.push(relative);
  }

  end(): RelocatableFiles {
    const seen = new Set<string>();
    const listed = this.#found
      .sort((a, b) => compareWalk(a.relative, b.relative))
      .filter(({ inode }) => inode === undefined || (!seen.has(inode) && seen.add(inode)));
    const names = (kind: Relocation): ByteString[] =>
      listed.filter(({ relocation }) => relocation === kind).map(({ relative }) => relative);
    return { binaries: names("binary"), texts: names("text"), links: this.#links.sort(compareWalk) };
  }
}

function isVisited(relative: ByteString): boolean {
  return !relative
    .split("/")
    .slice(0, -1)
    .some((part) => part === "man" || part === ".spack");
}

// Compares paths part by part, the order of a depth-first walk.
function compareWalk(a: ByteString, b: ByteString): number {
  const left = a.split("/");
  const right = b.split("/");
  for (const [at, part] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    const order = compareNames(part, other);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

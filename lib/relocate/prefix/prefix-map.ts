// Old prefixes and what replaces them, and how they are found in bytes: Spack's regular expression `P1|P2|…`, where at
// one place the first alternative wins and not the longest (Spack `relocate_text.py`).
import { StaveError } from "../../errors.ts";
import { bytesOfText, shownName } from "../../util/byte-string.ts";

/** A prefix and its replacement. */
export interface PrefixPair {
  readonly old: Buffer;
  readonly new: Buffer;
}

/** A prefix that was found. */
export interface PrefixHit {
  readonly at: number;
  readonly pair: PrefixPair;
}

// Linux' PATH_MAX: what is longer names no file. It bounds the work at one place.
const LONGEST_PATH = 4096;

// A trie of the prefixes. Every prefix below a node was given before the node's own, because otherwise it could never
// win and is left out. So the deepest match is the first matching alternative.
interface Branch {
  label: Buffer;
  pair: PrefixPair | undefined;
  children: Map<number, Branch>;
}

/** An ordered map from old prefixes to new ones; pairs of equals are left out, as Spack leaves them out. */
export class PrefixMap {
  readonly pairs: readonly PrefixPair[];
  /** The length of the longest old prefix, in bytes. */
  readonly longest: number;
  readonly #tree: Branch | undefined;

  /**
   * Takes pairs in order of preference; a later pair for the same prefix overrides the new one and keeps the place.
   * Throws RELOCATION_FAILED for a prefix that is not absolute, is the root folder, has a NUL or is longer than a path
   * may be.
   */
  constructor(pairs: Iterable<readonly [string, string]>) {
    const once = new Map<string, string>();
    for (const [from, to] of pairs) once.set(checked(from, "old"), checked(to, "new"));
    const bytes = (path: string): Buffer => Buffer.from(bytesOfText(path), "latin1");
    this.pairs = [...once]
      .filter(([from, to]) => from !== to)
      .map(([from, to]) => ({ old: bytes(from), new: bytes(to) }));
    this.longest = Math.max(0, ...this.pairs.map((pair) => pair.old.length));
    let tree: Branch | undefined;
    for (const pair of this.pairs) {
      if (tree === undefined) tree = { label: pair.old, pair, children: new Map() };
      else insert(tree, pair);
    }
    this.#tree = tree;
  }

  /** Whether there is nothing to replace. */
  get isEmpty(): boolean {
    return this.#tree === undefined;
  }

  /** Whether a new prefix has an old one in it, so that what was replaced looks as if it were not. */
  get isNested(): boolean {
    return this.pairs.some((pair) => this.find(pair.new, 0) !== undefined);
  }

  /** The prefix that stands at a place. */
  matchAt(bytes: Buffer, at: number): PrefixPair | undefined {
    let found: PrefixPair | undefined;
    let end = at;
    for (let branch = this.#tree; branch !== undefined; branch = branch.children.get(bytes[end] ?? -1)) {
      const { label } = branch;
      const start = end;
      end += label.length;
      if (end > bytes.length || label.compare(bytes, start, end) !== 0) break;
      found = branch.pair ?? found;
    }
    return found;
  }

  /** The first prefix that begins at `from` or later, and before `before`. */
  find(bytes: Buffer, from: number, before: number = bytes.length): PrefixHit | undefined {
    if (this.#tree === undefined) return undefined;
    const { label } = this.#tree;
    for (let at = bytes.indexOf(label, from); at >= 0 && at < before; at = bytes.indexOf(label, at + 1)) {
      const pair = this.matchAt(bytes, at);
      if (pair !== undefined) return { at, pair };
    }
    return undefined;
  }

  /** The bytes with the prefix at their beginning replaced; undefined when they begin with none. */
  replaceStart(bytes: Buffer): Buffer | undefined {
    const pair = this.matchAt(bytes, 0);
    return pair === undefined ? undefined : Buffer.concat([pair.new, bytes.subarray(pair.old.length)]);
  }
}

function insert(tree: Branch, pair: PrefixPair): void {
  let branch = tree;
  for (let rest = pair.old; ; ) {
    const shared = sharedLength(branch.label, rest);
    if (shared < branch.label.length) split(branch, shared);
    // A shorter prefix that was given before always wins.
    if (branch.pair !== undefined) return;
    rest = rest.subarray(shared);
    const [first] = rest;
    if (first === undefined) {
      branch.pair = pair;
      return;
    }
    const child = branch.children.get(first);
    if (child === undefined) {
      branch.children.set(first, { label: rest, pair, children: new Map() });
      return;
    }
    branch = child;
  }
}

function split(branch: Branch, at: number): void {
  const lower = { ...branch, label: branch.label.subarray(at) };
  branch.label = branch.label.subarray(0, at);
  branch.pair = undefined;
  branch.children = new Map([[lower.label[0] ?? 0, lower]]);
}

function sharedLength(a: Buffer, b: Buffer): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

function checked(path: string, which: "old" | "new"): string {
  const problem = !path.startsWith("/")
    ? "is not absolute"
    : /^\/+$/.test(path)
      ? "is the root folder"
      : path.includes("\0")
        ? "has a NUL byte in it"
        : Buffer.byteLength(path) > LONGEST_PATH
          ? `is longer than ${LONGEST_PATH} bytes`
          : undefined;
  if (problem === undefined) return path;
  const shown = shownName(bytesOfText(path));
  throw new StaveError(
    "RELOCATION_FAILED",
    `cannot relocate: the ${which} prefix ${JSON.stringify(shown)} ${problem}`,
    {
      subject: shown,
    },
  );
}

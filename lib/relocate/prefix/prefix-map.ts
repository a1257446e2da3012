// Maps old prefixes to new ones and finds them in bytes: Spack's regular expression `P1|P2|…`, in which the first
// matching alternative wins, not the longest (Spack `relocate_text.py`).
import { StaveError } from "../../errors.ts";
import { bytesOfText, shownName } from "../../util/byte-string.ts";

/** A prefix and its replacement. */
export interface PrefixPair {
  readonly old: Buffer;
  readonly new: Buffer;
}

/** An occurrence of a prefix. */
export interface PrefixHit {
  readonly at: number;
  readonly pair: PrefixPair;
}

// Linux' PATH_MAX: anything longer is not a file name. It bounds the work per position.
const LONGEST_PATH = 4096;

// A trie of the prefixes. A prefix is left out if an earlier one always wins over it, so every prefix below a node
// comes before the node's own, and the deepest match is the first matching alternative.
interface Branch {
  label: Buffer;
  pair: PrefixPair | undefined;
  children: Map<number, Branch>;
}

/** An ordered map from old prefixes to new ones; as in Spack, pairs of equal prefixes are left out. */
export class PrefixMap {
  readonly pairs: readonly PrefixPair[];
  /** The length of the longest old prefix, in bytes. */
  readonly longest: number;
  readonly #tree: Branch | undefined;

  /**
   * Takes pairs in order of preference; a later pair for the same old prefix replaces the new one but keeps the
   * position. Throws RELOCATION_FAILED for a prefix that is not absolute, is the root folder, contains a NUL or exceeds
   * the length of a path.
   */
  constructor(pairs: Iterable<readonly [string, string]>) {
    const once = new Map<string, string>();
    for (const [from, to] of pairs) once.set(checked(from, "old"), checked(to, "new"));
    const bytes = (path: string): Buffer => Buffer.from(bytesOfText(path), "latin1");
    this.pairs = [...once]
      .filter(([from, to]) => from !== to)
      .map(([from, to]) => ({ old: bytes(from), new: bytes(to) }));
    this.longest = this.pairs.reduce((longest, { old }) => Math.max(longest, old.length), 0);
    let tree: Branch | undefined;
    for (const pair of this.pairs) {
      if (tree === undefined) tree = { label: pair.old, pair, children: new Map() };
      else insert(tree, pair);
    }
    this.#tree = tree;
  }

  /** True if there is nothing to replace. */
  get isEmpty(): boolean {
    return this.#tree === undefined;
  }

  /** True if a new prefix contains an old one, so that replaced text still contains an old prefix. */
  get isNested(): boolean {
    return this.pairs.some((pair) => this.find(pair.new, 0) !== undefined);
  }

  /** The prefix at a position. */
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

  /** The first prefix that starts at or after `from` and before `before`. */
  find(bytes: Buffer, from: number, before: number = bytes.length): PrefixHit | undefined {
    if (this.#tree === undefined) return undefined;
    const { label } = this.#tree;
    for (let at = bytes.indexOf(label, from); at >= 0 && at < before; at = bytes.indexOf(label, at + 1)) {
      const pair = this.matchAt(bytes, at);
      if (pair !== undefined) return { at, pair };
    }
    return undefined;
  }

  /** The bytes with the prefix at their start replaced; undefined if they start with none. */
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
    // An earlier, shorter prefix always wins.
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

function problemOf(path: string): string | undefined {
  if (!path.startsWith("/")) return "is not absolute";
  if (/^\/+$/.test(path)) return "is the root folder";
  if (path.includes("\0")) return "has a NUL byte in it";
  return Buffer.byteLength(path) > LONGEST_PATH ? `is longer than ${LONGEST_PATH} bytes` : undefined;
}

function checked(path: string, which: "old" | "new"): string {
  const problem = problemOf(path);
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

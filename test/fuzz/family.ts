// What a family of fuzzed parsers is: targets that take bytes, and properties of values that fast-check makes.

/** One parser. It passes when it returns, or throws a StaveError other than INTERNAL; anything else is a finding. */
export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs, which are changed. */
  readonly seeds: readonly (Buffer | string)[];
  /** Words of the format that are put into inputs. */
  readonly words?: readonly string[];
  /** The largest input in bytes that is grown by repetition; default 64 KiB. */
  readonly largest?: number;
  /** The part of the inputs that a slow parser gets, and why it gets no more; default 1. */
  readonly share?: { readonly of: number; readonly because: string };
  /** Parses; where there is a writer, asserts that writing and parsing again gives the same. */
  readonly run: (input: Buffer) => unknown;
}

/** Something that holds of every value that fast-check makes. */
export interface FuzzProperty {
  readonly name: string;
  readonly share?: { readonly of: number; readonly because: string };
  /** Asserts it with fast-check for so many values. */
  readonly check: (parameters: { readonly seed: number; readonly numRuns: number }) => void | Promise<void>;
}

/** Parsers that belong together; each family runs in a process of its own. */
export interface Family {
  readonly name: string;
  readonly targets: readonly FuzzTarget[];
  readonly properties?: readonly FuzzProperty[];
}

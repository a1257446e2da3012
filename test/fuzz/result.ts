// The messages from a process that runs a family to its parent.

/** The input under way: the number of the target in its family, properties after targets, and of the input. */
export interface Note {
  readonly target: number;
  readonly index: number;
}

/** What came of one target. */
export interface TargetResult {
  target: string;
  inputs: number;
  /** How many inputs were valid. */
  accepted: number;
  /** The longest time for one input, in milliseconds. */
  slowest: number;
  /** Which input that was. */
  slowestAt: number;
  /** The most memory that the process has had, in KiB. */
  memory: number;
  /** The first input that broke a promise; its bytes, made smaller, in base64. */
  failure?: { readonly index: number; readonly problem: string; readonly input?: string };
}

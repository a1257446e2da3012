// The messages from a process that runs a family to its parent.

/** The current input: the numbers of the target in its family (properties after targets) and of the input. */
export interface Note {
  readonly target: number;
  readonly index: number;
}

/** The result for one target. */
export interface TargetResult {
  target: string;
  inputs: number;
  /** How many inputs were valid. */
  accepted: number;
  /** The longest time for one input, in milliseconds. */
  slowest: number;
  /** The number of that input. */
  slowestAt: number;
  /** The peak memory of the process, in KiB. */
  memory: number;
  /** The first failing input; its bytes, minimised, in base64. */
  failure?: { readonly index: number; readonly problem: string; readonly input?: string };
}

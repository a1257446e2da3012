// Progress as data: what operations tell while they work. Drawing it is left to the command line.

/** One thing that happened to one item of work. Sizes are bytes. */
export type ProgressEvent =
  /** Work that is to be done, so that totals are known before it begins. */
  | { type: "queued"; id: string; size: number }
  | { type: "start"; id: string; label: string; size?: number | undefined }
  | { type: "bytes"; id: string; count: number }
  | {
      type: "done";
      id: string;
      label: string;
      outcome: "copied" | "mounted" | "checked" | "relocated" | "skipped" | "failed";
      size?: number | undefined;
      /** Whoever works tells of it in other words; only bars need to know. */
      isTold?: boolean | undefined;
    }
  /** A wait that the user should know the reason of: what for, and for how many milliseconds already. */
  | { type: "wait"; reason: string; milliseconds: number }
  | { type: "note"; text: string }
  | { type: "warning"; text: string };

/** Receives events; must not throw. */
export type ProgressSink = (event: ProgressEvent) => void;

/** Ignores everything. */
export const noProgress: ProgressSink = () => {};

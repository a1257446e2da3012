// Progress as data: events that operations emit while they work. Displaying them is up to the caller.

/** One event about one item of work. Sizes are in bytes. */
export type ProgressEvent =
  /** Announces work, so that totals are known before it begins; without a size, `start` tells it. */
  | { type: "queued"; id: string; size?: number | undefined }
  | { type: "start"; id: string; label: string; size?: number | undefined }
  | { type: "bytes"; id: string; count: number }
  | {
      type: "done";
      id: string;
      label: string;
      outcome: "copied" | "mounted" | "checked" | "relocated" | "skipped" | "failed";
      size?: number | undefined;
      /** The item is reported elsewhere in other words; only progress bars need this event. */
      isTold?: boolean | undefined;
    }
  /** A wait worth explaining to the user: its reason, and its duration so far in milliseconds. */
  | { type: "wait"; reason: string; milliseconds: number }
  | { type: "note"; text: string }
  | { type: "warning"; text: string };

/** Receives events; must not throw. */
export type ProgressSink = (event: ProgressEvent) => void;

/** Ignores all events. */
export const noProgress: ProgressSink = () => {};

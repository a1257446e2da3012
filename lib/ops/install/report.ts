// What an installation tells.
import type { StaveError } from "../../errors.ts";

/** What became of a spec. */
export type InstallOutcome = "installed" | "present" | "external" | "failed";

/** One spec. */
export interface InstalledSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly outcome: InstallOutcome;
  /** As it is recorded; null for an external without a path. */
  readonly prefix: string | null;
  /** The user asked for it by name. */
  readonly explicit: boolean;
  /** The cache that it came from. */
  readonly cache?: string;
  /** Of the archive as it was sent, and of its files. */
  readonly downloadSize?: number;
  readonly bytes?: number;
  readonly files?: number;
  readonly milliseconds?: number;
  /** How many files were changed because they named the old place. */
  readonly relocated?: number;
  /** Files that still do; paths below the prefix. */
  readonly leftovers?: readonly string[];
  readonly error?: StaveError;
}

/** What an installation did. Sizes are bytes. */
export interface InstallReport {
  /** The root of the store. */
  readonly store: string;
  readonly specs: readonly InstalledSpec[];
  readonly totals: {
    readonly installed: number;
    readonly downloaded: number;
    readonly bytes: number;
    readonly files: number;
  };
  /** The causes; what failed because of another spec is in `specs` alone. */
  readonly failures: readonly StaveError[];
  readonly milliseconds: number;
}

/** One spec of a plan. */
export interface PlannedInstall {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly action: "install" | "keep" | "external" | "absent";
  readonly prefix: string | null;
  readonly cache?: string;
  readonly size?: number;
}

/** What an installation would do. */
export interface InstallPlanReport {
  readonly store: string;
  readonly specs: readonly PlannedInstall[];
  readonly totals: { readonly install: number; readonly download: number };
}

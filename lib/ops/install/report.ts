// The report of an installation.
import type { StaveError } from "../../errors.ts";
import type { RootRoom } from "./root-length.ts";

/** The result for a spec. */
export type InstallOutcome = "installed" | "present" | "external" | "failed";

/** The result for one spec. */
export interface InstalledSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly outcome: InstallOutcome;
  /** The recorded prefix; null for an external without a path. */
  readonly prefix: string | null;
  /** The user requested it. */
  readonly explicit: boolean;
  /** The cache it was installed from. */
  readonly cache?: string;
  /** The size of the archive as downloaded, and of its files, in bytes. */
  readonly downloadSize?: number;
  readonly bytes?: number;
  readonly files?: number;
  readonly milliseconds?: number;
  /** How many files were relocated. */
  readonly relocated?: number;
  /** Files that still contain the old place, as paths below the prefix. */
  readonly leftovers?: readonly string[];
  readonly error?: StaveError;
}

/** The report of an installation. Sizes are in bytes. */
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
  /** The causes; a spec that failed because of another one is only in `specs`. */
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

/** The report of a planned installation. */
export interface InstallPlanReport {
  readonly store: string;
  readonly specs: readonly PlannedInstall[];
  readonly totals: { readonly install: number; readonly download: number };
  /** Set if the root of the store is longer than binaries that contain their path allow. */
  readonly room?: RootRoom;
}

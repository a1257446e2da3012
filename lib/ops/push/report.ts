// What a push tells: of each spec, of the images of the environment, and in all.
import type { IndexReport } from "../../cache/index-update.ts";
import type { StaveError } from "../../errors.ts";
import type { SkippedEntry } from "../../image/archive/prefix-walk.ts";
import type { SpecAction } from "../../image/layer-plan.ts";
import type { Digest } from "../../oci/digest.ts";
import type { PushOutcome } from "../../target/target.ts";

/** What became of a spec. */
export type SpecOutcome =
  /** Packed, and its image pushed. */
  | "pushed"
  /** Its image was there and broken, and has been pushed anew. */
  | "repaired"
  /** Its image was there without layers that could be added now. */
  | "completed"
  /** It was there already. */
  | "present"
  /** It is not installed, and so cannot be packed. */
  | "not installed"
  /** Another job packs it. */
  | "other shard"
  | "failed";

/** One spec. */
export interface PushedSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly tag: string;
  readonly outcome: SpecOutcome;
  /** The digest of its image, when it was made. */
  readonly manifest?: Digest;
  /** Its own layer, when it was made; `present` when the cache had the same bytes. Sizes are bytes. */
  readonly layer?: {
    readonly digest: Digest;
    readonly size: number;
    readonly diffId: Digest;
    readonly archiveSize: number;
    readonly outcome: PushOutcome;
  };
  /** From the start of packing to the end of sending, in milliseconds. */
  readonly milliseconds?: number;
  /** Dependencies whose layers were nowhere, and are not in the image. */
  readonly missing?: readonly string[];
  /** What was left out of the archive: sockets and the like. */
  readonly skipped?: readonly SkippedEntry[];
  readonly error?: StaveError;
}

/** An image of the environment. */
export interface PushedImage {
  readonly tag: string;
  readonly manifest: Digest;
  readonly layers: number;
  /** The bytes of all layers. */
  readonly size: number;
  /** False when the tag was there with the same image. */
  readonly isNew: boolean;
  readonly missing: readonly string[];
}

/** What a push did. Sizes are bytes. */
export interface PushReport {
  readonly destination: string;
  readonly specs: readonly PushedSpec[];
  readonly images: readonly PushedImage[];
  /** How the variables were made, when any were. */
  readonly environment: { readonly from: "spack" | "install tree"; readonly version: string | undefined } | undefined;
  /** Build dependencies that are not installed, and were left out. */
  readonly leftOut: readonly string[];
  /** Specs that were left out because their recipes say that binaries may not be passed on. */
  readonly restricted: readonly string[];
  readonly totals: PushTotals;
  /** What became of the index, when it was to be brought up to date. */
  readonly index: IndexReport | undefined;
  /** The causes; what failed because of another spec is in `specs` alone. */
  readonly failures: readonly StaveError[];
  readonly milliseconds: number;
}

export interface PushTotals {
  /** Of layers, base images' included. */
  readonly blobs: Readonly<Record<PushOutcome, number>>;
  /** What was packed, before compression. */
  readonly packedBytes: number;
  /** What was sent of layers and configs. */
  readonly sentBytes: number;
}

/** One spec of a plan. */
export interface SpecPlan {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly tag: string;
  readonly action: SpecAction;
  /** Its image is there, but broken. */
  readonly isRepair: boolean;
  /** Of what is to be packed. */
  readonly files?: number;
  readonly bytes?: number;
  /** The layer that it gave before, when its prefix has not changed since. */
  readonly known?: { readonly digest: Digest; readonly size: number };
  readonly missing: readonly string[];
}

/** What a push would do. Sizes are bytes. */
export interface PushPlanReport {
  readonly destination: string;
  readonly specs: readonly SpecPlan[];
  readonly images: readonly { readonly tag: string; readonly layers: number; readonly missing: readonly string[] }[];
  readonly base: readonly {
    readonly architecture: string;
    readonly layers: number;
    readonly size: number;
    readonly mayMount: boolean;
  }[];
  readonly restricted: readonly string[];
  readonly totals: {
    readonly packSpecs: number;
    readonly packFiles: number;
    readonly packBytes: number;
    /** Known for layers that were packed before; for the others a third of their files is taken. */
    readonly sendBytes: number;
    readonly isEstimate: boolean;
    readonly mounts: number;
    /** Requests that a registry gets, at least; none for a directory. */
    readonly requests: number;
  };
}

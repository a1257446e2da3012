// The report of a push: each spec, the images of the environment, and totals.
import type { IndexReport } from "../../cache/index-update.ts";
import type { StaveError } from "../../errors.ts";
import type { SkippedEntry } from "../../image/archive/prefix-walk.ts";
import type { SpecAction } from "../../image/layer-plan.ts";
import type { Finding } from "../../loader/finding.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SbomFormat } from "../../sbom/bill.ts";
import type { UnreadRecipe } from "../../spack/environment/recipe-variables.ts";
import type { PushOutcome } from "../../target/target.ts";
import type { ImageIndexReport } from "../image/image-index.ts";
import type { SignReport } from "../sign/sign.ts";
import type { ViewConflict } from "../store/view-merge.ts";

/** The result for a spec. */
export type SpecOutcome =
  /** Packed, and its image pushed. */
  | "pushed"
  /** Its image was broken and has been replaced. */
  | "repaired"
  /** Its image lacked layers that are now included. */
  | "completed"
  /** It was already in the cache. */
  | "present"
  /** It is not installed, so it cannot be packed. */
  | "not installed"
  /** Another job packs it. */
  | "other shard"
  | "failed";

/** The result for one spec. */
export interface PushedSpec {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly tag: string;
  readonly outcome: SpecOutcome;
  /** The digest of its image, if created. */
  readonly manifest?: Digest;
  /** Its own layer, if packed; `present` if the cache had the same bytes. Sizes are in bytes. */
  readonly layer?: {
    readonly digest: Digest;
    readonly size: number;
    readonly diffId: Digest;
    readonly archiveSize: number;
    readonly outcome: PushOutcome;
  };
  /** From the start of packing to the end of sending, in milliseconds. */
  readonly milliseconds?: number;
  /** Dependencies whose layers are missing from the image. */
  readonly missing?: readonly string[];
  /** Entries left out of the archive: sockets and the like. */
  readonly skipped?: readonly SkippedEntry[];
  readonly error?: StaveError;
}

/** An image of the environment. */
export interface PushedImage {
  readonly tag: string;
  readonly manifest: Digest;
  readonly layers: number;
  /** The total size of all layers, in bytes. */
  readonly size: number;
  /** False if the tag already had the same image. */
  readonly isNew: boolean;
  readonly missing: readonly string[];
  /** If its layers are eStargz: their size, and that of the layers they were made from, which are stored, too. */
  readonly estargz?: { readonly bytes: number; readonly plainBytes: number };
}

/** A view of the tagged images. */
export interface PushedView {
  readonly path: string;
  /** Each `NAME@VERSION/HASH`, with 7 digits of the DAG hash. */
  readonly specs: readonly string[];
  /** Specs that are not installed here, so that their files are unknown. */
  readonly missing: readonly string[];
  readonly links: number;
  /** Paths for which two specs have a file. */
  readonly conflicts: readonly ViewConflict[];
}

/** The report of a push. Sizes are in bytes. */
export interface PushReport {
  readonly destination: string;
  readonly specs: readonly PushedSpec[];
  readonly images: readonly PushedImage[];
  /** The views of these images. */
  readonly views: readonly PushedView[];
  /** The indexes of all platforms to which the images were added. */
  readonly indexes: readonly ImageIndexReport[];
  /** The origin of the environment variables, if any image was created. */
  readonly environment: PushedVariables | undefined;
  /** Build dependencies that were left out because they are not installed. */
  readonly leftOut: readonly string[];
  /** Specs that were left out because their recipes forbid redistribution of binaries. */
  readonly restricted: readonly string[];
  /** What the check before tagging found. Errors keep the image from being tagged, so there are only warnings. */
  readonly findings: readonly Finding[];
  readonly totals: PushTotals;
  /** The result of the index update, if requested. */
  readonly index: IndexReport | undefined;
  /** What was signed, if a key was given. */
  readonly signatures: SignReport | undefined;
  /** What was attested about the images, if asked for. */
  readonly attestations: readonly AttestationReport[];
  /** The causes; a spec that failed because of another one is only in `specs`. */
  readonly failures: readonly StaveError[];
  readonly milliseconds: number;
}

/** What was attested about the images of a push. */
export interface AttestationReport {
  readonly kind: SbomFormat | "provenance";
  readonly predicateType: string;
  /** The images that it is about. */
  readonly images: number;
  /** Those that did not have the same attestation before. */
  readonly made: number;
}

/** Where the environment variables of images come from. */
export interface PushedVariables {
  readonly from: "spack" | "install tree";
  /** The version of the Spack that was asked. */
  readonly version: string | undefined;
  /** Recipes that set more than was understood, and the first place in each. */
  readonly notUnderstood: readonly UnreadRecipe[];
  /** The folders that tagged images have in `LD_LIBRARY_PATH` and their base image does not. */
  readonly libraryPath: readonly string[];
}

/** The totals of a push. */
export interface PushTotals {
  /** Layers, including those of base images. */
  readonly blobs: Readonly<Record<PushOutcome, number>>;
  /** The packed bytes before compression. */
  readonly packedBytes: number;
  /** The bytes of layers and configs sent. */
  readonly sentBytes: number;
}

/** One spec of a plan. */
export interface SpecPlan {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly tag: string;
  readonly action: SpecAction;
  /** Its image exists but is broken. */
  readonly isRepair: boolean;
  /** The size of its prefix, if it is to be packed. */
  readonly files?: number;
  readonly bytes?: number;
  /** The layer packed before, if its prefix has not changed since. */
  readonly known?: { readonly digest: Digest; readonly size: number };
  readonly missing: readonly string[];
}

/** A layer of several specs in a planned image. */
export interface PlannedJoin {
  /** Each `NAME@VERSION/HASH`, with 7 digits of the DAG hash. */
  readonly specs: readonly string[];
  readonly size: number;
  /** The tag has the same layer; any other is sent unless the destination happens to have it. */
  readonly isKept: boolean;
}

/** The base image of one architecture. */
export interface BasePlan {
  readonly architecture: string;
  /** The number of its layers, and their size. */
  readonly layers: number;
  readonly size: number;
  /** How many of them the destination does not have. */
  readonly missing: number;
  /** These would be mounted rather than sent. */
  readonly mayMount: boolean;
}

/** The report of a planned push. Sizes are in bytes. */
export interface PushPlanReport {
  readonly destination: string;
  readonly specs: readonly SpecPlan[];
  readonly images: readonly {
    readonly tag: string;
    readonly layers: number;
    readonly missing: readonly string[];
    /** The layers of several specs. */
    readonly joined: readonly PlannedJoin[];
  }[];
  readonly base: readonly BasePlan[];
  readonly restricted: readonly string[];
  readonly totals: {
    readonly packSpecs: number;
    readonly packFiles: number;
    readonly packBytes: number;
    /** Exact for layers that were packed before; the others are estimated as a third of their files. */
    readonly sendBytes: number;
    readonly isEstimate: boolean;
    readonly mounts: number;
    /** The fewest requests to a registry that the push can take; 0 for a directory. */
    readonly requests: number;
  };
}

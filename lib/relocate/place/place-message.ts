// Messages between the main thread and the placing threads.
import type { PlainError } from "../../errors.ts";
import type { FinishedTree, FinishJob, PlacedTree, PlaceJob } from "./place.ts";

/** To a thread. */
export type PlaceOrder =
  /** Without `archive`, its bytes follow. */
  | { readonly type: "place"; readonly id: number; readonly job: PlaceJob; readonly archive?: Uint8Array }
  /** The next bytes of the archive; undefined after the last. */
  | { readonly type: "bytes"; readonly id: number; readonly bytes: readonly Uint8Array[] | undefined }
  | { readonly type: "finish"; readonly id: number; readonly job: FinishJob }
  /** Stop; the answer is ignored. */
  | { readonly type: "cancel"; readonly id: number; readonly error: PlainError };

/** From a thread. */
export type PlaceAnswer =
  /** This many bytes were consumed; the same number may be sent. */
  | { readonly type: "taken"; readonly id: number; readonly count: number }
  | { readonly type: "placed"; readonly id: number; readonly tree: PlacedTree }
  | { readonly type: "finished"; readonly id: number; readonly tree: FinishedTree }
  | { readonly type: "failed"; readonly id: number; readonly error: PlainError };

// The messages between the main thread and the packing threads.
import type { PlainError } from "../../errors.ts";
import type { ArchiveJob, ArchiveSummary } from "../archive/archive.ts";
import type { Survey } from "../archive/survey.ts";
import type { Compression } from "./compression.ts";

/**
 * Messages to a thread. Windows are numbered pieces of memory that all threads share; the receiver of a window owns it.
 */
export type Order =
  /**
   * The memory of a window, sent to each thread only once: each transfer creates an object that counts with all its
   * bytes.
   */
  | { type: "memory"; window: number; memory: SharedArrayBuffer }
  /**
   * Read a prefix in pieces, one per window; without a compression only the summary is wanted, and one window suffices.
   */
  | { type: "read"; id: number; job: ArchiveJob; compression: Compression | undefined; windows: number[] }
  /** Allows one more piece to be read. */
  | { type: "window"; id: number; window: number }
  /** Stop reading; only the windows are sent back. */
  | { type: "cancel"; id: number }
  | { type: "compress"; id: number; sequence: number; piece: Piece<number>; compression: Compression }
  | { type: "survey"; id: number; job: ArchiveJob };

/** Messages from a thread. */
export type Answer =
  | { type: "piece"; id: number; sequence: number; piece: Piece<number> }
  /** All pieces have been sent. */
  | { type: "read"; id: number; pieces: number; summary: ArchiveSummary }
  /** The result is at the start of the window. */
  | { type: "compressed"; id: number; sequence: number; window: number; length: number }
  | { type: "failed"; id: number; during: "read" | "compress" | "survey"; error: PlainError; window?: number }
  | { type: "surveyed"; id: number; survey: Survey }
  /** These windows were not used. */
  | { type: "unused"; windows: number[] };

/** Bytes to compress, in a window: see piece-reader.ts for their offset. */
export interface Piece<Window> {
  readonly window: Window;
  readonly length: number;
}

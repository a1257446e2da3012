// What the main thread and the packing threads say to each other.
import type { PlainError } from "../util/plain-error.ts";
import type { ArchiveJob, ArchiveSummary } from "./archive.ts";
import type { Compression } from "./compression.ts";

/** To a thread. Windows are memory that all threads share; whoever is told of one has it to itself. */
export type Order =
  /** Read a prefix in pieces, one in each window; without a compression only its summary is wanted, and one will do. */
  | { type: "read"; id: number; job: ArchiveJob; compression: Compression | undefined; windows: SharedArrayBuffer[] }
  /** One piece more may be read. */
  | { type: "window"; id: number; window: SharedArrayBuffer }
  /** Stop reading; no answer is wanted. */
  | { type: "cancel"; id: number }
  | { type: "compress"; id: number; sequence: number; piece: Piece; compression: Compression };

/** From a thread. */
export type Answer =
  | { type: "piece"; id: number; sequence: number; piece: Piece }
  /** All pieces have been told. */
  | { type: "read"; id: number; pieces: number; summary: ArchiveSummary }
  | { type: "compressed"; id: number; sequence: number; bytes: Uint8Array; window: SharedArrayBuffer }
  | { type: "failed"; id: number; during: "read" | "compress"; error: PlainError };

/** Bytes to compress: those of `window` from `start` to `end`; they may refer to what is before them, from `from` on. */
export interface Piece {
  readonly window: SharedArrayBuffer;
  readonly from: number;
  readonly start: number;
  readonly end: number;
}

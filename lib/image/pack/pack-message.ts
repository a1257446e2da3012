// What the main thread and the packing threads say to each other.
import type { PlainError } from "../../errors.ts";
import type { ArchiveJob, ArchiveSummary } from "../archive/archive.ts";
import type { Compression } from "./compression.ts";

/** To a thread. Windows are memory that all threads share, known by number; whoever is told of one has it to itself. */
export type Order =
  /** The memory of a window, told to each thread once: each telling makes an object that counts with all its bytes. */
  | { type: "memory"; window: number; memory: SharedArrayBuffer }
  /** Read a prefix in pieces, one in each window; without a compression only its summary is wanted, and one will do. */
  | { type: "read"; id: number; job: ArchiveJob; compression: Compression | undefined; windows: number[] }
  /** One piece more may be read. */
  | { type: "window"; id: number; window: number }
  /** Stop reading; no answer is wanted but the windows. */
  | { type: "cancel"; id: number }
  | { type: "compress"; id: number; sequence: number; piece: Piece<number>; compression: Compression };

/** From a thread. */
export type Answer =
  | { type: "piece"; id: number; sequence: number; piece: Piece<number> }
  /** All pieces have been told. */
  | { type: "read"; id: number; pieces: number; summary: ArchiveSummary }
  /** What came out is at the beginning of the window. */
  | { type: "compressed"; id: number; sequence: number; window: number; length: number }
  | { type: "failed"; id: number; during: "read" | "compress"; error: PlainError; window?: number }
  /** These windows have not been used. */
  | { type: "unused"; windows: number[] };

/** Bytes to compress, in a window: see piece-reader.ts for where they begin. */
export interface Piece<Window> {
  readonly window: Window;
  readonly length: number;
}

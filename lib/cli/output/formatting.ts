// Formats numbers and tables. Sizes are decimal (1 MB = 1 000 000 bytes), as in registries.
import { printable } from "../../printable/printable.ts";
import { fitText, padText, textWidth } from "./text-width.ts";

/** `12.3 MB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `4.2 s`, `3 min 20 s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 3600
    ? `${Math.floor(whole / 60)} min ${whole % 60} s`
    : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A shortened digest for terminals: `sha256:0123456789ab`. */
export function shortDigest(digest: string): string {
  return digest.replace(/^([a-z0-9]+:[0-9a-f]{12})[0-9a-f]+$/, "$1");
}

/** Complete digests and media types need this many columns. */
const WIDE = 120;

/** A digest for a table: complete on a wide terminal and where there is none, so that programs get it in full. */
export function fittingDigest(digest: string, columns: number | undefined): string {
  return (columns ?? WIDE) < WIDE ? shortDigest(digest) : digest;
}

/** `1 blob`, `2 blobs`. */
export function count(n: number, singular: string, plural: string = `${singular}s`): string {
  return `${n} ${n === 1 ? singular : plural}`;
}

/** A column of a table: its heading, and whether its cells are right-aligned. */
export interface Column {
  heading: string;
  right?: boolean;
}

/**
 * Lays out rows in columns two spaces apart. With a width, the last left-aligned column is cut so that lines fit. Cells
 * are made printable first, because they may come from the network.
 */
export function table(columns: Column[], rows: string[][], width?: number): string {
  const clean = rows.map((row) => row.map((cell) => printable(cell)));
  const widths = columns.map((column, i) =>
    clean.reduce((most, row) => Math.max(most, textWidth(row[i] ?? "")), column.heading.length),
  );
  if (width !== undefined) {
    const total = widths.reduce((sum, w) => sum + w + 2, -2);
    const last = columns.findLastIndex((column) => !column.right);
    const room = (widths[last] ?? 0) - (total - width);
    if (total > width && last >= 0) widths[last] = Math.max(8, room);
  }
  const line = (cells: string[]) =>
    columns
      .map((column, i) => {
        const size = widths[i] ?? 0;
        const fitted = fitText(cells[i] ?? "", size);
        return column.right ? fitted.padStart(size) : padText(fitted, size);
      })
      .join("  ")
      .trimEnd();
  return [line(columns.map((column) => column.heading)), ...clean.map(line)].map((text) => `${text}\n`).join("");
}

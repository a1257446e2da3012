// The time of documents that must not change from run to run.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";

/** The last second of the year 9999. */
const LATEST = 253_402_300_799;

/**
 * The time of `$SOURCE_DATE_EPOCH` in milliseconds since the epoch; undefined if it is not set. Throws USAGE for
 * anything but whole seconds.
 */
export function sourceDate(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const seconds = env["SOURCE_DATE_EPOCH"];
  if (seconds === undefined || seconds === "") return undefined;
  if (/^\d{1,12}$/.test(seconds) && Number(seconds) <= LATEST) return Number(seconds) * 1000;
  throw new StaveError(
    "USAGE",
    `SOURCE_DATE_EPOCH is ${printable(JSON.stringify(seconds.slice(0, 40)))}, expected seconds since 1970`,
    { hint: "set it to the time of a commit, or unset it" },
  );
}

/** A time in milliseconds since the epoch, in whole seconds (RFC 3339). */
export function timeText(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

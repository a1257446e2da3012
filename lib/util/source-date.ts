// The time that documents have which must not change from run to run.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";

/**
 * The time of `$SOURCE_DATE_EPOCH` in milliseconds since the epoch; undefined if it is not set. Throws USAGE for
 * anything but whole seconds.
 */
export function sourceDate(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const text = env["SOURCE_DATE_EPOCH"];
  if (text === undefined || text === "") return undefined;
  // The last second of the year 9999.
  if (!/^\d{1,12}$/.test(text) || Number(text) > 253_402_300_799)
    throw new StaveError("USAGE", `SOURCE_DATE_EPOCH is "${printable(text)}", expected whole seconds since 1970`);
  return Number(text) * 1000;
}

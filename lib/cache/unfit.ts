// What of a cache is of no use, and stops nothing else.
import { isStaveError, type StaveError } from "../errors.ts";

/** Tells what was read, or is gone, and is not what it should be; not what could not be read. */
export function isUnfit(error: unknown): error is StaveError {
  return isStaveError(
    error,
    "NOT_FOUND",
    "MEDIA_TYPE",
    "CONTENT_INVALID",
    "SPEC_INVALID",
    "TOO_LARGE",
    "DIGEST_MISMATCH",
    "SIZE_MISMATCH",
  );
}

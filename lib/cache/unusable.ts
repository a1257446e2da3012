// Errors that make one item of a cache unusable and affect nothing else.
import { isStaveError, type StaveError } from "../errors.ts";

/** True if the content is missing or invalid; false if it could not be fetched. */
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

// Whatever was thrown as plain data, so that it survives the way between threads.
import { isStaveError, messageOf, type PlainError } from "../errors.ts";

/** Makes plain data of anything that was thrown; `StaveError.from` reads it. */
export function plainError(error: unknown): PlainError {
  return isStaveError(error) ? error.toJSON() : { code: "INTERNAL", message: messageOf(error) };
}

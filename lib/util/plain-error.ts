// Turns anything that was thrown into plain data, to pass it between threads.
import { isStaveError, messageOf, type PlainError } from "../errors.ts";

/** The plain data of anything that was thrown; `StaveError.from` reads it. */
export function plainError(error: unknown): PlainError {
  return isStaveError(error) ? error.toJSON() : { code: "INTERNAL", message: messageOf(error) };
}

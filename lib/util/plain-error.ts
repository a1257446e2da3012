// Errors as plain data, so that they survive the way between threads.
import { type ErrorCode, messageOf, StaveError } from "../errors.ts";

/** A StaveError as plain data. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly op?: string;
  readonly subject?: string;
  readonly hint?: string;
  readonly errors?: readonly PlainError[];
}

/** Makes plain data of anything that was thrown. */
export function plainError(error: unknown): PlainError {
  if (!(error instanceof StaveError)) return { code: "INTERNAL", message: messageOf(error) };
  const { code, message, op, subject, hint, errors } = error;
  const said = Object.entries({ op, subject, hint, errors: errors?.map(plainError) });
  return { code, message, ...Object.fromEntries(said.filter(([, value]) => value !== undefined)) };
}

/** Makes an error of its plain data. */
export function errorFrom({ code, message, errors, ...said }: PlainError): StaveError {
  return new StaveError(code, message, { ...said, ...(errors === undefined ? {} : { errors: errors.map(errorFrom) }) });
}

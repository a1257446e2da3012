// Assertions on StaveError.
import assert from "node:assert/strict";
import { type ErrorCode, StaveError } from "../../lib/errors.ts";

/** Asserts that a function or promise fails with the given code, and returns the error for further checks. */
export async function failsWith(
  code: ErrorCode,
  work: (() => unknown) | Promise<unknown>,
  message?: RegExp,
): Promise<StaveError> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    assert.ok(
      error instanceof StaveError,
      `expected a StaveError, got ${error instanceof Error ? error.stack : String(error)}`,
    );
    assert.equal(error.code, code, error.stack);
    if (message) assert.match(error.message, message);
    return error;
  }
  return assert.fail(`expected ${code}, but it succeeded`);
}

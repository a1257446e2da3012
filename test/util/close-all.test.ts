// Proves that everything is closed, whatever fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { asStaveError } from "../../lib/cli/output/output.ts";
import { originalError, StaveError } from "../../lib/errors.ts";
import { closeAfterError, closeAll } from "../../lib/util/close-all.ts";

test("all are closed in order, one after the other, and the first error is thrown", async () => {
  const events: string[] = [];
  const closing = (name: string, error?: Error) => async () => {
    events.push(`${name} begins`);
    await null;
    events.push(`${name} ends`);
    if (error) throw error;
  };
  const [first, second] = [new Error("first"), new Error("second")];
  const immediate = (): void => {
    throw second;
  };
  await assert.rejects(closeAll([closing("a"), closing("b", first), immediate, closing("c")]), first);
  assert.deepEqual(events, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  await closeAll([]);
});

test("the error that ended the work is found, however much failed to close after it", async () => {
  const failing = (name: string) => ({ [Symbol.asyncDispose]: () => Promise.reject(new Error(name)) });
  const first = new StaveError("NOT_FOUND", "it is absent");
  const work = async (): Promise<void> => {
    await using _one = failing("one");
    await using _two = failing("two");
    throw first;
  };
  const thrown: unknown = await work().catch((error: unknown) => error);
  assert.notEqual(thrown, first);
  assert.equal(originalError(thrown), first);
  assert.equal(originalError(first), first);
  assert.equal(asStaveError(thrown), first, "the command reports it, and no defect of stave");
  await closeAfterError(() => Promise.reject(new Error("one")));
});

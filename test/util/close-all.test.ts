// Proves that everything is closed, whatever fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { closeAll } from "../../lib/util/close-all.ts";

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

// Proves that an error loses nothing when it is reworded or passed between threads.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { StaveError, type StaveErrorOptions } from "../lib/errors.ts";
import { plainError } from "../lib/util/plain-error.ts";

const said: Required<Omit<StaveErrorOptions, "cause">> = {
  op: "push blob",
  side: "destination",
  subject: "sha256:1",
  status: 403,
  system: "EACCES",
  registry: [{ code: "DENIED", message: "no" }],
  attempts: 3,
  hint: "ask",
  errors: [new StaveError("TIMEOUT", "inside", { status: 504, side: "source" })],
};
const error = new StaveError("DENIED", "no entry", said);
const fieldsOf = ({ op, side, subject, status, system, registry, attempts, hint, errors }: StaveError) => {
  return { op, side, subject, status, system, registry, attempts, hint, errors };
};

describe("a re-worded error", () => {
  test("keeps every field, and names the first one as its cause", () => {
    const other = error.with({ message: "it was not pushed: no entry" });
    assert.deepEqual([other.code, other.message], ["DENIED", "it was not pushed: no entry"]);
    assert.deepEqual(fieldsOf(other), said);
    assert.equal(other.cause, error);
  });

  test("with a new hint alone it keeps its cause and its stack", () => {
    const first = new StaveError("NETWORK", "gone", { cause: new Error("reset") });
    const other = first.with({ hint: "try again" });
    assert.deepEqual([other.cause, other.stack, other.hint], [first.cause, first.stack, "try again"]);
  });

  test("keeps every field on its way between threads, at every depth", () => {
    const there = StaveError.from(structuredClone(plainError(error)));
    assert.deepEqual({ ...fieldsOf(there), errors: undefined }, { ...said, errors: undefined });
    assert.deepEqual(there.toJSON(), error.toJSON());
  });
});

test("errors are made new from another's fields in errors.ts alone", () => {
  const lib = join(import.meta.dirname, "../lib");
  const copies = readdirSync(lib, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && name !== "errors.ts")
    .filter((name) =>
      /new StaveError\(\s*(?:error|caught|cause|again)\.code/.test(readFileSync(join(lib, name), "utf8")),
    );
  assert.deepEqual(copies, []);
});

// Proves which failures stop parallel work as a whole, and which concern one item.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ErrorCode, fileError, StaveError } from "../../lib/errors.ts";
import { concernsAll, Failures } from "../../lib/util/failures.ts";
import { plainError } from "../../lib/util/plain-error.ts";

const system = (code: string): Error => Object.assign(new Error(code), { code });
const http = (code: ErrorCode, cause?: Error): StaveError => new StaveError(code, "no", { cause });

const CASES: { name: string; error: StaveError; expect: boolean }[] = [
  { name: "403", error: http("DENIED"), expect: true },
  { name: "401", error: http("CREDENTIALS_REJECTED"), expect: true },
  { name: "an unknown certificate", error: http("TLS"), expect: true },
  { name: "a host that refuses connections", error: http("NETWORK", system("ECONNREFUSED")), expect: true },
  { name: "a connection that broke", error: http("NETWORK", system("ECONNRESET")), expect: false },
  { name: "500", error: http("REGISTRY_ERROR"), expect: false },
  { name: "a full disk", error: fileError(system("ENOSPC"), "write", "/x"), expect: true },
  { name: "a read-only file system", error: fileError(system("EROFS"), "make folder", "/x"), expect: true },
  { name: "a folder that may not be written", error: fileError(system("EACCES"), "write", "/x"), expect: true },
  {
    name: "a lock of a store that is read-only",
    error: new StaveError("FILE_SYSTEM", "no", { op: "lock" }),
    expect: true,
  },
  { name: "a file that may not be read", error: fileError(system("EACCES"), "read", "/x"), expect: false },
  { name: "a file that is too large for the system", error: fileError(system("EFBIG"), "write", "/x"), expect: false },
];

describe("concerns everything", () => {
  for (const { name, error, expect } of CASES)
    test(`${name}: ${expect ? "yes" : "no"}`, () => assert.equal(concernsAll(error), expect));

  test("a full disk that a thread met", () => {
    assert.equal(concernsAll(StaveError.from(plainError(fileError(system("ENOSPC"), "write", "/x")))), true);
  });
});

test("what needs something that failed is no failure of its own", () => {
  const failures = new Failures();
  const cause = failures.add(new StaveError("TIMEOUT", "no answer", { attempts: 3 }), "a", "a was not pushed");
  const b = failures.add(failures.following("a", cause), "b", "b was not pushed");
  const c = failures.add(failures.following("b", b), "c", "c was not pushed");
  assert.deepEqual([c.message, c.code, c.attempts], ["c was not pushed: its dependency b failed", "TIMEOUT", 3]);
  assert.deepEqual(
    failures.causes.map((error) => error.toJSON()),
    [cause.toJSON()],
  );
});

test("the same cause for several things is told once, and what ends everything alone", () => {
  const failures = new Failures();
  const locked = (): StaveError => new StaveError("FILE_SYSTEM", "cannot lock x");
  for (const name of ["a", "b", "c"]) failures.add(locked(), name, `${name} was not installed`);
  failures.add(new StaveError("TIMEOUT", "no answer"), "d", "d was not installed");
  for (const name of ["x", "y"])
    failures.add(
      new StaveError("RELOCATION_FAILED", `cannot relocate ${name}`, { hint: "shorter" }),
      name,
      `${name} was not installed`,
    );
  failures.note(new StaveError("SPEC_NOT_INSTALLED", "e is not there"));
  assert.deepEqual(
    failures.causes.map(({ message }) => message),
    [
      "a was not installed, nor were 2 others: cannot lock x",
      "d was not installed: no answer",
      "x was not installed, nor was 1 other: cannot relocate x",
      "e is not there",
    ],
  );
  failures.end(new StaveError("DENIED", "refused"));
  failures.end(new StaveError("DENIED", "refused again"));
  assert.deepEqual(
    failures.causes.map(({ message }) => message),
    ["refused"],
  );
});

describe("a host that fails item after item ends everything", () => {
  const failed = (): StaveError => new StaveError("REGISTRY_ERROR", "no", { status: 500 });
  const rows: { name: string; each(failures: Failures): StaveError; after: number | undefined }[] = [
    { name: "500", each: failed, after: 64 },
    { name: "no answer", each: () => new StaveError("TIMEOUT", "no"), after: 64 },
    { name: "a connection that broke", each: () => http("NETWORK", system("ECONNRESET")), after: 64 },
    { name: "401", each: () => http("CREDENTIALS_REJECTED"), after: 1 },
    { name: "what lacks a spec", each: () => new StaveError("NOT_FOUND", "no", { status: 404 }), after: undefined },
    {
      name: "a refused document",
      each: () => new StaveError("REGISTRY_ERROR", "no", { status: 400 }),
      after: undefined,
    },
    { name: "what needs a spec that failed", each: (failures) => failures.following("a", failed()), after: undefined },
    {
      name: "500 with other answers between",
      each: (failures) => {
        failures.endedBy(new StaveError("NOT_FOUND", "no", { status: 404 }));
        return failed();
      },
      after: undefined,
    },
    {
      name: "500 with successes between",
      each: (failures) => {
        failures.succeeded();
        return failed();
      },
      after: undefined,
    },
  ];
  for (const { name, each, after } of rows)
    test(`${name}: ${after === undefined ? "no" : `after ${after}`}`, () => {
      const failures = new Failures();
      const ends = Array.from({ length: 100 }, () => failures.endedBy(each(failures)));
      const at = ends.findIndex((ending) => ending !== undefined);
      assert.equal(at, after === undefined ? -1 : after - 1);
      const ending = ends[at];
      // What follows a push asks for this, and neither writes an index nor signs.
      if (ending !== undefined) assert.ok(concernsAll(ending));
    });
});

test("signatures by one key that is not trusted are one failure, by two keys two", () => {
  const failures = new Failures();
  for (const [name, key] of [
    ["hull", "A"],
    ["paddle", "A"],
    ["fleet", "B"],
  ])
    failures.add(
      new StaveError("SIGNATURE_INVALID", `the signature of ${name} was made with another key`, {
        hint: `import ${key}`,
      }),
      name ?? "",
      `${name} was not copied`,
    );
  assert.deepEqual(
    failures.causes.map(({ message }) => message),
    [
      "hull was not copied, nor was 1 other: the signature of hull was made with another key",
      "fleet was not copied: the signature of fleet was made with another key",
    ],
  );
});

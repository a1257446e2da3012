// Proves that notes of work in progress are never read, written or removed through links.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { notedSpecs, readNote, removeNote, writeNote } from "../../lib/store/notes.ts";
import { failsWith } from "../support/errors.ts";
import { temporaryFolder } from "../support/tree.ts";

const HASH = "a".repeat(32);

function given(): { store: { root: string; locate: (path: string) => string }; notes: string; outside: string } {
  const [root, outside] = [temporaryFolder(), temporaryFolder()];
  mkdirSync(join(root, ".spack-db"));
  writeFileSync(join(outside, HASH), "/the/secret");
  return { store: { root, locate: (path) => path }, notes: join(root, ".spack-db/under-way"), outside };
}

test("a note is written, read, listed and removed; without a folder there is none", async () => {
  const { store } = given();
  assert.deepEqual([readNote(store, HASH), notedSpecs(store)], [undefined, []]);
  removeNote(store, HASH);
  await writeNote(store, HASH, "/prefix");
  assert.deepEqual([readNote(store, HASH), notedSpecs(store)], ["/prefix", [HASH]]);
  removeNote(store, HASH);
  assert.deepEqual([readNote(store, HASH), notedSpecs(store)], [undefined, []]);
  const absent = { ...store, root: join(store.root, "absent") };
  assert.deepEqual([readNote(absent, HASH), notedSpecs(absent)], [undefined, []]);
  removeNote(absent, HASH);
});

test("a link in place of the folder of notes is not followed", async () => {
  const { store, notes, outside } = given();
  symlinkSync(outside, notes);
  const calls: Readonly<Record<string, () => unknown>> = {
    writeNote: () => writeNote(store, HASH, "/prefix"),
    readNote: () => readNote(store, HASH),
    removeNote: () => removeNote(store, HASH),
    notedSpecs: () => notedSpecs(store),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await failsWith("ARCHIVE_UNSAFE", (async () => await call())());
    assert.match(error.message, /under-way/, name);
  }
  assert.deepEqual(readdirSync(outside), [HASH]);
  assert.equal(readFileSync(join(outside, HASH), "utf8"), "/the/secret");
});

test("a link in place of a note counts as a malformed note, and only the link is removed", () => {
  const { store, notes, outside } = given();
  mkdirSync(notes);
  symlinkSync(join(outside, HASH), join(notes, HASH));
  assert.equal(readNote(store, HASH), "");
  removeNote(store, HASH);
  assert.deepEqual([readdirSync(notes), readdirSync(outside)], [[], [HASH]]);
});

// Proves that a replaced file has the old or the new content, and that nothing is left beside it.
import assert from "node:assert/strict";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { StaveError } from "../../lib/errors.ts";
import { replaceFile, replaceFileSync } from "../../lib/util/replace-file.ts";

test("replaces a file as a whole, over what an earlier run has left", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "stave-replace-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [path, temporary] = [join(folder, "it"), join(folder, "it.part")];
  writeFileSync(path, "old", { mode: 0o644 });
  writeFileSync(temporary, "half of an earlier run");
  const seen = await replaceFile(path, { temporary, mode: 0o600 }, async (file) => {
    await file.writeFile("new");
    return readFileSync(path, "utf8");
  });
  assert.deepEqual([seen, readFileSync(path, "utf8"), statSync(path).mode & 0o777], ["old", "new", 0o600]);
  assert.deepEqual(readdirSync(folder), ["it"]);
});

test("leaves the file alone and nothing beside it when writing fails", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "stave-replace-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [path, temporary] = [join(folder, "it"), join(folder, "it.part")];
  writeFileSync(path, "old");
  const why = new StaveError("DIGEST_MISMATCH", "other bytes");
  const writing = replaceFile(path, { temporary }, async (file) => {
    await file.writeFile("ne");
    throw why;
  });
  await assert.rejects(writing, (error) => error === why);
  assert.throws(() =>
    replaceFileSync(join(folder, "no/it"), { temporary: join(folder, "no/it.part") }, Buffer.from("x")),
  );
  assert.deepEqual([readFileSync(path, "utf8"), readdirSync(folder)], ["old", ["it"]]);
});

test("a link in the place of the temporary file is not followed", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "stave-replace-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [path, temporary, other] = [join(folder, "it"), join(folder, "it.part"), join(folder, "other")];
  const ways: Record<string, () => Promise<void> | void> = {
    sync: () => replaceFileSync(path, { temporary }, Buffer.from("new")),
    async: () => replaceFile(path, { temporary }, (file) => file.writeFile("new")),
  };
  for (const [way, replace] of Object.entries(ways)) {
    writeFileSync(other, "precious");
    writeFileSync(path, "old");
    symlinkSync(other, temporary);
    await replace();
    const contents = [path, other].map((file) => (lstatSync(file).isFile() ? readFileSync(file, "utf8") : "a link"));
    assert.deepEqual([...contents, readdirSync(folder)], ["new", "precious", ["it", "other"]], way);
  }
});

// Proves that files are created in a folder that other processes keep removing.
import assert from "node:assert/strict";
import { linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { link } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { makeFolder } from "../../lib/util/folder.ts";
import { createTemporary, withTemporaryPath } from "../../lib/util/temporary-file.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "../support/tree.ts";

/** Makes and removes a folder again and again, as processes do that come and go. */
const REMOVER = `
  const { mkdirSync, rmdirSync } = require("node:fs");
  const { parentPort, workerData } = require("node:worker_threads");
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  parentPort.postMessage("started");
  for (;;) {
    try { mkdirSync(workerData); } catch {}
    try { rmdirSync(workerData); } catch {}
    Atomics.wait(sleeper, 0, 0, Math.random() * 3);
  }`;

async function beside<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const remover = new Worker(REMOVER, { eval: true, workerData: folder });
  try {
    await new Promise((resolve) => remover.once("message", resolve));
    return await work();
  } finally {
    await remover.terminate();
  }
}

test("a folder is made while another process makes and removes it", async () => {
  const folder = join(temporaryFolder(), "tmp");
  await beside(folder, async () => {
    for (let count = 0; count < 3000; count++) makeFolder(folder);
  });
});

test("temporary files are made and linked while another process removes their folder", async () => {
  const root = temporaryFolder();
  const folder = join(root, "tmp");
  writeFileSync(join(root, "file"), "text");
  await beside(folder, async () => {
    for (let count = 0; count < 200; count++) {
      const { handle, path } = await createTemporary(folder, systemClock);
      await handle.close();
      rmSync(path);
      rmSync(await withTemporaryPath(folder, systemClock, linkedFrom(join(root, "file"))));
    }
  });
});

function linkedFrom(file: string): (path: string) => Promise<string> {
  return async (path) => {
    await link(file, path);
    return path;
  };
}

test("what cannot be made is refused with its reason", async () => {
  const root = temporaryFolder();
  writeFileSync(join(root, "file"), "");
  await assert.rejects(createTemporary(join(root, "file"), systemClock), { code: "FILE_SYSTEM", system: "EEXIST" });
  mkdirSync(join(root, "folder"));
  linkSync(join(root, "file"), join(root, "folder/taken"));
  const missing = join(root, "missing");
  await assert.rejects(
    withTemporaryPath(join(root, "folder"), systemClock, (path) => link(missing, path)),
    { code: "NOT_FOUND" },
  );
});

// Proves that file locks exclude Spack's own, by range, at Spack's polling intervals.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { LockFile } from "../../lib/util/file-lock.ts";
import type { Clock } from "../../lib/util/time.ts";

const folder = mkdtempSync(join(tmpdir(), "stave-lock-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

/** A clock that advances only during sleeps; `onSleep` sees each wait. */
function fakeClock(onSleep: (milliseconds: number) => void = () => {}): Clock {
  let now = 0;
  return {
    now: () => now,
    sleep: async (milliseconds) => {
      onSleep(milliseconds);
      now += milliseconds;
    },
    random: () => 0,
  };
}

const LAST_BYTE = { start: 9223372036854775806n, length: 1n };

test("many share, one excludes", async () => {
  await using a = await LockFile.open(path("modes"), { create: true });
  await using b = await LockFile.open(path("modes"));
  assert.equal(a.tryLock("shared"), true);
  assert.equal(b.tryLock("shared"), true);
  assert.equal(a.tryLock("exclusive"), false);
  b.unlock();
  assert.equal(a.tryLock("exclusive"), true);
  assert.equal(b.tryLock("shared"), false);
  a.unlock();
  assert.equal(b.tryLock("exclusive"), true);
});

test("ranges are locked one by one, up to the last byte of 63 bits", async () => {
  await using a = await LockFile.open(path("ranges"), { create: true });
  await using b = await LockFile.open(path("ranges"));
  assert.equal(a.tryLock("exclusive", LAST_BYTE), true);
  assert.equal(b.tryLock("exclusive", LAST_BYTE), false);
  assert.equal(b.tryLock("exclusive", { start: LAST_BYTE.start - 1n, length: 1n }), true);
});

test("closing lets go, and another descriptor of the same file may be closed meanwhile", async () => {
  const a = await LockFile.open(path("close"), { create: true });
  await using b = await LockFile.open(path("close"));
  assert.equal(a.tryLock("exclusive"), true);
  await (await LockFile.open(path("close"))).close();
  assert.equal(b.tryLock("shared"), false);
  await a.close();
  assert.equal(b.tryLock("shared"), true);
});

test("waits at Spack's pace, then gives up", async () => {
  await using a = await LockFile.open(path("wait"), { create: true });
  await using b = await LockFile.open(path("wait"));
  const release = await a.lock("exclusive", { clock: fakeClock(), timeout: 0 });
  const waits: number[] = [];
  await assert.rejects(b.lock("shared", { clock: fakeClock((wait) => waits.push(wait)), timeout: 12 }), {
    code: "CONFLICT",
    message: `cannot lock ${path("wait")}: another process still holds it after 12 s`,
  });
  assert.deepEqual(waits, [...Array(20).fill(100), ...Array(40).fill(200), 500, 500, 500, 500]);
  await assert.rejects(b.lock("shared", { clock: fakeClock(), signal: AbortSignal.abort(new Error("stop")) }), /stop/);
  const freed = fakeClock(() => release());
  (await b.lock("shared", { clock: freed }))();
  assert.equal(a.tryLock("exclusive"), true);
});

test("a file that is not there, or may not be written", async () => {
  await assert.rejects(LockFile.open(path("absent")), { code: "NOT_FOUND" });
  writeFileSync(path("readonly"), "");
  chmodSync(path("readonly"), 0o444);
  await using lock = await LockFile.open(path("readonly"));
  assert.equal(lock.tryLock("shared"), true);
  // Root can write everywhere.
  if (!lock.writable) assert.throws(() => lock.tryLock("exclusive"), { code: "FILE_SYSTEM" });
});

test("a link or a FIFO in place of a lock file is refused: nothing is created elsewhere, nothing waits", async () => {
  const elsewhere = mkdtempSync(join(folder, "elsewhere-"));
  symlinkSync(join(elsewhere, "new"), path("link"));
  spawnSync("mkfifo", [path("fifo")]);
  for (const name of ["link", "fifo"])
    for (const create of [true, false])
      await assert.rejects(LockFile.open(path(name), { create }), {
        code: "FILE_SYSTEM",
        message: `cannot lock ${path(name)}: it is not a regular file`,
      });
  assert.deepEqual(readdirSync(elsewhere), []);
});

const python = spawnSync("python3", ["--version"]).status === 0;
const HOLDER = `
import fcntl, sys
file = open(sys.argv[1], "r+")
for line in sys.stdin:
    mode, start, length = line.split()
    flags = {"r": fcntl.LOCK_SH | fcntl.LOCK_NB, "w": fcntl.LOCK_EX | fcntl.LOCK_NB, "u": fcntl.LOCK_UN}[mode]
    try:
        fcntl.lockf(file, flags, int(length), int(start), 0)
        print("yes", flush=True)
    except OSError:
        print("no", flush=True)
`;

test("excludes the locks of Python's fcntl.lockf, which are Spack's", {
  skip: python ? false : "python3 is absent",
}, async () => {
  await using lock = await LockFile.open(path("python"), { create: true });
  const holder = spawn("python3", ["-c", HOLDER, path("python")], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<string> => {
    holder.stdin.write(`${line}\n`);
    return String((await answers.next()).value);
  };
  assert.equal(await ask("w 0 0"), "yes");
  assert.equal(lock.tryLock("shared"), false);
  await assert.rejects(lock.lock("shared", { clock: fakeClock(), timeout: 0 }), {
    message: new RegExp(`process ${holder.pid} still holds it after 0 s`),
  });
  assert.equal(await ask("r 0 0"), "yes");
  assert.equal(lock.tryLock("shared"), true);
  assert.equal(lock.tryLock("exclusive"), false);
  assert.equal(await ask("u 0 0"), "yes");
  assert.equal(lock.tryLock("exclusive"), true);
  assert.equal(await ask("r 0 0"), "no");
  lock.unlock();
  assert.equal(lock.tryLock("exclusive", LAST_BYTE), true);
  assert.equal(await ask(`w ${LAST_BYTE.start} 1`), "no");
  assert.equal(await ask(`w ${LAST_BYTE.start - 1n} 1`), "yes");
  holder.stdin.end();
  await once(holder, "close");
});

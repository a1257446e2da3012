// Proves that the process ends with a report whatever goes wrong inside it: each defect is injected into the built
// command by a preloaded module.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hashSync } from "bcryptjs";
import { push } from "../../lib/index.ts";
import { makeStore } from "../../scripts/make-store.ts";
import { type Ran, startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const layout = `oci-layout:${golden("spack-1.2/plain.oci")}`;

/** The setting that preloads a module with this body; `fs` is `node:fs/promises`, as all later imports see it. */
function before(body: string): Record<string, string> {
  const module = `import fs from "node:fs/promises"; import { syncBuiltinESMExports } from "node:module"; ${body}; syncBuiltinESMExports();`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(module)}` };
}

const HALT = "fs.readFile = fs.open = () => new Promise(() => {})";
const BUSY =
  "fs.readFile = fs.open = () => { console.error('busy'); return new Promise(() => setInterval(() => {}, 1000)) }";
// Nobody waits 15 seconds for a test.
const QUICK = "const wait = setTimeout; globalThis.setTimeout = (f, ms, ...rest) => wait(f, ms / 100, ...rest)";
const THROW =
  "fs.readFile = fs.open = () => { setImmediate(() => { throw new Error('out of the blue') }); return new Promise(() => {}) }";

function documentOf({ stdout }: Ran): { schema: number; verb: string; error: { code: string; message: string } } {
  return JSON.parse(stdout);
}

test("a verb that waits for something that will not happen is a defect, and is reported as one", async () => {
  const text = await stave(["tags", layout], { env: before(HALT) });
  assert.equal(text.status, 70, text.stderr);
  assert.match(text.stderr, /^error: the command came to a halt: .* \[INTERNAL\]\n {2}hint: /);
  const json = await stave(["tags", layout, "--json"], { env: before(HALT) });
  assert.equal(json.status, 70);
  const { verb, error } = documentOf(json);
  assert.deepEqual([verb, error.code], ["tags", "INTERNAL"]);
});

test("an error that no part of a verb listens for is reported as any other", async () => {
  const json = await stave(["tags", layout, "--json"], { env: before(THROW) });
  assert.equal(json.status, 70, json.stderr);
  assert.match(documentOf(json).error.message, /out of the blue/);
});

test("the first Ctrl-C ends also a verb that does not listen to it; the second one at once", async () => {
  for (const [presses, body] of [
    [1, `${BUSY}; ${QUICK}`],
    [2, BUSY],
  ] as const) {
    const child = startStave(["tags", layout, "--json"], { env: before(body) });
    let stdout = "";
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
    });
    const closed = once(child, "close");
    await once(child.stderr ?? process.stdin, "data");
    for (let press = 0; press < presses; press++) {
      child.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const [status] = await closed;
    assert.equal(status, 130);
    if (presses === 1) assert.equal(JSON.parse(stdout).error.code, "ABORTED");
  }
});

/** A cache with a spec whose layer has several megabytes. */
async function largeCache(): Promise<{ cache: string; large: string }> {
  const [root, cache] = [temporaryFolder(), `oci-layout:${temporaryFolder()}/cache`];
  makeStore(root, { bytes: 12_000_000, files: 4, specs: 1, seed: 5 });
  const around = { surroundings: { env: {}, home: root, cwd: root }, environment: false } as const;
  const large = "gcc-runtime@13.2.0";
  await push(cache, { ...around, store: root, specs: [large] });
  return { cache, large };
}

/** The setting that ends a worker thread at the first order to it, or answer of it, of a type. */
function killing(type: string): Record<string, string> {
  const module = `import threads from "node:worker_threads"; import { syncBuiltinESMExports } from "node:module";
    let left = threads.isMainThread ? 1 : 0;
    const see = (worker, message) => {
      if (message?.type !== "${type}" || left-- <= 0) return;
      console.error("a thread dies");
      worker.terminate();
    };
    threads.Worker = class extends threads.Worker {
      constructor(...all) { super(...all); this.on("message", (message) => see(this, message)); }
      postMessage(message, ...more) { super.postMessage(message, ...more); see(this, message); }
    };
    syncBuiltinESMExports();`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(module)}` };
}

const { sysroot } = await goldenStore();
const { cache, large } = await largeCache();
const dying: { verb: string; args: () => string[]; types: string[] }[] = [
  {
    verb: "install",
    args: () => [layout, "--store", temporaryFolder(), "--otherarch", "--no-env", "fleet"],
    types: ["place", "finish", "placed", "finished"],
  },
  {
    // An archive that goes to its thread in parts.
    verb: "install",
    args: () => [cache, "--store", temporaryFolder(), "--otherarch", "--no-env", large],
    types: ["bytes", "taken"],
  },
  {
    verb: "push",
    args: () => [
      `oci-layout:${temporaryFolder()}/cache`,
      "--sysroot",
      sysroot,
      "--store",
      "/opt/harbor/store",
      "fleet",
    ],
    types: ["read", "memory", "compress", "piece", "compressed"],
  },
];
for (const { verb, args, types } of dying)
  for (const type of types)
    test(`${verb}: a thread that dies at "${type}" is told, or another one does its work`, {
      timeout: 120_000,
    }, async () => {
      const env = { ...killing(type), XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" };
      const ran = await stave([verb, ...args(), "--json"], { env });
      assert.match(ran.stderr, /^a thread dies$/m);
      const { error } = documentOf(ran);
      if (ran.status === 0) return;
      assert.equal(error.code, ran.status === 70 ? "INTERNAL" : "PARTIAL", ran.stdout);
      assert.match(ran.stdout, /thread (?:ended|stopped unexpectedly)/);
    });

test("serve: the password thread may die while it is idle and while it works", { timeout: 120_000 }, async () => {
  const users = join(temporaryFolder(), "users");
  writeFileSync(users, `me:${hashSync("right", 10)}\n`);
  // The second word is answered by a thread that is gone as soon as it has answered the first one.
  const module = `import threads from "node:worker_threads"; import { syncBuiltinESMExports } from "node:module";
    let orders = 0;
    threads.Worker = class extends threads.Worker {
      constructor(...all) { super(...all); this.on("message", () => { if (orders === 1) this.terminate(); }); }
      postMessage(message, ...more) { super.postMessage(message, ...more); if (++orders === 2) this.terminate(); }
    };
    syncBuiltinESMExports();`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(module)}` };
  const child = startStave(["serve", temporaryFolder(), "--htpasswd", users, "--listen", "127.0.0.1:0"], { env });
  try {
    let said = "";
    for await (const chunk of child.stdout ?? []) {
      said += String(chunk);
      if (said.includes("serving")) break;
    }
    const url = `http://${/127\.0\.0\.1:[0-9]+/.exec(said)?.[0]}/v2/`;
    const ask = async (password: string): Promise<number> => {
      const authorization = `Basic ${Buffer.from(`me:${password}`).toString("base64")}`;
      return (await fetch(url, { headers: { authorization } })).status;
    };
    // Each with a password of its own: what was right or wrong once is remembered.
    assert.equal(await ask("wrong 1"), 401);
    assert.equal(await ask("wrong 2"), 500);
    assert.equal(await ask("wrong 3"), 401);
    assert.equal(await ask("right"), 200);
  } finally {
    child.kill("SIGKILL");
  }
});

test("messages that nobody reads any more do not stop the work", async () => {
  const folder = temporaryFolder();
  const child = startStave(["copy", "--all-tags", layout, "oci-layout:./copy"], { cwd: folder });
  child.stderr?.destroy();
  const [status] = await once(child, "close");
  assert.equal(status, 0);
  const { stdout } = await stave(["tags", "oci-layout:./copy"], { cwd: folder });
  assert.match(stdout, /^fleet-env$/m);
});

// Proves that the process ends with a report whatever goes wrong inside it: each defect is injected into the built
// command by a preloaded module.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { type Ran, startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";

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

// Proves that a trace has what is needed to play a defect back, and no secrets: a push and an installation with faults
// are recorded, and the same faults happen again at the same requests of another registry.
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "./support/cli.ts";
import { goldenStore } from "./support/push.ts";
import { type Rule, startRegistry } from "./support/registry.ts";
import { rulesOf } from "./support/replay.ts";
import { temporaryFolder } from "./support/tree.ts";

const { sysroot } = await goldenStore();
const SECRET = "s3cret-word";

/** Pushes and installs with a registry that has these faults; returns both traces and what was wrong, in order. */
async function session(rules: Rule[], repository: string) {
  const work = temporaryFolder();
  const login = { kind: "bearer", username: "me", password: SECRET } as const;
  const registry = await startRegistry({ rules, login });
  const env = {
    ...{ HOME: work, XDG_CACHE_HOME: join(work, "cache"), SPACK_ROOT: "" },
    ...{ STAVE_REGISTRY: registry.host, STAVE_USERNAME: "me", STAVE_PASSWORD: SECRET },
  };
  const cache = `oci+http://${registry.host}/${repository}`;
  const [pushing, installing] = [join(work, "push.jsonl"), join(work, "install.jsonl")];
  const store = `/tmp/${process.pid}r`;
  try {
    // One layer at a time, so that requests come in one order.
    const from = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "-j", "1"];
    const pushed = await stave(["push", cache, "hull", ...from, "--trace", pushing], { cwd: work, env });
    assert.equal(pushed.status, 0, pushed.stderr);
    const into = ["-o", "--store", store, "-j", "1"];
    const installed = await stave(["install", cache, "hull", ...into, "--trace", installing], { cwd: work, env });
    assert.equal(installed.status, 0, installed.stderr);
  } finally {
    await registry.close();
    rmSync(store, { recursive: true, force: true });
  }
  const trace = [pushing, installing].map((file) => readFileSync(file, "utf8")).join("");
  const wrong = rulesOf(trace).map(({ method, path, fault }) => `${method} ${path?.source} ${JSON.stringify(fault)}`);
  return { trace, wrong };
}

test("the faults of a push and an installation happen again when their trace is played back", async () => {
  const faults: Rule[] = [
    {
      method: "PUT",
      path: /\/manifests\//,
      after: 1,
      times: 1,
      fault: { status: 503, headers: { "retry-after": "1" } },
    },
    { method: "POST", path: /\/uploads\//, times: 1, fault: "reset" },
    { method: "GET", path: /\/blobs\/sha256/, after: 2, times: 1, fault: { truncate: 1 } },
  ];
  const first = await session(faults, "org/cache");
  assert.equal(first.wrong.length, 3, first.wrong.join("\n"));
  assert.match(first.wrong.join("\n"), /503.*"retry-after":"1"/);
  assert.match(first.wrong.join("\n"), /POST .*"reset"/);
  assert.match(first.wrong.join("\n"), /GET .*"truncate"/);
  const again = await session(rulesOf(first.trace), "org/cache");
  assert.deepEqual(again.wrong.sort(), first.wrong.sort());
  for (const { trace } of [first, again])
    assert.doesNotMatch(
      trace,
      new RegExp(`${SECRET}|${Buffer.from(`me:${SECRET}`).toString("base64")}|authorization"`, "i"),
    );
});

test("a text that is no trace, or a huge one, is refused", () => {
  for (const text of ["no json", '{"method":"BREW","url":"http://x/"}', '{"method":"GET","url":"x"}'])
    assert.throws(() => rulesOf(text));
  assert.throws(() => rulesOf("{}\n".repeat(200_001)), /too long/);
  assert.deepEqual(rulesOf(""), []);
});

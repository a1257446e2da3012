// The host of this process, as far as any machine can be asserted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { currentHost } from "../../lib/cli/host.ts";
import { systemClock } from "../../lib/util/time.ts";

test("the host has a user, a platform, a processor and the date of the clock", () => {
  const noon = new Date(2026, 1, 3, 12).getTime();
  const host = currentHost({ env: { A: "1" }, cwd: "/w", home: "/h", clock: { ...systemClock, now: () => noon } });
  assert.deepEqual([host.env, host.cwd, host.home, host.date], [{ A: "1" }, "/w", "/h", "2026-02-03"]);
  assert.match(host.platform, /^(?:linux|darwin|windows|freebsd)$/);
  assert.match(host.machine, /^\w+$/);
  assert.notEqual(host.machine, "arm64");
  assert.ok(host.user.length > 0 && host.hostname.length > 0);
  if (host.platform === "linux") assert.match(host.os ?? "unknown", /^[\w.]+$/);
});

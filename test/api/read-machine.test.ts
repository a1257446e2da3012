// Proves that the host of this process is described correctly, as far as that holds on any machine.
import assert from "node:assert/strict";
import { test } from "node:test";
import { currentHost, type Machine } from "../../lib/api/machine/read-machine.ts";
import { discover } from "../../lib/spack/config/discover.ts";
import { systemClock } from "../../lib/util/time.ts";
import { configTree } from "../support/config-tree.ts";

test("the host has a user, a platform, a processor and the date of the clock", () => {
  const noon = new Date(2026, 1, 3, 12).getTime();
  const host = currentHost({ env: { A: "1" }, cwd: "/w", home: "/h", clock: { ...systemClock, now: () => noon } });
  assert.deepEqual([host.env, host.cwd, host.home, host.date], [{ A: "1" }, "/w", "/h", "2026-02-03"]);
  assert.match(host.platform, /^(?:linux|darwin|windows|freebsd)$/);
  assert.match(host.machine, /^\w+$/);
  assert.notEqual(host.machine, "arm64");
  assert.ok(host.user.length > 0 && host.hostname.length > 0);
  if (host.platform === "linux") assert.match(host.os ?? "unknown", /^[\w.]+$/);
  if (host.platform === "linux") assert.match(host.target ?? "", /^[\w.]+$/);
});

const context = { env: {}, cwd: "/w", home: "/h", clock: systemClock };
const CPU = "processor\t: 0\nvendor_id\t: Noname\nflags\t\t: cx16 lahf_lm popcnt mmx sse sse2 sse4_1 sse4_2 ssse3\n";
const RELEASE = 'ID=ubuntu\nVERSION_ID="24.04"\n';

// A machine whose files are texts.
const machine = (system: string, processor: string, files: Record<string, string>): Machine => ({
  system,
  processor,
  hostname: "loom",
  read: (path, limit) => files[path]?.slice(0, limit),
});

const MACHINES: { name: string; given: Machine; expect: readonly (string | undefined)[] }[] = [
  {
    name: "Linux on a PC",
    given: machine("linux", "x86_64", { "/proc/cpuinfo": CPU, "/etc/os-release": RELEASE }),
    expect: ["linux", "x86_64", "ubuntu24.04", "x86_64_v2"],
  },
  {
    name: "Linux where little can be read",
    given: machine("linux", "aarch64", { "/usr/lib/os-release": RELEASE }),
    expect: ["linux", "aarch64", "ubuntu24.04", "aarch64"],
  },
  {
    name: "macOS",
    given: machine("darwin", "arm64", { "/proc/cpuinfo": CPU, "/etc/os-release": RELEASE }),
    expect: ["darwin", "aarch64", undefined, undefined],
  },
  {
    name: "Windows",
    given: machine("win32", "x86_64", {}),
    expect: ["windows", "x86_64", undefined, undefined],
  },
];
for (const { name, given, expect } of MACHINES)
  test(`the machine is ${name}`, () => {
    const host = currentHost(context, given);
    assert.deepEqual([host.platform, host.machine, host.os, host.target], expect);
  });

test("a store whose root is made of the machine's names needs no --store", () => {
  const braced = `$${"{target}"}`;
  const root = configTree({
    "config.yaml": `config: {install_tree: {root: "/opt/$arch/${braced}/$target_family/$os-$platform"}}\n`,
  });
  const host = currentHost(context, MACHINES[0]?.given);
  assert.equal(
    discover({ host, scopes: [root], environment: false }).store?.tree.root,
    "/opt/linux-ubuntu24.04-x86_64_v2/x86_64_v2/x86_64/ubuntu24.04-linux",
  );
});

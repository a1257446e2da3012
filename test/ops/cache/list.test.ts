// Proves that a list contains what an installation would accept on a machine, and counts the rest.
import assert from "node:assert/strict";
import { test } from "node:test";
import { list } from "../../../lib/ops/cache/list.ts";
import type { HostArchitecture } from "../../../lib/spack/spec/fits-host.ts";
import { goldenCache } from "../../support/caches.ts";

const ALL = 8;
const cases: { host: HostArchitecture | undefined; listed: number }[] = [
  { host: undefined, listed: ALL },
  { host: { platform: "linux", os: "debian12", target: "x86_64" }, listed: ALL },
  { host: { platform: "linux", os: "debian12", target: "zen3" }, listed: ALL },
  { host: { platform: "linux", os: "ubuntu24.04", target: "zen3" }, listed: 0 },
  {
    host: { platform: "linux", os: "ubuntu24.04", compatibleSystems: ["debian12"], target: "icelake" },
    listed: ALL,
  },
  { host: { platform: "linux", target: "x86_64_v2" }, listed: ALL },
  { host: { platform: "linux", os: "debian12", target: "neoverse_v1" }, listed: 0 },
  { host: { platform: "darwin", os: "debian12", target: "x86_64" }, listed: 0 },
];
const cache = await goldenCache("spack-1.2/plain.oci");
for (const { host, listed } of cases)
  test(`${host === undefined ? "any machine" : Object.values(host).join(" ")}: ${listed} of ${ALL}`, async () => {
    const { specs, otherArchitectures } = await list(cache, { queries: [], host });
    assert.deepEqual([specs.length, otherArchitectures], [listed, ALL - listed]);
  });

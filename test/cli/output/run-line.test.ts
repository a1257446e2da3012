// The command that runs a pushed image: with podman or docker, from a registry or a directory.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runLine } from "../../../lib/cli/output/run-line.ts";
import { parseLocation } from "../../../lib/oci/reference.ts";
import { temporaryFolder } from "../../support/tree.ts";

const bin = temporaryFolder();
for (const program of ["podman", "docker"]) {
  mkdirSync(join(bin, program));
  writeFileSync(join(bin, program, program), "");
  chmodSync(join(bin, program, program), 0o755);
}

const CASES = [
  ["oci://ghcr.io/org/cache", "podman", "podman run --rm -it ghcr.io/org/cache:app"],
  ["oci://ghcr.io/org/cache", "docker", "docker run --rm -it ghcr.io/org/cache:app"],
  ["oci://ghcr.io/org/cache", "none", "podman run --rm -it ghcr.io/org/cache:app"],
  ["oci+http://node1:5000/cache", "podman", "podman run --rm -it --tls-verify=false node1:5000/cache:app"],
  ["oci://localhost:5000/cache", "podman", "podman run --rm -it --tls-verify=false localhost:5000/cache:app"],
  ["oci://localhost:5000/cache", "docker", "docker run --rm -it localhost:5000/cache:app"],
  [
    "./stave-cache",
    "podman",
    "stave export oci-layout:./stave-cache:app --load && podman run --rm -it localhost/stave-cache:app",
  ],
] as const;
for (const [place, program, expected] of CASES)
  test(`${place} with ${program}`, () =>
    assert.equal(runLine(parseLocation(place), "app", { env: { PATH: join(bin, program) } }), expected));

// Proves what each verb for images says of an image without specs, and of what is no image at all.
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { copyGraph } from "../../lib/copy.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { makeBase } from "../../scripts/make-base.ts";
import { goldenCache } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { temporaryFolder } from "../support/tree.ts";

const cwd = temporaryFolder();
const env = { XDG_CACHE_HOME: join(cwd, "xdg"), SPACK_ROOT: "" };
makeBase(join(cwd, "base"), { tag: "tiny" });
const { target: golden } = await goldenCache("spack-1.2/plain.oci");
const other = await LayoutTarget.open(join(cwd, "other"), { clock, create: true });
await copyGraph(golden, other, "index.spack", { tag: "index.spack" });
await other.close();

const [image, base] = ["oci-layout:./base:tiny", "oci-layout:./base:tiny"];
const artifact = "oci-layout:./other:index.spack";
const ROWS: { args: (one: string) => string[]; foreign: RegExp; status: number; artifact: RegExp }[] = [
  { args: (one) => ["size", one], foreign: /the base image/, status: 0, artifact: /is not an image \[MEDIA_TYPE\]/ },
  {
    args: (one) => ["check-run", one],
    foreign: /has no layer of a spec .*\n.*name an image that Spack or stave pushed/,
    status: 5,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  {
    args: (one) => ["check-run", one, "--base", base],
    foreign: /has no layer of a spec /,
    status: 5,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  {
    args: (one) => ["rebase", one, "--onto", base],
    foreign: /does not record the base that it stands on \[USAGE\]\n.*--from BASE/,
    status: 2,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  {
    args: (one) => ["run", one, "--", "ls"],
    foreign: /is not the image of an environment that stave pushed \[MEDIA_TYPE\]/,
    status: 5,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  {
    args: (one) => ["export", one, "-o", "app.tar"],
    foreign: /localhost\/base:tiny in .*app\.tar/,
    status: 0,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  {
    args: (one) => ["image-index", "oci-layout:./all:1", one],
    foreign: /linux\/\w+ sha256:/,
    status: 0,
    artifact: /is not an image \[MEDIA_TYPE\]/,
  },
  { args: (one) => ["diff", base, one], foreign: /0 layers of 0 B to pull/, status: 0, artifact: /1 layer/ },
];

for (const { args, foreign, status, artifact: says } of ROWS)
  describe(args("IMAGE").join(" "), () => {
    test("an image without specs", async () => {
      const ran = await stave(args(image), { cwd, env });
      assert.equal(ran.status, status, ran.stderr);
      assert.match(ran.stdout + ran.stderr, foreign);
    });
    test("what is no image", async () => {
      rmSync(join(cwd, "app.tar"), { force: true });
      const ran = await stave(args(artifact), { cwd, env });
      assert.match(ran.stdout + ran.stderr, says);
      assert.notEqual(ran.status, 0);
      assert.ok(!existsSync(join(cwd, "app.tar")));
    });
  });

test("as a base image, an artifact is refused and nothing is pushed", async () => {
  const args = ["push", "oci-layout:./new", "-t", "app", "--base-image", artifact, "--store", "/none"];
  const ran = await stave(args, { cwd, env });
  assert.notEqual(ran.status, 0);
  assert.ok(!existsSync(join(cwd, "new/index.json")));
});

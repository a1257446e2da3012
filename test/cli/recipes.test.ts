// Proves that `push` and `env` set what the copies of recipes say, and name the recipes that are not understood.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { stave } from "../support/cli.ts";
import { named } from "../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

const RECIPE = `from spack.package import *


class Voyage(Package):
    def setup_run_environment(self, env):
        env.set("CREW", "2")
        env.prepend_path("LD_LIBRARY_PATH", self.prefix.lib)
        if self.spec.satisfies("@0.4:"):
            env.set("MORE", from_elsewhere())
`;

let common: string[] = [];
let prefix = "";
before(async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  prefix = store.prefixOf(named(store, "voyage"));
  const path = join(store.locate(prefix), ".spack/repos/spack_repo/shipyard/packages/voyage/package.py");
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, RECIPE);
  common = ["--store", SPACK_1.root, "--sysroot", sysroot, "--no-env"];
});
const UNREAD = { name: "voyage", version: "0.4.2", line: 9, reason: "the name from_elsewhere" };

test("env", async () => {
  const plain = await stave(["env", "voyage", ...common]);
  assert.equal(plain.status, 0, plain.stderr);
  assert.match(plain.stdout, /^export CREW='2';$/m);
  assert.match(plain.stderr, /warning: the recipe of voyage@0\.4\.2\/[a-z0-9]{7} .*line 9: the name from_elsewhere/);
  const { report } = JSON.parse((await stave(["env", "voyage", "--json", ...common])).stdout);
  const [{ hash, ...unread }, ...others] = report.notUnderstood;
  assert.deepEqual([unread, hash.length, others], [UNREAD, 32, []]);
});

test("push --tag", async () => {
  const cwd = temporaryFolder();
  const push = (...more: string[]) =>
    stave(["push", "oci-layout:./cache", "voyage", "-t", "app", ...more, ...common], {
      cwd,
      env: { XDG_CACHE_HOME: join(cwd, "cache-home") },
    });
  const { status, stdout, stderr } = await push();
  assert.equal(status, 0, stderr);
  assert.match(stdout, /environment variables: from the install tree and the recipes in it/);
  assert.match(stderr, /voyage@0\.4\.2.*not understood \(line 9: .*--variable NAME=VALUE/);
  assert.match(
    stderr,
    /LD_LIBRARY_PATH has .*\/lib, so programs of the base image .*--variable LD_LIBRARY_PATH= leaves/,
  );
  const env = envOf(join(cwd, "cache"), "app");
  assert.ok(env.includes("CREW=2") && env.includes(`LD_LIBRARY_PATH=${prefix}/lib`), env.join("\n"));

  const again = await push("--variable", "LD_LIBRARY_PATH=", "--variable", "MORE=1", "--json");
  const { environment } = JSON.parse(again.stdout).report;
  assert.deepEqual(environment.libraryPath, []);
  assert.equal(environment.notUnderstood[0].reason, UNREAD.reason);
  const after = envOf(join(cwd, "cache"), "app");
  assert.ok(after.includes("LD_LIBRARY_PATH=") && after.includes("MORE=1"), after.join("\n"));
});

function envOf(layout: string, tag: string): string[] {
  const blob = (digest: string) => JSON.parse(readFileSync(join(layout, "blobs/sha256", digest.slice(7)), "utf8"));
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const isTag = (entry: { annotations: Record<string, string> }): boolean =>
    entry.annotations["org.opencontainers.image.ref.name"] === tag;
  return blob(blob(manifests.find(isTag).digest).config.digest).config.Env;
}

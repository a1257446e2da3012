// Proves that `stave gc` removes what nothing needs, and only that: what was asked for, recent runs, running programs,
// young specs and what another process holds all stay.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { DEFAULT_LOCKS } from "../../lib/spack/config/settings.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { StoreLocks } from "../../lib/store/locks.ts";
import { systemClock } from "../../lib/util/time.ts";
import { findProgram } from "../../scripts/peers.ts";
import { inTerminal, startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";

// Short: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const env = { HOME: work, SPACK_ROOT: "", XDG_CACHE_HOME: "", XDG_DATA_HOME: "", STAVE_STORE: "" };
const own = join(work, ".local/share/stave/store");
const SHORT = "config:install_tree:projections:all:'{hash:10}'";
const NOW = ["--grace", "0s", "--keep-runs", "0s"];
const prefixes = (): number => readdirSync(own).filter((name) => /^[a-z2-7]{10}$/.test(name)).length;

async function run(args: string[], status = 0): Promise<string> {
  const ran = await stave(args, { cwd: work, env });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}
const sail = (): Promise<string> => run(["run", cache, "fleet", "-o", "--", "voyage"]);

test("without a store there is nothing to do", async () => {
  assert.match(await run(["gc", "--yes"]), /there is no store in .*stave\/store/);
  assert.ok(!existsSync(own));
});

test("a store that was named must exist", async () => {
  assert.match(await run(["gc", "--yes", "--store", join(work, "nope")], 5), /nope is not a Spack store/);
  assert.match(await run(["gc", "--help"]), /\$STAVE_STORE, else\s+~\/\.local\/share\/stave\/store/);
});

test("recent runs and young specs stay; a plan removes nothing", async () => {
  await sail();
  assert.match(await run(["gc", "--plan"]), /nothing to remove from \S+; 1 used by recent runs, 8 installed recently/);
  const runs = ["--grace", "0s", "--yes"];
  assert.match(await run(["gc", "--keep-runs", "0s", "--yes"]), /nothing to remove from \S+; 9 installed recently/);
  assert.match(await run(["gc", ...NOW, "--plan"]), /voyage@0\.4\.2[\s\S]*would remove 9 specs/);
  // As Spack does, it forgets a compiler that the specs were only built with.
  assert.match(await run(["gc", ...runs, "-b"]), /nothing to remove from \S+; 1 used by recent runs, 8 needed by them/);
  assert.match(
    await run(["gc", ...runs]),
    /gcc@.* only its record\nremoved 1 spec from \S+; 1 used by recent runs, 7 needed/,
  );
  assert.equal(prefixes(), 7);
});

test("asks first; without a terminal --yes is needed", async () => {
  assert.match(await run(["gc", ...NOW], 2), /confirmation.*\n.*--yes/);
  if (findProgram("script") === undefined) return;
  const asked = await inTerminal(["gc", ...NOW], { cwd: work, env, type: { after: "[y/N]", keys: "n\n" } });
  assert.equal(asked.status, 130, asked.output);
  assert.equal(prefixes(), 7);
});

test("a program that runs keeps its specs", async () => {
  const child = startStave(["run", cache, "fleet", "-o", "--", "sh", "-c", "echo on; read line"], { cwd: work, env });
  assert.ok(child.stdout && child.stdin);
  await once(child.stdout, "data");
  const said = await run(["gc", ...NOW, "--yes"]).finally(() => child.stdin?.end("\n"));
  await once(child, "close");
  assert.match(said, /nothing to remove from \S+; .*in use/);
  assert.equal(prefixes(), 7);
});

test("what another process holds stays, with what it needs; the rest goes", async () => {
  const store = await Store.open(own, { clock: systemClock });
  await using locks = new StoreLocks(store, { clock: systemClock, settings: DEFAULT_LOCKS });
  const hull = [...store.records()].find(({ node }) => node.name === "hull");
  await locks.spec("prefix", hull?.node.hash ?? "", "shared");
  const said = JSON.parse((await stave(["gc", ...NOW, "--yes", "--json"], { cwd: work, env })).stdout);
  assert.deepEqual(said.report.locked, [hull?.node.hash]);
  const removed = said.report.specs.map(({ name }: { name: string }) => name);
  assert.ok(removed.includes("fleet") && !removed.includes("hull") && !removed.includes("zlib-ish"), removed);
  assert.equal(prefixes(), 7 - removed.length);
  assert.ok(prefixes() > 1);
});

test("what was installed by name stays, with its dependencies; then a run installs the rest again", async () => {
  await run(["install", cache, "hull", "-o", "--store", own, "-c", SHORT]);
  await sail();
  assert.match(
    await run(["gc", ...NOW, "--yes"]),
    /removed [1-5] specs? from \S+; 1 installed by name, [1-5] needed by them/,
  );
  await run(["verify", "--store", own, "-c", SHORT]);
  const { report } = JSON.parse(await run(["find", "--store", own, "-c", SHORT, "--json"]));
  assert.ok(
    report.specs.some(({ name, explicit }: { name: string; explicit: boolean }) => name === "hull" && explicit),
  );
  assert.match(await sail(), /voyage 420/);
  assert.equal(prefixes(), 7);
});

test("the roots of an environment stay", async () => {
  const folder = join(work, "env");
  mkdirSync(folder);
  cpSync(golden("spack-1.2/spack.lock"), join(folder, "spack.lock"));
  cpSync(golden("spack-1.2/spack.yaml"), join(folder, "spack.yaml"));
  const kept = await run(["gc", ...NOW, "--plan", "-e", folder]);
  assert.match(kept, /[1-9] in environments/);
});

test("a program keeps its specs in a store behind a link, even if only its real path is known", async () => {
  const [real, link, second] = ["real", "link", "second"].map((name) => join(work, name)) as [string, string, string];
  mkdirSync(real);
  for (const one of [link, second]) symlinkSync(real, one);
  await run(["run", cache, "hull", "-o", "--store", link, "-c", SHORT, "--", "true"]);
  const stays = async (store: string): Promise<string> => await run(["gc", ...NOW, "--yes", "--store", store]);
  const hull = readdirSync(real).find((name) => existsSync(join(real, name, ".spack/spec.json"))) ?? assert.fail();
  const program = join(real, hull, "bin-of-test");
  cpSync("/bin/cat", program);
  // As with `env -i`.
  const child = spawn(program, [], { env: {}, stdio: ["pipe", "pipe", "inherit"] });
  try {
    child.stdin.write("on");
    await once(child.stdout, "data");
    for (const store of [link, second, real]) {
      assert.match(await stays(store), /in use/, store);
      assert.ok(existsSync(program), store);
    }
  } finally {
    child.stdin.end();
    await once(child, "close");
  }
  assert.doesNotMatch(await stays(link), /in use/);
  assert.ok(!existsSync(program));
});

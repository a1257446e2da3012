// Proves that a Spack on the PATH is asked for the variables of recipes that are not understood, only then, and that a
// push does not depend on it.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { askSpack } from "../../lib/spack/environment/ask-spack.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { makeSpecs } from "../../scripts/histories.ts";
import { makeEnvironment } from "../../scripts/make-environment.ts";
import { type Ran, stave } from "../support/cli.ts";
import { readImage } from "../support/read-image.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const root = join(work, "store");
const [spec] = makeSpecs(1, 1);
assert.ok(spec);
const { name } = spec;
const hash = makeEnvironment(root, [spec], 1 / 1000).get(spec.id);
const prefix = join(root, "linux-x86_64", `${name}-1.0-${hash}`);

function recipe(value: string): void {
  const folder = join(prefix, ".spack/repos/spack_repo/made/packages", name.replaceAll("-", "_"));
  mkdirSync(folder, { recursive: true });
  const type = name.replaceAll(/(?:^|-)(.)/g, (_all, letter: string) => letter.toUpperCase());
  const body = `from spack.package import *\n\nclass ${type}(Package):\n    def setup_run_environment(self, env):\n`;
  writeFileSync(join(folder, "package.py"), `${body}        env.set("MODE", ${value})\n`);
}

const spack = join(work, "spack");
mkdirSync(join(spack, "bin"), { recursive: true });
mkdirSync(join(spack, "lib/spack/spack"), { recursive: true });
writeFileSync(join(spack, "lib/spack/spack/__init__.py"), '__version__ = "1.2.0"\n');
const asked = join(work, "asked");
const given = join(work, "given");

/** A Spack that says that MODE is `asked`, and ends with a status. */
function program(status = 0): void {
  const script = `#!${process.execPath}
const { appendFileSync, readFileSync, writeFileSync } = require("node:fs");
const text = readFileSync(0, "utf8");
appendFileSync(${JSON.stringify(asked)}, text);
writeFileSync(${JSON.stringify(given)}, JSON.stringify(process.argv.slice(2)));
const environments = JSON.parse(text).environments.map(() => [["SetEnv", "MODE", "asked", ":"]]);
console.log("STAVE-ANSWER " + JSON.stringify({ version: "1.2.0", missing: [], restricted: [], environments }));
process.exitCode = ${status};
`;
  writeFileSync(join(spack, "bin/spack"), script, { mode: 0o755 });
}

const path = `${join(spack, "bin")}:${process.env["PATH"]}`;
const run = (words: string[], PATH = path): Promise<Ran> => {
  rmSync(asked, { force: true });
  const env = { PATH, SPACK_ROOT: "", XDG_CACHE_HOME: join(work, "xdg"), HOME: work };
  return stave([...words, "--store", root, "--no-env"], { env, cwd: work });
};

/** What `env` and a tagged image say of MODE, and the warnings. */
async function modes(PATH = path): Promise<{ env: string | undefined; image: string | undefined; stderr: string }> {
  const shown = await run(["env", name], PATH);
  assert.equal(shown.status, 0, shown.stderr);
  const isAsked = existsSync(asked);
  rmSync(join(work, "cache"), { recursive: true, force: true });
  const pushed = await run(["push", "oci-layout:./cache", name, "--tag", "app"], PATH);
  assert.equal(pushed.status, 0, pushed.stderr);
  assert.equal(existsSync(asked), isAsked, "both ask, or none");
  const target = await LayoutTarget.open(join(work, "cache"), { clock });
  const { config } = await readImage(target, "app");
  return {
    env: /^export MODE='(.*)';$/m.exec(shown.stdout)?.[1],
    image: config.config?.Env?.find((entry) => entry.startsWith("MODE="))?.slice(5),
    stderr: shown.stderr + pushed.stderr,
  };
}

test("a recipe that is understood: Spack is not started", async () => {
  recipe('"read"');
  program();
  const { env, image } = await modes();
  assert.deepEqual([env, image, existsSync(asked)], ["read", "read", false]);
});

test("one that is not: Spack says what it sets, about that store and without questions about redistribution", async () => {
  recipe("from_elsewhere()");
  program();
  const { env, image, stderr } = await modes();
  assert.deepEqual([env, image], ["asked", "asked"]);
  assert.deepEqual(JSON.parse(readFileSync(asked, "utf8")).specs, []);
  assert.doesNotMatch(stderr, /not understood/);
});

test("a Spack that fails is a warning, and the recipe is named", async () => {
  recipe("from_elsewhere()");
  program(3);
  const { env, image, stderr } = await modes();
  assert.deepEqual([env, image], [undefined, undefined]);
  assert.match(stderr, /warning: the Spack on the PATH was not used for variables .*failed with status 3/);
  assert.match(stderr, /the recipe of .* not understood \(line 5: the name from_elsewhere\)/);
});

test("without a Spack, the recipe is named", async () => {
  recipe("from_elsewhere()");
  const { env, stderr } = await modes("/usr/bin:/bin");
  assert.equal(env, undefined);
  assert.match(stderr, /not understood/);
  assert.doesNotMatch(stderr, /Spack on the PATH/);
});

test("a Spack on the PATH does not get the environment, which may name code; one that was named does", async () => {
  program();
  const environment = join(work, "cloned");
  for (const from of ["PATH", "option", "SPACK_ROOT"] as const) {
    const installation = { root: spack, version: "1.2.0", style: "nested", from } as const;
    await askSpack({ environments: [], specs: [] }, { installation, env: process.env, environment });
    const args: string[] = JSON.parse(readFileSync(given, "utf8"));
    const where = from === "PATH" ? ["--no-env", "python"] : ["--env-dir", environment];
    assert.deepEqual(args.slice(0, 2), where, from);
    assert.equal(args.includes(environment), from !== "PATH");
  }
});

test("a folder on the PATH that depends on where stave is started provides no Spack", async () => {
  recipe("from_elsewhere()");
  program();
  for (const entry of ["", ".", "spack/bin", "./spack/bin"]) {
    const { stdout } = await run(["env", name], `${entry}:/usr/bin:/bin`);
    assert.doesNotMatch(stdout, /MODE/, entry);
    assert.ok(!existsSync(asked), entry);
  }
});

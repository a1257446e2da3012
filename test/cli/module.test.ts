// Proves that `stave module` writes files that work, never replaces those of others, and that `install` says how to go
// on.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";

// Short: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const store = join(work, "s");
const env = { HOME: work, SPACK_ROOT: "", XDG_CACHE_HOME: "" };

async function run(args: string[], status = 0, more: Record<string, string> = {}): Promise<string> {
  const ran = await stave(args, { cwd: work, env: { ...env, ...more } });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}
const IN_STORE = ["--store", store, "--no-env"];

test("install ends with a line that works as it stands, in the user's shell", async () => {
  const said = await run(["install", cache, "voyage", "-o", ...IN_STORE], 0, { SHELL: "/bin/bash" });
  const [, line = ""] = /^to use them: (eval ".*")$/m.exec(said) ?? assert.fail(said);
  assert.equal(line, `eval "$(stave env voyage --store ${store} --no-env)"`);
  const command = `stave() { "${process.execPath}" "${join(import.meta.dirname, "../../dist/stave.js")}" "$@"; }`;
  const ran = spawnSync("bash", ["-c", `${command}\n${line}\nvoyage`], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  assert.match(ran.stdout, /voyage 420/, ran.stderr);
  const args = ["install", cache, "voyage@0.4 +x", "-o", "--plan", ...IN_STORE];
  assert.doesNotMatch(await run(args.toSpliced(2, 1, "voyage"), 0), /to use them/);
  const fish = await run(["install", cache, "voyage@0.4:", "-o", ...IN_STORE], 0, { SHELL: "/usr/bin/fish" });
  assert.match(fish, /to use them: stave env voyage@0\.4: --fish --store \S+ --no-env \| source/);
  const tcsh = await run(["install", cache, "voyage", "-o", ...IN_STORE], 0, { SHELL: "/bin/tcsh" });
  assert.match(tcsh, /to use them: eval `stave env voyage --csh --store/);
});

test("a plan writes nothing; a second time all is there; other content stays", async () => {
  const args = ["module", "tcl", "voyage", "--output", "m", ...IN_STORE];
  assert.match(
    await run([...args, "--plan"]),
    /would write [5-9] modulefiles[\s\S]*module use .*\/m\/linux-debian12-x86_64/,
  );
  assert.ok(!existsSync(join(work, "m")));
  const said = await run(args);
  const [, file = ""] = /^voyage\/0\.4\.2-gcc-12\.2\.0-wsit3bg (\S+)$/m.exec(said) ?? assert.fail(said);
  assert.match(await run(args), /0 modulefiles, [5-9] unchanged/);
  const text = readFileSync(file, "utf8");
  assert.match(text, new RegExp(`^prepend-path PATH \\{${store}/.*/bin\\}$`, "m"));
  writeFileSync(file, "mine");
  assert.match(await run(args), /voyage\S* has other content and stays; --force replaces it/);
  assert.equal(readFileSync(file, "utf8"), "mine");
  await run([...args, "--force"]);
  assert.equal(readFileSync(file, "utf8"), text);
});

test("links that another user planted below the folder are not followed", async () => {
  const args = ["module", "tcl", "voyage", "--no-dependencies", ...IN_STORE];
  const planned = await run([...args, "--output", "new", "--plan"]);
  const [, path = ""] = /^\S+ \S+\/new\/(\S+)$/m.exec(planned) ?? assert.fail(planned);
  const outside = join(work, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "precious");
  // A name that can be guessed leads to a file of the user.
  const first = join(work, "planted-file");
  mkdirSync(dirname(join(first, path)), { recursive: true });
  symlinkSync(join(outside, "precious"), join(first, `${path}.tmp`));
  await run([...args, "--output", first]);
  assert.equal(readFileSync(join(outside, "precious"), "utf8"), "precious");
  assert.ok(lstatSync(join(first, path)).isFile());
  // A folder leads elsewhere.
  const second = join(work, "planted-folder");
  mkdirSync(second);
  symlinkSync(outside, join(second, path.split("/")[0] ?? ""));
  assert.match(
    await run([...args, "--output", second], 10),
    /cannot write .*a link, or another thing .* is in its way/,
  );
  assert.deepEqual(readdirSync(outside), ["precious"]);
});

test("without a folder, and for specs that are not there, it says what to do", async () => {
  assert.match(await run(["module", "lmod", "voyage", ...IN_STORE], 2), /--output DIR/);
  assert.match(await run(["module", "tcl", "nope", "--output", "m", ...IN_STORE], 7), /nope/);
  assert.match(await run(["module", "lisp", "voyage", ...IN_STORE], 2), /tcl or lmod/);
});

// Proves that stave.yaml names the cache and the store of a project, and that a file that the user has not accepted, or
// that others may change, has no effect at all.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../../scripts/peers.ts";
import { inTerminal, stave } from "../support/cli.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const env = { HOME: work, SPACK_ROOT: "", XDG_STATE_HOME: join(work, "state"), XDG_CACHE_HOME: join(work, "cache") };
let folders = 0;
function folder(files: Record<string, string> = {}): string {
  const at = join(work, `project${++folders}`);
  mkdirSync(join(at, "sub/deep"), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(at, name), text);
  return at;
}
async function run(cwd: string, args: string[], status = 0, more: Record<string, string> = {}): Promise<string> {
  const ran = await stave(args, { cwd, env: { ...env, ...more } });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

test("init writes the file; then push, list and find need no words, and say where the values come from", async () => {
  const { sysroot } = await goldenStore();
  const at = folder();
  const said = await run(at, ["init", "--cache", "oci-layout:./mine", "--store", "/opt/harbor/store", "--yes"]);
  assert.match(said, new RegExp(`${at}/stave.yaml was written[\\s\\S]*cache: oci-layout:${at}/mine`));
  assert.match(
    readFileSync(join(at, "stave.yaml"), "utf8"),
    /^cache: "oci-layout:\.\/mine"\nstore: "\/opt\/harbor\/store"\n$/m,
  );
  const deep = join(at, "sub/deep");
  const pushed = await run(deep, ["push", "hull", "--sysroot", sysroot, "--no-env", "--update-index"]);
  assert.match(pushed, /using the store \/opt\/harbor\/store of \S+stave\.yaml/);
  assert.match(pushed, new RegExp(`using the cache oci-layout:${at}/mine of`));
  assert.ok(existsSync(join(at, "mine/index.json")));
  assert.match(await run(deep, ["list", "-a"]), /^hull@1\.10\.1$/m);
  assert.match(await run(deep, ["find", "--sysroot", sysroot, "--no-env", "hull"]), /^hull@1\.10\.1$/m);
  // Arguments, flags and variables take precedence.
  assert.match(await run(deep, ["list", "-a"], 5, { STAVE_CACHE: "oci-layout:./none" }), /none/);
  assert.match(await run(deep, ["list", "oci-layout:./none"], 5), /none/);
  assert.doesNotMatch(await run(deep, ["find", "--store", "/nowhere"], 5), /using the store/);
});

test("a dry run shows what would be written or accepted, asks nothing, and does neither", async () => {
  const at = folder();
  const given = ["init", "--cache", "oci-layout:./mine", "--dry-run"];
  const shown = await run(at, given);
  assert.match(shown, /^cache: "oci-layout:\.\/mine"$/m);
  assert.match(shown, /stave\.yaml would be written/);
  assert.match(await run(at, ["init", "--dry-run"]), /^cache: "\S+"$/m);
  assert.ok(!existsSync(join(at, "stave.yaml")));
  writeFileSync(join(at, "stave.yaml"), "cache: oci-layout:./theirs\n");
  assert.match(await run(at, ["init", "--dry-run"]), /^cache: oci-layout:\.\/theirs$[\s\S]*would be accepted/m);
  assert.match(await run(at, ["list"], 5), /not accepted/);
  await run(at, ["init", "--yes"]);
  assert.match(await run(at, ["init", "--dry-run"]), /is accepted already/);
  assert.equal(JSON.parse(await run(at, ["init", "--dry-run", "--json", "--quiet"])).report.dryRun, true);
});

test("a file that was not accepted, or has changed since, has no effect", async () => {
  const at = folder({ "stave.yaml": "cache: oci-layout:./evil\nstore: /evil\n" });
  assert.match(
    await run(at, ["list"], 5),
    /stave\.yaml is not used, because you have not accepted it[\s\S]*stave-cache/,
  );
  // Nor does one that cannot be read.
  writeFileSync(join(at, "stave.yaml"), "{{{");
  assert.match(await run(at, ["list"], 5), /not accepted/);
  writeFileSync(join(at, "stave.yaml"), "cache: oci-layout:./good\n");
  assert.match(await run(at, ["init"], 2), /confirmation/);
  assert.match(await run(at, ["init", "--yes"]), /is accepted/);
  assert.match(await run(at, ["list"], 5), /good/);
  writeFileSync(join(at, "stave.yaml"), "cache: oci-layout:./evil\n");
  assert.doesNotMatch(await run(at, ["list"], 5), /evil/);
  // Accepted in one place is not accepted in another.
  const copy = folder({ "stave.yaml": "cache: oci-layout:./good\n" });
  assert.match(await run(copy, ["list"], 5), /not accepted/);
});

test("files and folders that others may change, and links, are not read; the search ends at a project's top", async () => {
  const accepted = folder({ "stave.yaml": "cache: oci-layout:./good\n" });
  await run(accepted, ["init", "--yes"]);
  assert.match(await run(join(accepted, "sub"), ["list"], 5), /good/);
  for (const stop of [".git", "spack.yaml"]) {
    const inner = join(accepted, "sub", stop);
    mkdirSync(inner);
    assert.doesNotMatch(await run(join(accepted, "sub"), ["list", "--no-env"], 5), /good/, stop);
    rmSync(inner, { recursive: true });
  }
  for (const path of [join(accepted, "stave.yaml"), accepted]) {
    chmodSync(path, 0o777);
    assert.doesNotMatch(await run(accepted, ["list"], 5), /good/);
    assert.match(await run(accepted, ["init", "--yes"], 2), /others may change it/);
    chmodSync(path, path === accepted ? 0o755 : 0o644);
  }
  const linked = folder();
  symlinkSync(join(accepted, "stave.yaml"), join(linked, "stave.yaml"));
  assert.doesNotMatch(await run(linked, ["list"], 5), /good|not accepted/);
});

test("what is wrong in a file is told when it is accepted", async () => {
  for (const [text, why] of [
    ["cahce: x\n", /"cahce" is unknown[\s\S]*did you mean cache\?/],
    ["hooks: [id]\n", /"hooks" is unknown[\s\S]*the keys are/],
    ["cache: [x]\n", /cache/],
    ["cache: https://me:secret@host/x\n", /credentials in the URL/],
    ["cache: https://host/x?sig=abcdefgh\n", /credentials in the URL/],
  ] as const) {
    const said = await run(folder({ "stave.yaml": text }), ["init", "--yes"], 2);
    assert.match(said, why);
    assert.ok(!said.includes("secret"));
  }
  // Nothing is written that could not be read.
  const empty = folder();
  assert.match(await run(empty, ["init", "--yes", "--cache", "https://me:secret@host/x"], 2), /credentials in the URL/);
  assert.ok(!existsSync(join(empty, "stave.yaml")));
  const at = folder({ "stave.yaml": "cache: a\n" });
  assert.match(await run(at, ["init", "--cache", "b", "--yes"], 6), /never changed/);
  assert.equal(readFileSync(join(at, "stave.yaml"), "utf8"), "cache: a\n");
});

const skip = findProgram("script") === undefined && "there is no `script` to make a terminal with";
test("on a terminal it asks", { skip }, async () => {
  const at = folder();
  const asked = await inTerminal(["init", "--store", "./s"], {
    cwd: at,
    env,
    type: { after: "cache [", keys: "oci-layout:./typed\n" },
  });
  assert.equal(asked.status, 0, asked.output);
  assert.match(readFileSync(join(at, "stave.yaml"), "utf8"), /^cache: "oci-layout:\.\/typed"\nstore: "\.\/s"$/m);
  const other = folder({ "stave.yaml": "cache: a\n" });
  const refused = await inTerminal(["init"], { cwd: other, env, type: { after: "[y/N]", keys: "n\n" } });
  assert.equal(refused.status, 130, refused.output);
});

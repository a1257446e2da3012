// Proves that stave as a single file works where there is nothing but seven libraries: no Node, no packages, no shell.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeContainerImage } from "../../scripts/container-image.ts";
import { checkExecutables } from "../../scripts/executable-check.ts";
import { buildSingleFile } from "../../scripts/single-file.ts";
import { fillBareRoot, runInRoot, whyNoBareRoot } from "../support/bare-root.ts";
import { golden, goldenSysroot } from "../support/golden.ts";
import { containerTools, peerTest, run, runIn } from "../support/peers.ts";
import { temporaryFolder } from "../support/tree.ts";

const isOther = process.platform !== "linux" || process.arch !== "x64";
const skip = isOther ? "the single file is built for linux on x64" : (whyNoBareRoot() ?? false);
const work = temporaryFolder();
const program = join(work, "stave-linux-x64");
const root = join(work, "root");
const HOME = { HOME: "/home/me" };

/** Runs stave in the root; it must end with the status. Returns both outputs. */
function stave(args: string[], status = 0, env: Record<string, string> = HOME): string {
  const ran = runInRoot(root, ["/stave", ...args], env);
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

before(async () => {
  if (skip !== false) return;
  await buildSingleFile("x64", program);
  mkdirSync(join(root, "home/me"), { recursive: true });
  const libraries = fillBareRoot(root, program);
  assert.equal(libraries.length, 7, `it needs ${libraries.join(" ")}`);
  cpSync(golden("spack-1.2/plain.oci"), join(root, "cache"), { recursive: true });
  cpSync(await goldenSysroot("spack-1.2"), root, { recursive: true, verbatimSymlinks: true });
});

const cache = "oci-layout:/cache";

test("a single file finds, installs, pushes and runs in a root without Node", { skip }, () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.equal(stave(["--version"]), `stave ${version}\n`);
  assert.match(stave(["find", "--store", "/opt/harbor/store", "fleet"]), /fleet@/);
  assert.match(stave(["push", "oci-layout:/pushed", "hull", "--store", "/opt/harbor/store"]), /pushed/);
  assert.match(stave(["list", "oci-layout:/pushed", "--allarch"]), /hull@/);
  // Short: the binaries of the cache are not padded.
  assert.match(stave(["install", cache, "hull", "-o", "--store", "/s"]), /installed/);
  assert.match(stave(["find", "--store", "/s"]), /hull@/);
  assert.match(stave(["run", cache, "fleet", "-o", "--", "voyage"]), /voyage 420 from /);
});

test("the check of a release accepts it, and nothing that fails or says another version", { skip }, () => {
  assert.deepEqual(checkExecutables([{ architecture: "x64", path: program }]), []);
  const check = (name: string, text: string): void => {
    const path = join(work, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    checkExecutables([{ architecture: "x64", path }]);
  };
  assert.throws(() => check("failing", "echo wrong >&2; exit 3"), /--version ended with 3: wrong/);
  assert.throws(() => check("other", "echo stave 9.9"), /is stave 9\.9, expected stave/);
  // It does all but what is asked for last.
  const line = `[ "$1" = push ] && [ "$5" = zstd ] && exit 4; exec '${program}' "$@"`;
  assert.throws(() => check("half", line), /push .*zstd.* ended with 4/);
});

test("NODE_OPTIONS of the user are left alone", { skip }, () => {
  assert.match(stave(["--version"], 0, { ...HOME, NODE_OPTIONS: "--bogus" }), /^stave /);
});

const native = join(root, "home/me/.cache/stave/native");

test("the native library is written for its user alone, and replaced if it was changed", { skip }, () => {
  const [name = ""] = readdirSync(native);
  assert.match(name, /^koffi-[0-9a-f]{16}\.node$/);
  assert.equal(statSync(native).mode & 0o777, 0o700);
  assert.equal(statSync(join(native, name)).mode & 0o777, 0o600);
  const right = readFileSync(join(native, name));
  writeFileSync(join(native, name), "not a library");
  stave(["uninstall", "--store", "/s", "-y", "hull"]);
  assert.ok(readFileSync(join(native, name)).equals(right));
});

// Each folder is one that cannot be used; the next is tried.
const FOLDERS: { name: string; env: Record<string, string>; prepare?: () => void }[] = [
  { name: "there is no home", env: {} },
  { name: "the home is missing", env: { HOME: "/nowhere/here" } },
  {
    name: "the folder may be changed by others",
    env: { HOME: "/", XDG_CACHE_HOME: "/open" },
    prepare: () => {
      mkdirSync(join(root, "open/stave/native"), { recursive: true });
      chmodSync(join(root, "open/stave/native"), 0o777);
    },
  },
];
for (const { name, env, prepare } of FOLDERS)
  test(`the native library is loaded if ${name}`, { skip }, () => {
    prepare?.();
    const store = `/t${FOLDERS.findIndex((each) => each.name === name)}`;
    assert.match(stave(["install", cache, "hull", "-o", "--store", store], 0, env), /installed/);
    assert.ok(
      !existsSync(join(root, "open/stave/native")) || readdirSync(join(root, "open/stave/native")).length === 0,
    );
    assert.deepEqual(
      readdirSync(join(root, "tmp")).filter((each) => each.startsWith("stave-")),
      [],
    );
  });

const mounted = join(work, "mounted");
mkdirSync(mounted);
const mount = `mount -t tmpfs -o noexec none ${mounted}`;
const inMounts = [...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]), "--mount", "sh", "-c"];
const isMounting = spawnSync("unshare", [...inMounts, mount]).status === 0;

test("the native library is loaded if the cache folder is mounted with noexec", {
  skip: skip || (!isMounting && "no file system can be mounted"),
}, () => {
  const line = `${mount} && exec ${program} install oci-layout:${golden("spack-1.2/plain.oci")} hull -o --store /tmp/${process.pid}`;
  try {
    const env = { PATH: process.env["PATH"] ?? "", HOME: work, XDG_CACHE_HOME: mounted, TMPDIR: work };
    const ran = spawnSync("unshare", [...inMounts, line], { encoding: "utf8", env });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /installed/);
  } finally {
    rmSync(`/tmp/${process.pid}`, { recursive: true, force: true });
  }
});

test("where no folder can be used, the reasons are told", { skip }, () => {
  // A file in place of a folder.
  const env = { HOME: "/stave", TMPDIR: "/absent" };
  const said = stave(["install", cache, "hull", "-o", "--store", "/t9"], 10, env);
  assert.match(said, /cannot load the native library of stave: .*\/stave\/.*; .*\/absent.*XDG_CACHE_HOME/s);
});

test("the same sources give the same bytes", { skip }, async () => {
  const again = join(work, "again");
  await buildSingleFile("x64", again);
  execFileSync("cmp", [program, again]);
});

if (skip === false)
  peerTest(["buildah"], "a container image of the single file runs", async () => {
    // buildah makes a name of the path, in which capitals are refused.
    const layout = `/tmp/stave-image-${process.pid}`;
    after(() => rmSync(layout, { recursive: true, force: true }));
    makeContainerImage(program, layout, "latest");
    const tools = containerTools();
    const container = await run("buildah", [...tools.flags, "from", `oci:${layout}:latest`], tools.env);
    assert.match(await runIn(container.trim(), ["/usr/bin/stave", "--version"], tools), /^stave /);
    assert.match(await runIn(container.trim(), ["/usr/bin/stave", "inspect", "--help"], tools), /Usage: stave inspect/);
  });

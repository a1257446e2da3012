// Demonstrates the main job with the default cache, through the command line, and explains each step: a small Spack
// environment becomes images in a directory; its program is installed elsewhere and runs from there, and from an image
// if buildah is available.
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { Unpack } from "tar";
import { makeBase } from "./make-base.ts";
import { findProgram } from "./peers.ts";

const root = new URL("..", import.meta.url).pathname;
const work = join(root, "demo-work");
const cache = join(root, "stave-cache");
const command = join(root, "dist/stave.js");
const shown = (text: string) => text.replaceAll(`${work}/`, "./demo-work/").replaceAll(cache, "./stave-cache");

/** Runs one program as a user would, and shows the command and its output; undefined if it fails. */
function run(program: string, args: string[], env: Record<string, string> = {}): string | undefined {
  const { status, stdout } = spawnSync(program, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  process.stdout.write(shown(stdout ?? ""));
  return status === 0 ? stdout : undefined;
}

function stave(...args: string[]): string {
  console.log(`\n$ stave ${shown(args.join(" "))}`);
  const said = run(process.execPath, [command, ...args], { XDG_CACHE_HOME: join(work, "home"), SPACK_ROOT: "" });
  if (said === undefined) throw new Error(`stave ${args[0]} failed`);
  return said;
}

/** Unpacks the store that real Spack installed below a folder, at its recorded path. */
async function unpackStore(sysroot: string): Promise<void> {
  const archive = zstdDecompressSync(readFileSync(join(root, "testdata/golden/spack-1.2/store.tar.zst")));
  const cwd = join(sysroot, "opt/harbor");
  mkdirSync(cwd, { recursive: true });
  await new Promise<void>((done, failed) => {
    const unpack = new Unpack({ cwd, preservePaths: true, noMtime: true });
    unpack.on("close", done);
    unpack.on("error", failed);
    unpack.end(archive);
  });
}

/** Runs a program in an image of the cache, in separate storage; false if that is impossible. */
function runImage(tag: string, program: string): boolean {
  if (findProgram("buildah") === undefined) return false;
  const storage = ["--root", join(work, "storage"), "--runroot", join(work, "run"), "--storage-driver", "vfs"];
  mkdirSync(join(work, "home/.config/containers"), { recursive: true });
  const config = join(work, "containers.conf");
  writeFileSync(config, '[containers]\ndefault_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]\n');
  writeFileSync(join(work, "home/.config/containers/policy.json"), '{"default":[{"type":"insecureAcceptAnything"}]}');
  const env = { CONTAINERS_CONF: config, HOME: join(work, "home"), XDG_RUNTIME_DIR: work, TMPDIR: work };
  console.log(`\n$ buildah from oci:./stave-cache:${tag}`);
  const container = run("buildah", [...storage, "from", "-q", `oci:${cache}:${tag}`], env)?.trim();
  if (container === undefined) return false;
  console.log(`\n$ buildah run --isolation chroot ${container} -- ${program}`);
  return run("buildah", [...storage, "run", "--isolation", "chroot", container, "--", program], env) !== undefined;
}

rmSync(work, { recursive: true, force: true });
rmSync(cache, { recursive: true, force: true });
const sysroot = join(work, "machine");
await unpackStore(sysroot);
console.log(`A Spack store with a small environment is in ${shown(`${work}/`)}machine/opt/harbor/store.`);
const hasBase = findProgram("ldd") !== undefined;
if (hasBase) {
  makeBase(join(work, "base"), { tag: "small" });
  console.log("A small base image is made of this machine's shell and C library.");
}

const store = ["--sysroot", relative(root, sysroot), "--store", "/opt/harbor/store"];
const base = hasBase ? ["--base-image", "oci-layout:./demo-work/base:small"] : [];
stave("find", ...store);
stave("push", ...store, ...base, "--tag", "app", "--update-index", "fleet");
stave("push", ...store, ...base, "--tag", "app", "fleet");
stave("inspect", "oci-layout:./stave-cache:app");
// Strings in programs cannot grow, so the new root is short.
const elsewhere = mkdtempSync("/tmp/st");
process.on("exit", () => rmSync(elsewhere, { recursive: true, force: true }));
stave("install", "oci-layout:./stave-cache", "--store", elsewhere, "--otherarch", "voyage");
const voyage = globSync(`${elsewhere}/*/voyage-*/bin/voyage`)[0] ?? "";
console.log(`\n$ ${voyage}`);
run(voyage, []);
if (!(hasBase && runImage("app", "voyage")))
  console.log("\nWith buildah on the PATH, the demo also runs the program in the image.");
console.log(`
The cache is in ./stave-cache, and Spack installs from it. To see it as a registry:
  export PATH=$PWD/node_modules/.bin:$PATH
  node dist/stave.js serve ./stave-cache
  podman pull --tls-verify=false localhost:5000/stave-cache:app     # in another terminal
\`make clean\` removes what was made.`);

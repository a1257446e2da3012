// Checks the executables of a release before they are published: each starts, installs from a cache, and pushes what it
// installed with both compressions. That needs all that is inside: threads, the native library with its file locks,
// WebAssembly. An executable for another architecture runs in qemu's user mode.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "./peers.ts";
import type { Architecture } from "./single-file.ts";

const root = new URL("..", import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** The libraries of the other architecture, as Debian has them for cross compilers. */
const LIBRARIES = "/usr/aarch64-linux-gnu";
const QEMU = "apt-get install qemu-user libstdc++6-arm64-cross";
const CACHE = "testdata/golden/spack-1.2/plain.oci";
/** Milliseconds for one command; emulation is slow. */
const TIMEOUT = 300_000;

/** An executable to check. */
export interface CheckedExecutable {
  readonly architecture: Architecture;
  readonly path: string;
}

/** The words before a program that this machine needs to run it; or why it cannot run it. */
function emulator(architecture: Architecture): readonly string[] | string {
  if (process.platform !== "linux") return `executables for Linux cannot run on ${process.platform}`;
  if (architecture === process.arch) return [];
  const qemu = architecture === "arm64" ? findProgram("qemu-aarch64") : undefined;
  if (qemu === undefined || !existsSync(LIBRARIES))
    return `this machine cannot run executables for ${architecture} (Debian: ${QEMU})`;
  return [qemu, "-L", LIBRARIES];
}

/**
 * Runs the executables, and compares what they push. Returns why some were not checked. Throws if one fails, or if two
 * push different bytes.
 */
export function checkExecutables(executables: readonly CheckedExecutable[]): string[] {
  const reasons: string[] = [];
  const pushed = new Set<string>();
  let first: string | undefined;
  // A short path, because the binaries of the cache are not padded. All push from the first store: two differ in times.
  const stores = mkdtempSync("/tmp/");
  try {
    for (const [at, { architecture, path }] of executables.entries()) {
      const before = emulator(architecture);
      if (typeof before === "string") {
        reasons.push(before);
        continue;
      }
      first ??= join(stores, `${at}`);
      pushed.add(checkOne([...before, path], { own: join(stores, `${at}`), pushed: first }));
    }
  } finally {
    rmSync(stores, { recursive: true, force: true });
  }
  if (pushed.size > 1) throw new Error("the executables push different bytes");
  return reasons;
}

interface Stores {
  /** To install into. */
  readonly own: string;
  /** To push from. */
  readonly pushed: string;
}

/** Runs one executable; returns the digests of what it pushed. */
function checkOne(command: readonly string[], { own, pushed }: Stores): string {
  const work = mkdtempSync(join(tmpdir(), "stave-check-"));
  try {
    const run = (...args: string[]): string => {
      const [program = "", ...rest] = [...command, ...args];
      const env = { PATH: process.env["PATH"] ?? "", HOME: work, SPACK_ROOT: "" };
      const ran = spawnSync(program, rest, { cwd: work, env, encoding: "utf8", timeout: TIMEOUT });
      if (ran.status === 0) return ran.stdout;
      throw new Error(
        `${program} ${rest.join(" ")} ended with ${ran.status ?? ran.signal}: ${ran.stdout}${ran.stderr}`,
      );
    };
    const said = run("--version");
    if (said !== `stave ${version}\n`)
      throw new Error(`${command.at(-1)} is ${said.trim()}, expected stave ${version}`);
    run("install", `oci-layout:${join(root, CACHE)}`, "hull", "-o", "--no-env", "--store", own);
    run("verify", "hull", "--no-env", "--store", own);
    const indexes = ["gzip", "zstd"].map((compression) => {
      const to = `oci-layout:./${compression}`;
      run("push", to, "hull", "--compression", compression, "--no-env", "--store", pushed);
      return readFileSync(join(work, compression, "index.json"), "utf8");
    });
    return indexes.join("\n");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

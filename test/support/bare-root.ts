// A root folder with nothing but the shared libraries that a program needs, and programs run in it.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a program in the root wrote, and its exit status. */
export interface BareRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to change the root: root may do it, others in a user namespace. */
const CHANGE = process.getuid?.() === 0 ? ["chroot"] : ["unshare", "--user", "--map-root-user", "chroot"];

/** Why programs cannot be run in a root of their own; undefined if they can. */
export function whyNoBareRoot(): string | undefined {
  const [program = "", ...args] = CHANGE;
  const { status, stderr, error } = spawnSync(program, [...args, "/", "/bin/true"], { encoding: "utf8" });
  return status === 0 ? undefined : `the root folder cannot be changed: ${error?.message ?? stderr.trim()}`;
}

/** Copies a program and the libraries that its loader names into a root folder; returns the libraries. */
export function fillBareRoot(root: string, program: string): string[] {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
  for (const path of libraries) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  mkdirSync(join(root, "tmp"), { recursive: true });
  copyFileSync(program, join(root, "stave"));
  return libraries;
}

/** Runs a program of the root. */
export function runInRoot(root: string, args: readonly string[], env: Record<string, string> = {}): BareRun {
  const [program = "", ...before] = CHANGE;
  const path = { PATH: process.env["PATH"] ?? "" };
  // chroot itself is found on the PATH of the test; the program gets only `env`.
  const [inside = "", ...rest] = args;
  const ran = spawnSync(program, [...before, root, inside, ...rest], {
    encoding: "utf8",
    env: { ...path, ...env },
    timeout: 120_000,
  });
  return { status: ran.status, stdout: ran.stdout, stderr: ran.stderr };
}

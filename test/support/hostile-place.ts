// A folder of its own for a user, with a canary in it that no command may touch, and commands that are run by that user
// there.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOADER } from "./loader.ts";
import { temporaryFolder } from "./tree.ts";

const root = new URL("../..", import.meta.url).pathname;
const command = join(root, "dist/stave.js");
if (!existsSync(command))
  execFileSync(process.execPath, [...LOADER, "scripts/build.ts", "--bundle-only"], { cwd: root });

// A command that has not ended by then never would.
const DEADLINE = 240_000;
const NOBODY = 65534;
// Long, so that short prefixes grow.
const STORE = `store-${"x".repeat(60)}`;

/** What belongs to one user. */
export interface Place {
  readonly folder: string;
  readonly cache: string;
  readonly store: string;
  /** Of the user that commands run as. */
  readonly user: number;
}

/** A folder with a canary beside a store and a cache that are still empty, and all that a user has. */
export function makePlace(user: number): Place {
  const folder = temporaryFolder();
  const place = { folder, cache: join(folder, "cache"), store: join(folder, STORE), user };
  for (const name of ["cache", "home", "tmp", "canary", STORE]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "canary/victim"), "the secret of the canary");
  return place;
}

/** Gives everything to the user. */
export function own({ folder, user }: Pick<Place, "folder" | "user">): void {
  chownSync(folder, user, user);
  execFileSync("chown", ["-R", `${user}:${user}`, folder]);
}

/** How a command ended. */
export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end, as the user. */
export async function run(place: Place, args: readonly string[], before: readonly string[] = []): Promise<Ran> {
  const { folder, user } = place;
  const [program = "", ...rest] = [...before, process.execPath, command, ...args];
  const env = { PATH: process.env["PATH"] ?? "", HOME: join(folder, "home"), TMPDIR: join(folder, "tmp") };
  const child: ChildProcess = spawn(program, rest, {
    env,
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    ...(user === process.getuid?.() ? {} : { uid: user, gid: user }),
  });
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(timer);
  assert.notEqual(status, null, `the command did not end: ${args.join(" ")}\n${stderr}`);
  return { status, stdout, stderr };
}

/** Checks that nothing left the places where it may be, nor was the secret printed. */
export function checkOutside({ folder }: Place, ...ran: Ran[]): void {
  assert.deepEqual(readdirSync(join(folder, "canary")), ["victim"]);
  assert.equal(readFileSync(join(folder, "canary/victim"), "utf8"), "the secret of the canary");
  assert.equal(lstatSync(join(folder, "canary/victim")).nlink, 1);
  // Node keeps compiled code there.
  const temporary = readdirSync(join(folder, "tmp")).filter((name) => name !== "node-compile-cache");
  assert.deepEqual(temporary, []);
  assert.ok(!existsSync("/tmp/stave-hostile"));
  for (const { stdout, stderr } of ran) {
    assert.ok(!`${stdout}${stderr}`.includes("secret"), stderr);
    assert.ok(!`${stdout}${stderr}`.includes("\x1b]0;"), stderr);
  }
}

/** This process's user. */
export const me: number = process.getuid?.() ?? NOBODY;
/** Those that tests run commands as. */
export const users: readonly number[] = me === 0 ? [0, NOBODY] : [me];
/** A name for a group of tests. */
export const asUser = (user: number): string => (user === 0 ? "as root" : "as an ordinary user");

/** Why commands cannot be run as a user. */
export function unusable(user: number): string | false {
  if (user === me) return false;
  try {
    execFileSync(process.execPath, [command, "--version"], { uid: user, gid: user, stdio: "pipe", cwd: "/" });
    return false;
  } catch {
    return "another user cannot run the command from here";
  }
}

// Tests against real programs: skipped with the reason if a program is missing, failed if CI requires all of them.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort, untilUp } from "../../scripts/bench/server.ts";
import { findProgram, PEERS } from "../../scripts/peers.ts";
import { temporaryFolder } from "./tree.ts";

/** How podman and buildah are called. */
export interface ContainerTools {
  readonly flags: string[];
  readonly env: Record<string, string>;
}

/** Declares a test that needs some programs. */
export function peerTest(programs: string[], name: string, run: () => Promise<void>): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  const packages = missing.map((program) => PEERS.find((peer) => peer.program === program)?.package ?? program);
  const reason = `missing: ${missing.join(", ")} (Debian: apt-get install ${packages.join(" ")})`;
  const options = { timeout: 120_000 };
  if (missing.length === 0) test(name, options, run);
  else if (process.env["CI"] === "true") test(name, () => Promise.reject(new Error(reason)));
  else test(name, { skip: reason }, () => {});
}

/** Runs a program to completion; a failure shows its output. Its input is empty, or with `pipe` an open pipe. */
export function run(
  program: string,
  args: string[],
  env: Record<string, string> = {},
  input: "ignore" | "pipe" = "ignore",
): Promise<string> {
  const child = spawn(program, args, { stdio: [input, "pipe", "pipe"], env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(stdout);
      else reject(new Error(`${program} ${args.join(" ")} ended with ${status}:\n${stderr}`));
    });
  });
}

/**
 * Runs a command in a container of buildah, without a runtime. buildah copies the output itself, and on a busy machine
 * sometimes ends before it has copied anything (seen with 1.28), so a command without output is run again.
 */
export async function runIn(container: string, command: string[], tools: ContainerTools): Promise<string> {
  const args = [...tools.flags, "run", "--isolation", "chroot", container, "--", ...command];
  for (let tries = 1; ; tries++) {
    const said = await run("buildah", args, tools.env);
    if (said !== "" || tries === 5) return said;
  }
}

/** The flags and environment that confine podman and buildah to a folder of their own. */
export function containerTools(): ContainerTools {
  const root = temporaryFolder();
  const config = join(root, "containers.conf");
  writeFileSync(config, '[containers]\ndefault_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]\n');
  const policy = join(root, "home/.config/containers/policy.json");
  mkdirSync(join(policy, ".."), { recursive: true });
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const flags = ["--root", join(root, "storage"), "--runroot", join(root, "run"), "--storage-driver", "vfs"];
  return { flags, env: { CONTAINERS_CONF: config, HOME: join(root, "home"), TMPDIR: root, XDG_RUNTIME_DIR: root } };
}

/** Starts docker's registry on a free port; with `htpasswd` it requires a login. */
export async function startDistribution(htpasswd?: string): Promise<{ host: string; stop: () => Promise<void> }> {
  const root = temporaryFolder();
  const port = await freePort();
  const config = join(root, "config.yml");
  let auth = "";
  if (htpasswd !== undefined) {
    writeFileSync(join(root, "users"), htpasswd);
    auth = `auth: {htpasswd: {realm: test, path: ${join(root, "users")}}}\n`;
  }
  const storage = `storage: {filesystem: {rootdirectory: ${join(root, "data")}}, delete: {enabled: true}}`;
  writeFileSync(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: 127.0.0.1:${port}}\n${auth}`);
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  await untilUp(port);
  return {
    host: `127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      }),
  };
}

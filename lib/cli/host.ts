// The machine and user as Spack's configuration knows them.
import { readFileSync } from "node:fs";
import { hostname, machine, platform, userInfo } from "node:os";
import { type Host, osName } from "../spack/host.ts";
import type { Context } from "./context.ts";

/** The host of this process. What the machine does not tell stays undefined, and configuration that needs it says so. */
export function currentHost(context: Pick<Context, "env" | "cwd" | "home" | "clock">): Host {
  const { env, cwd, home, clock } = context;
  const [system, processor] = [platform(), machine()];
  return {
    env,
    cwd,
    home,
    user: userName(env),
    hostname: hostname(),
    platform: system === "win32" ? "windows" : system,
    machine: processor === "arm64" ? "aarch64" : processor,
    os: system === "linux" ? osName(osRelease()) : undefined,
    date: localDate(new Date(clock.now())),
  };
}

// A user without an entry in the system's table, as in many containers, has no name there.
function userName(env: Context["env"]): string {
  try {
    return userInfo().username;
  } catch {
    return env["USER"] ?? env["LOGNAME"] ?? "unknown";
  }
}

function osRelease(): string {
  for (const file of ["/etc/os-release", "/usr/lib/os-release"])
    try {
      return readFileSync(file, "utf8");
    } catch {
      // The next one.
    }
  return "";
}

function localDate(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

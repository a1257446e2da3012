// Describes the machine and user in the terms of Spack's configuration.
import { hostname, machine, platform, userInfo } from "node:os";
import { CPUINFO_LIMIT, hostTarget } from "../../spack/config/host-target.ts";
import { type Host, osName } from "../../spack/config/machine.ts";
import { readStart } from "../../util/read-start.ts";
import { localDate } from "../../util/time.ts";
import type { Surroundings } from "./surroundings.ts";

/** The description of a machine: its names, and the files in which Linux describes it. */
export interface Machine {
  /** The operating system in Node's terms: `linux`. */
  readonly system: string;
  /** The processor in uname's terms: `x86_64`. */
  readonly processor: string;
  readonly hostname: string;
  /** The first `limit` bytes of a file; undefined if it cannot be read. */
  read(path: string, limit: number): string | undefined;
}

/**
 * The host of this process. What the machine does not reveal stays undefined; configuration that needs it then fails
 * with an error.
 */
export function currentHost(
  context: Pick<Surroundings, "env" | "cwd" | "home" | "clock">,
  told: Machine = { system: platform(), processor: machine(), hostname: hostname(), read: readStart },
): Host {
  const { env, cwd, home, clock } = context;
  const { system } = told;
  const processor = told.processor === "arm64" ? "aarch64" : told.processor;
  return {
    env,
    cwd,
    home,
    user: userName(env),
    hostname: told.hostname,
    platform: system === "win32" ? "windows" : system,
    machine: processor,
    os: system === "linux" ? osName(osRelease(told)) : undefined,
    target: system === "linux" ? hostTarget(processor, told.read("/proc/cpuinfo", CPUINFO_LIMIT) ?? "") : undefined,
    date: localDate(new Date(clock.now())),
  };
}

// In many containers the user has no entry in the system's user table.
function userName(env: Surroundings["env"]): string {
  try {
    return userInfo().username;
  } catch {
    return env["USER"] ?? env["LOGNAME"] ?? "unknown";
  }
}

/** The files that name the operating system; the first that can be read counts. */
export const OS_RELEASE: readonly string[] = ["/etc/os-release", "/usr/lib/os-release"];

function osRelease({ read }: Machine): string {
  for (const path of OS_RELEASE) {
    const text = read(path, OS_RELEASE_LIMIT);
    if (text !== undefined) return text;
  }
  return "";
}

const OS_RELEASE_LIMIT = 65536;

// The real programs for the interop tests: which are available, and how to install them on Debian.
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A peer: the program on the PATH and the Debian package that contains it. */
export interface Peer {
  program: string;
  package: string;
}

export const PEERS: readonly Peer[] = [
  { program: "docker-registry", package: "docker-registry" },
  { program: "skopeo", package: "skopeo" },
  { program: "buildah", package: "buildah" },
  { program: "podman", package: "podman" },
  { program: "umoci", package: "umoci" },
  { program: "patchelf", package: "patchelf" },
  { program: "readelf", package: "binutils" },
  { program: "strip", package: "binutils" },
  { program: "eu-strip", package: "elfutils" },
  { program: "strace", package: "strace" },
  // Container runtimes unpack layers with it if it exists.
  { program: "unpigz", package: "pigz" },
  { program: "igzip", package: "isal" },
  { program: "zsh", package: "zsh" },
  { program: "tcsh", package: "tcsh" },
  { program: "fish", package: "fish" },
  { program: "chromium", package: "chromium" },
  // A base image with another C library.
  { program: "musl-gcc", package: "musl-tools" },
  // The compiler, with the files that every program is linked with.
  { program: "gcc", package: "build-essential" },
];

/** Finds a program on the PATH. */
export function findProgram(program: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The peers that are not on the PATH. */
export function missingPeers(): Peer[] {
  return PEERS.filter((peer) => findProgram(peer.program) === undefined);
}

/** Installs the missing peers if possible: as root on Debian. Returns what is still missing. */
export function installPeers(log: (text: string) => void): Peer[] {
  const missing = missingPeers();
  if (missing.length === 0 || process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) return missing;
  const packages = missing.map((peer) => peer.package);
  log(`installing ${packages.join(" ")} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  try {
    execFileSync("apt-get", ["-qq", "update"], { stdio: ["ignore", "ignore", "inherit"], env });
    const flags = ["-qq", "install", "-y", "--no-install-recommends"];
    execFileSync("apt-get", [...flags, ...packages], { stdio: ["ignore", "ignore", "inherit"], env });
  } catch (error) {
    log(`apt-get failed: ${error instanceof Error ? error.message : String(error)}`);
  }
  return missingPeers();
}

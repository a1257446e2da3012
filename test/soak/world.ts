// The files of the soak: a read-only source store, a store to install into, three caches, and unrelated files beside
// them.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findProgram } from "../../scripts/peers.ts";
import { unpackGolden } from "../support/golden.ts";
import { startDistribution } from "../support/peers.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { SPACK_1 } from "../support/stores.ts";

const ROOT = "/opt/q/st";
/** The size in MiB of the disk that is filled now and then. */
const DISK = 96;

/** A cache of the soak. */
export interface Cache {
  readonly name: string;
  /** As a user types it. */
  readonly location: string;
  /** The layout directory behind it, undefined for the registry of another program. */
  readonly directory: string | undefined;
  /** The address of a repository's API, undefined for a directory. */
  readonly url: string | undefined;
}

/** The folders, programs and caches of a run; close it at the end. */
export interface World {
  readonly work: string;
  /** The folder to which stave may write; a separate file system if possible. */
  readonly disk: string;
  readonly isOwnDisk: boolean;
  /**
   * The recorded root of the store, and its location. Paths in programs must not grow when they are installed there.
   */
  readonly root: string;
  readonly store: string;
  /** The flags for the store. */
  readonly at: readonly string[];
  /** The flags for the source store. */
  readonly source: readonly string[];
  readonly specs: readonly string[];
  readonly caches: readonly Cache[];
  readonly registry: TestRegistry;
  /** What must not change. */
  readonly untouched: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Creates a new world. */
export async function makeWorld(): Promise<World> {
  const work = mkdtempSync(join(tmpdir(), "stave-soak-"));
  const folder = (name: string): string => {
    const path = join(work, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const disk = folder("disk");
  const isOwnDisk = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK}m`, "tmpfs", disk]).status === 0;
  const sysroot = folder("source");
  const place = join(sysroot, SPACK_1.root);
  mkdirSync(dirname(place), { recursive: true });
  cpSync(join(await unpackGolden(SPACK_1.name), SPACK_1.folder), place, { recursive: true, verbatimSymlinks: true });
  const outside = folder("outside");
  for (const name of ["a", "b"]) writeFileSync(join(outside, name), `${name} must stay`);
  for (const name of ["registry", "cache", "tmp", "xdg", ROOT]) folder(`disk/${name}`);
  const registry = await startRegistry({ directory: join(disk, "registry") });
  const distribution = findProgram("docker-registry") === undefined ? undefined : await startDistribution();
  const caches: Cache[] = [
    { name: "directory", location: `oci-layout:${disk}/cache`, directory: join(disk, "cache"), url: undefined },
    {
      name: "registry with faults",
      location: `oci+http://${registry.host}/soak`,
      directory: undefined,
      url: `http://${registry.host}/v2/soak`,
    },
  ];
  if (distribution)
    caches.push({
      name: "docker-registry",
      location: `oci+http://${distribution.host}/soak`,
      directory: undefined,
      url: `http://${distribution.host}/v2/soak`,
    });
  return {
    work,
    disk,
    isOwnDisk,
    root: ROOT,
    store: join(disk, ROOT),
    at: ["--sysroot", disk, "--store", ROOT],
    source: ["--sysroot", sysroot, "--store", SPACK_1.root],
    specs: ["hull", "fleet", "paddle", "rigging", "voyage", "zlib-ish"],
    caches,
    registry,
    untouched: [sysroot, outside],
    env: {
      HOME: folder("home"),
      XDG_CACHE_HOME: join(disk, "xdg"),
      XDG_RUNTIME_DIR: folder("run"),
      TMPDIR: join(disk, "tmp"),
    },
    close: async () => {
      await registry.close();
      await distribution?.stop();
      if (isOwnDisk) spawnSync("umount", ["-l", disk]);
      rmSync(work, { recursive: true, force: true });
    },
  };
}

/** The content of some folders as text: equal only if nothing has changed. */
export function fingerprint(folders: readonly string[]): string {
  const hash = createHash("sha256");
  for (const folder of folders)
    for (const path of allBelow(folder)) {
      const stats = lstatSync(path);
      hash.update(`${path} ${stats.mode} ${stats.mtimeMs}\n`);
      if (stats.isFile()) hash.update(readFileSync(path));
      else if (stats.isSymbolicLink()) hash.update(readlinkSync(path));
    }
  return hash.digest("hex");
}

/** The paths of everything below a folder, in order. */
export function allBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

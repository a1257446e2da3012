// The golden data made by real Spack (testdata/golden/README.md), and the vectors; archives are unpacked once per run.
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { Unpack } from "tar";
import { temporaryFolder } from "./tree.ts";

const data = resolve(import.meta.dirname, "../../testdata");

/** The path of a file or folder under testdata/golden. */
export function golden(path: string): string {
  return join(data, "golden", path);
}

const unpacked = new Map<string, Promise<string>>();

/**
 * Unpacks `testdata/golden/<name>.tar.zst`, for example `spack-1.2/store`, and returns the folder with its content. All
 * tests of the process share it, and it is removed at the end: copy what a test changes.
 */
export function unpackGolden(name: string): Promise<string> {
  let folder = unpacked.get(name);
  if (folder === undefined) {
    folder = unpack(name, "");
    unpacked.set(name, folder);
  }
  return folder;
}

/** Unpacks the archive of a golden store at its recorded path below a new folder: a `--sysroot`. */
export function goldenSysroot(generation: "spack-1.2" | "spack-0.23"): Promise<string> {
  return unpack(`${generation}/store`, "opt/harbor");
}

async function unpack(name: string, below: string): Promise<string> {
  const archive = zstdDecompressSync(readFileSync(golden(`${name}.tar.zst`)));
  const folder = temporaryFolder();
  const cwd = join(folder, below);
  mkdirSync(cwd, { recursive: true });
  await new Promise<void>((done, failed) => {
    const extract = new Unpack({ cwd, preservePaths: true, noMtime: true });
    extract.on("close", done);
    extract.on("error", failed);
    extract.end(archive);
  });
  return folder;
}

/** One section of testdata/vectors.json, made by real Spack; the caller knows its type. */
export function vectors<T>(section: string): T {
  const all: Record<string, T> = JSON.parse(readFileSync(join(data, "vectors.json"), "utf8"));
  const found = all[section];
  if (found === undefined) throw new Error(`no vectors named ${section}`);
  return found;
}
